package processor_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tarnstream/tarn/codec"
	"github.com/tarnstream/tarn/devbroker"
	"github.com/tarnstream/tarn/observe"
	"github.com/tarnstream/tarn/processor"
	"github.com/tarnstream/tarn/streamtest"
	"github.com/tarnstream/tarn/topology"
)

// restoreTale is what was told of a restore, and when.
type restoreTale struct {
	mu     sync.Mutex
	log    bytes.Buffer
	at     []time.Time // the plan, then the answers
	events []observe.Restore
}

func (o *restoreTale) options() []processor.Option {
	note := func(r observe.Restore) {
		o.mu.Lock()
		defer o.mu.Unlock()
		o.at, o.events = append(o.at, time.Now()), append(o.events, r)
	}
	return []processor.Option{processor.MemoryBytes(30 << 20), processor.Logger(slog.New(slog.NewTextHandler(&o.log, nil))),
		processor.Observe(observe.Observer{RestorePlanned: note, RestoreProgress: note})}
}

// rate is what was read in the ten seconds before an answer, or since the plan, by the answers alone.
func (o *restoreTale) rate(n int) float64 {
	from := 0
	for i := range n {
		if o.at[n].Sub(o.at[i]) >= 10*time.Second {
			from = i
		}
	}
	return float64(o.events[n].Progress.Position-o.events[from].Progress.Position) / o.at[n].Sub(o.at[from]).Seconds()
}

// lines are what the log says of restores under way, without the place.
func (o *restoreTale) lines() (out []string) {
	for line := range strings.Lines(o.log.String()) {
		if _, rest, ok := strings.Cut(line, `msg="restore goes on"`); ok {
			_, rest, _ = strings.Cut(rest, "partition=0 ")
			out = append(out, strings.TrimSpace(rest))
		}
	}
	return out
}

// rowsTopic fills a table's topic with so many rows of a kilobyte.
func rowsTopic(k *streamtest.Kit, topic string, n int) {
	k.T.Helper()
	k.Topic(topic, 1, "cleanup.policy", "compact")
	for i := 0; i < n; i += 100 {
		records := make([]devbroker.Record, 100)
		for j := range records {
			records[j] = devbroker.Record{Key: fmt.Appendf(nil, "key-%d", i+j), Value: make([]byte, 1<<10)}
		}
		require.NoError(k.T, k.Broker.Produce(topic, 0, records...))
	}
}

// A restore whose answers take three seconds each, from nothing to done: what Progress, the events and the log say of it is
// the same, and right.
func TestProgress_FromNothingToDone(t *testing.T) {
	const n = 6000
	blobs := topology.NewTable("blobs", codec.Bytes)
	keeper := define(t, "keeper", topology.Persist(blobs), topology.Input(clicks, func(ctx *topology.Context, v string) error { return nil }))
	for name, start := range map[string]func(k *streamtest.Kit, o []processor.Option) (progress func() observe.Progress, ready <-chan struct{}, stop func() error){
		"processor": func(k *streamtest.Kit, o []processor.Option) (func() observe.Progress, <-chan struct{}, func() error) {
			a := k.Launch("a", keeper, o...)
			return a.Processor.Progress, a.Processor.Ready(), a.Stop
		},
		"view": func(k *streamtest.Kit, o []processor.Option) (func() observe.Progress, <-chan struct{}, func() error) {
			v, err := processor.NewView(blobs, append(k.Options("view"), o...)...)
			require.NoError(k.T, err)
			ctx, cancel := context.WithCancel(k.T.Context())
			done := make(chan error, 1)
			go func() { done <- v.Run(ctx) }()
			return v.Progress, v.Ready(), func() error { cancel(); return <-done }
		},
	} {
		t.Run(name, func(t *testing.T) {
			streamtest.Run(t, func(k *streamtest.Kit) {
				k.Topic("clicks", 1)
				rowsTopic(k, "blobs", n)
				normal := k.Broker.Delay(devbroker.Fetch, 3*time.Second)
				var seen restoreTale
				progress, ready, stop := start(k, seen.options())
				var polled []observe.Progress
				for !isReady(ready) {
					polled = append(polled, progress())
					k.Advance(500 * time.Millisecond)
				}
				normal()
				polled = append(polled, progress())
				require.NoError(k.T, stop())
				requireSteps(k, polled, n)
				requireTold(k, &seen, n)
			})
		})
	}
}

// requireSteps requires that what was seen from outside goes from nothing to done.
func requireSteps(k *streamtest.Kit, polled []observe.Progress, n int64) {
	k.T.Helper()
	require.False(k.T, polled[0].Sum.Done)
	steps := map[int64]bool{}
	for i, p := range polled[1:] {
		require.GreaterOrEqual(k.T, p.Sum.Position, polled[i].Sum.Position)
		require.GreaterOrEqual(k.T, p.Sum.Fraction(), polled[i].Sum.Fraction())
		require.Equal(k.T, p.Sum.Position, p.Sum.Records, "each offset is a record")
		steps[p.Sum.Position] = true
	}
	require.GreaterOrEqual(k.T, len(steps), 5, "in steps")
	last := polled[len(polled)-1]
	require.Len(k.T, last.Tables, 1)
	require.True(k.T, last.Sum.Done)
	require.Equal(k.T, "rebuild", last.Tables[0].Decision)
	require.Equal(k.T, "no checkpoint", last.Tables[0].Cause)
	require.Equal(k.T, n, last.Tables[0].Position)
	require.Equal(k.T, n, last.Sum.End)
}

// requireTold requires that each answer was told with the rate and the time that come of the answers before it, and that the
// log has the same.
func requireTold(k *streamtest.Kit, seen *restoreTale, n int64) {
	k.T.Helper()
	byPosition := map[int64]observe.RestoreStats{}
	for i, e := range seen.events[1:] {
		p := e.Progress
		require.InDelta(k.T, seen.rate(i+1), p.Rate, 1e-9)
		require.Equal(k.T, seen.at[i+1].Sub(seen.at[0]), p.Took)
		left, known := p.Remaining()
		require.True(k.T, known)
		require.Equal(k.T, time.Duration(float64(n-p.Position)/p.Rate*float64(time.Second)).Round(time.Second), left)
		byPosition[p.Position] = p
	}
	lines := seen.lines()
	require.GreaterOrEqual(k.T, len(lines), 3)
	for _, line := range lines {
		var position int64
		_, err := fmt.Sscanf(line, "position=%d", &position)
		require.NoError(k.T, err)
		p := byPosition[position]
		left, _ := p.Remaining()
		require.Equal(k.T, fmt.Sprintf("position=%d end=%d left=%d rate=%q remaining=%v", position, n, n-position, fmt.Sprintf("%.0f offsets/s", p.Rate), left), line)
	}
}
