package workload

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"
)

// clock times the handling of a number of records, by any number of goroutines.
type clock struct {
	records int64
	handled atomic.Int64
	made    time.Time
	began   atomic.Int64  // nanoseconds after made
	warm    atomic.Int64  // the same, after a quarter of the records
	last    chan struct{} // closed with the last record
}

func newClock(records int64) *clock {
	return &clock{records: records, made: time.Now(), last: make(chan struct{})}
}

// tick is called after each record.
func (c *clock) tick() { c.ticks(1) }

// ticks is called after some records.
func (c *clock) ticks(n int64) {
	now := c.handled.Add(n)
	passed := func(mark int64) bool { return now-n < mark && mark <= now }
	if passed(1) {
		c.began.Store(int64(time.Since(c.made)))
	}
	if passed(max(1, c.records/4)) {
		c.warm.Store(int64(time.Since(c.made)))
	}
	if passed(c.records) {
		close(c.last)
	}
}

// wait waits for the last record, for the end of the client, or for ctx.
func (c *clock) wait(ctx context.Context, ended <-chan error) error {
	select {
	case <-c.last:
		return nil
	case err := <-ended:
		return fmt.Errorf("it ended after %d records: %w", c.handled.Load(), err)
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// stop notes the time since the first record, and since a quarter of them.
func (c *clock) stop(out *Outcome) {
	now := time.Since(c.made)
	out.Seconds = (now - time.Duration(c.began.Load())).Seconds()
	out.Warm = (now - time.Duration(c.warm.Load())).Seconds()
	out.Peak = PeakMemory()
}

// first times the first record since the process was started.
type first struct {
	began time.Time
	took  atomic.Int64 // nanoseconds, 0 before the record
}

func newFirst(j Job) *first { return &first{began: j.Began} }

// tick is called after each record.
func (f *first) tick() {
	if f.took.Load() == 0 {
		f.took.CompareAndSwap(0, int64(time.Since(f.began)))
	}
}

func (f *first) seconds() float64 { return time.Duration(f.took.Load()).Seconds() }
