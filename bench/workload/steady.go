package workload

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/tarnstream/tarn/internal/kafka"
	"github.com/tarnstream/tarn/internal/task"
	"github.com/tarnstream/tarn/state"
)

// Steady is a load of Rate records a second, whose way through a group is timed. A record carries the time at which it was
// due, not the one at which it was sent: where something stands still and the next records are sent late for it, they have
// waited, and the time they took tells it.
type Steady struct {
	// Shape is that of the input topic. Its Records are not looked at: they follow from the rate.
	Shape
	Rate             int
	Warmup, Measured time.Duration
	// Input is what is fed, Output where the records come out; both exist.
	Input, Output string
}

// Fault tells what of a load cannot be.
func (s Steady) Fault() error {
	if s.Rate < 1 || s.Rate > 1_000_000 {
		return fmt.Errorf("workload: %d records a second: 1 to 1000000", s.Rate)
	}
	if s.Warmup < 0 || s.Measured <= 0 || s.Warmup+s.Measured > time.Hour {
		return fmt.Errorf("workload: a warm-up of %v and %v measured: an hour at most", s.Warmup, s.Measured)
	}
	s.Shape.Records = s.Count()
	return s.Shape.Fault()
}

// Count is how many records there are in all: one before the others, which tells that the group is at work.
func (s Steady) Count() int { return 1 + s.due(s.Warmup+s.Measured) }

// due is how many records are due before a time after the start.
func (s Steady) due(after time.Duration) int {
	return int((int64(after)*int64(s.Rate) + int64(time.Second) - 1) / int64(time.Second))
}

// at is when record i is due, after the start.
func (s Steady) at(i int) time.Duration {
	return time.Duration(int64(i) * int64(time.Second) / int64(s.Rate))
}

// Time feeds the records and gives the time from due to seen, by a read_committed reader, of those after the warm-up.
func (s Steady) Time(ctx context.Context, client *kafka.Client) ([]time.Duration, error) {
	p := client.NewProducer(kafka.ProducerConfig{})
	defer p.Close()
	reader := startReader(ctx, client)
	defer reader.stop()
	f := newFlow(s)
	group := task.New(ctx)
	group.Go("feed", func(ctx context.Context) error { return f.feed(ctx, p.Produce) })
	group.Go("read", func(ctx context.Context) error { return f.read(ctx, reader) })
	if err := group.Wait(); err != nil {
		return nil, err
	}
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	return f.taken()
}

// flow is a load under way. Times count from epoch.
type flow struct {
	Steady
	epoch time.Time
	first chan struct{} // closed when the first record has come out

	began  time.Duration // feed's: when record 0 of the schedule was due
	sent   int64         // feed's: the sum of the times in the values
	passed []passed      // read's
}

// passed is a record that has come out.
type passed struct{ due, seen time.Duration }

func newFlow(s Steady) *flow { return &flow{Steady: s, epoch: time.Now(), first: make(chan struct{})} }

// pace is the least time between two requests of feed: enough of them for the rate, few enough for a small machine.
const pace = time.Millisecond

// feed sends the first record and, when it has come out, the others as they become due. It never leaves one out: those that
// were due during a slow request go with the next one.
func (f *flow) feed(ctx context.Context, produce func(context.Context, []kafka.OutBatch) error) error {
	draw := rand.New(rand.NewPCG(f.Seed, 0))
	if err := produce(ctx, f.batches(draw, []time.Duration{0})); err != nil {
		return err
	}
	select {
	case <-f.first:
	case <-ctx.Done():
		return nil
	}
	f.began = time.Since(f.epoch).Truncate(time.Microsecond)
	tick := time.NewTicker(pace)
	defer tick.Stop()
	for next, all := 0, f.Count()-1; next < all; {
		var dues []time.Duration
		for due := min(all, f.due(time.Since(f.epoch)-f.began)); next < due; next++ {
			dues = append(dues, f.began+f.at(next))
		}
		if len(dues) > 0 {
			if err := produce(ctx, f.batches(draw, dues)); err != nil {
				return err
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
	return nil
}

// batches are records with these times in their values, partitioned as goka does.
func (f *flow) batches(draw *rand.Rand, dues []time.Duration) []kafka.OutBatch {
	b := newBatches(f.Input, f.Shape)
	for _, due := range dues {
		micros := due.Microseconds()
		f.sent += micros
		b.add(draw, int(micros))
	}
	return b.all
}

// read takes what comes out, until all records have.
func (f *flow) read(ctx context.Context, reader reading) error {
	cursors, wake := reader.openAll(f.Output, f.Partitions)
	come := sync.OnceFunc(func() { close(f.first) })
	var bad error
	for len(f.passed) < f.Count() && bad == nil {
		select {
		case <-wake:
		case <-ctx.Done():
			return nil
		}
		err := drain(cursors, func(records []state.Record) {
			seen := time.Since(f.epoch)
			for _, r := range records {
				micros, err := numberOf(r.Value)
				if err != nil {
					bad = err
				}
				f.passed = append(f.passed, passed{due: time.Duration(micros) * time.Microsecond, seen: seen})
				come()
			}
		})
		if err != nil {
			return err
		}
	}
	return bad
}

// taken is how long the records after the warm-up took. That another record has come out twice and one not at all is an error.
func (f *flow) taken() (took []time.Duration, err error) {
	var sum int64
	for _, p := range f.passed {
		sum += p.due.Microseconds()
		if p.due >= f.began+f.Warmup {
			took = append(took, p.seen-p.due)
		}
	}
	if len(f.passed) != f.Count() || sum != f.sent {
		return nil, fmt.Errorf("workload: %d records of %d have come out, or not each once", len(f.passed), f.Count())
	}
	return took, nil
}
