package processor

import (
	"fmt"
	"io"
	"log/slog"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tarnstream/tarn/codec"
	"github.com/tarnstream/tarn/internal/scope"
	"github.com/tarnstream/tarn/state"
	"github.com/tarnstream/tarn/topology"
)

// BenchmarkReadTable_Get is what a callback pays for a row of a joined or looked-up table: 100,000 rows of 100 bytes, read
// in a scattered order.
func BenchmarkReadTable_Get(b *testing.B) {
	const rows = 100_000
	store, err := state.Open(b.TempDir(), state.Options{Logger: slog.New(slog.NewTextHandler(io.Discard, nil))})
	require.NoError(b, err)
	defer store.Close()
	batch := new(state.Batch)
	for i := range rows {
		batch.Put([]byte(fmt.Sprintf("key-%06d", i)), make([]byte, 100), int64(i), 0)
	}
	require.NoError(b, store.Write(batch))

	b.Run("the store alone, present", func(b *testing.B) {
		b.ReportAllocs()
		n := 0
		for b.Loop() {
			if _, ok, err := store.Get(fmt.Appendf(nil, "key-%06d", n*7919%rows)); err != nil || !ok {
				b.Fatal(ok, err)
			}
			n++
		}
	})
	stream, table := topology.NewStream("in", codec.String), topology.NewReadTable("table", codec.Bytes)
	for _, bench := range []struct {
		name string
		key  func(i int) []byte
	}{
		{"present", func(i int) []byte { return fmt.Appendf(nil, "key-%06d", i*7919%rows) }},
		{"one of ten", func(i int) []byte { return fmt.Appendf(nil, "key-%06d", i%10*7919) }},
		{"absent", func(i int) []byte { return fmt.Appendf(nil, "key-%06d-", i*7919%rows) }},
	} {
		b.Run(bench.name, func(b *testing.B) {
			keys := make([][]byte, rows)
			for i := range keys {
				keys[i] = bench.key(i)
			}
			g, err := topology.Define("g", topology.Lookup(table), topology.Input(stream, func(ctx *topology.Context, _ string) error {
				_, _, err := table.Get(ctx)
				return err
			}))
			require.NoError(b, err)
			frame := scope.NewFrame(b.Context(), g.Description(), nil)
			frame.SetReads([]scope.ReadBacking{&lookup{read: &g.Description().Reads[0], partitions: []*follower{{store: store}}}})
			call := g.Description().Inputs[0].Call
			b.ReportAllocs()
			n := 0
			for b.Loop() {
				if err := frame.Run(scope.Record{Key: keys[n%rows]}, call); err != nil {
					b.Fatal(err)
				}
				n++
			}
		})
	}
}
