package processor

import (
	"encoding/binary"
	"fmt"
	"log/slog"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tarnstream/tarn/internal/benchtest"
	"github.com/tarnstream/tarn/internal/kafka"
	"github.com/tarnstream/tarn/internal/scope"
	"github.com/tarnstream/tarn/state"
)

// counterCoder is a table of counts without the public handles' way to it.
type counterCoder struct{}

func (counterCoder) Encode(dst []byte, v int64) ([]byte, error) {
	return binary.BigEndian.AppendUint64(dst, uint64(v)), nil
}

func (counterCoder) Decode(b []byte) (int64, error) { return int64(binary.BigEndian.Uint64(b)), nil }

// countingTask is a task that counts records by key, as it is between two commits, with n keys at hand again and again.
func countingTask(tb testing.TB, n int) (*task, *input) {
	handle := new(int)
	g := &scope.Group{Name: "g", Tables: []scope.Table{{Topic: scope.Topic{Name: "counts", Handle: handle},
		NewOverlay: func(i int, below scope.Backing) scope.Layer {
			return scope.NewOverlay("counts", i, counterCoder{}, below)
		}}}}
	t := newTask(&environment{group: g, count: &counters{}, budget: newTestBudget(), log: slog.New(slog.DiscardHandler)}, 0)
	t.cells = []*cell{newCell("counts", 0, newMemory())}
	t.frame = scope.NewFrame(tb.Context(), g, t)
	in := &input{topic: "clicks", onError: &scope.ErrorPolicy{}, call: func(f *scope.Frame) error {
		o, err := scope.Of[int64](f, handle, "counts")
		if err != nil {
			return err
		}
		key := f.Record().Key
		v, _, err := o.Get(key)
		if err != nil {
			return err
		}
		return o.Set(key, v+1, f.Record().Timestamp)
	}}
	client, err := kafka.NewClient(kafka.Config{Brokers: []string{"127.0.0.1:1"}, Logger: t.env.log})
	require.NoError(tb, err)
	tb.Cleanup(client.Close)
	in.cursor = client.NewReader(kafka.ReaderConfig{}).Open("clicks", 0, make(chan struct{}, 1)) // it takes lists back
	for i := range n {
		in.chunk.Records = append(in.chunk.Records, state.Record{Key: fmt.Appendf(nil, "user-%d", i), Value: []byte("x"), Offset: int64(i)})
	}
	return t, in
}

// replay gives an input its records again: a task that has handled them all gives their list back, emptied.
func replay(in *input) (again func()) {
	records, list := slices.Clone(in.chunk.Records), in.chunk.Records
	return func() { in.at, in.chunk.Records = 0, append(list[:0], records...) }
}

// BenchmarkHandle is a record's way through a task: its callback with a Get and a Set, and its policy.
func BenchmarkHandle(b *testing.B) {
	const records = 1000
	t, in := countingTask(b, records)
	again := replay(in)
	done := benchtest.Records(b)
	for b.Loop() {
		for again(); in.more(); {
			if _, err := t.handle(in); err != nil {
				b.Fatal(err)
			}
		}
	}
	done(b.N * records)
	require.Zero(b, t.env.count.skipped.Load())
}
