package workload

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/tarnstream/tarn/observe"
)

// The clients, and the work they do.
const (
	Tarn            = "tarn"
	TarnAtLeastOnce = "tarn-at-least-once"
	Goka            = "goka"
	Raw             = "floor" // fetches the records and throws them away

	Count   = "count"
	Pass    = "pass" // counts each record, and hands it on
	Restore = "restore"
	Fetch   = "fetch"
	Crowd   = "crowd" // three tables, behind a connection that is slow to write
	Again   = "again" // the same tables on another machine
)

// Job says what one process does.
type Job struct {
	Client, Work string
	Brokers      []string
	// Topic is what is read. Group counts its records by key into the table that TableOf names.
	Topic, Group string
	// Dir is an empty folder.
	Dir string
	// Records is how many records Topic has.
	Records int64
	// Memory is tarn's option, 0 the default; WriteRate bounds what a client may write, in bytes a second, 0 for no bound.
	Memory    int64
	WriteRate int
	// CommitInterval is tarn's option, 0 the default.
	CommitInterval time.Duration
	// Profile is the beginning of the paths of a processor and a heap profile, "" for none.
	Profile string
}

// Outcome is what came of a Job.
type Outcome struct {
	// Seconds is the time of the work alone: the start of the process, joining the group and leaving it are no part of it.
	Seconds float64
	// Rows counts the rows of a restored table, Sum adds up their sequence numbers.
	Rows, Sum int64
	// Idle is the process's peak memory before the work, Peak after it, in bytes; 0 where the system does not tell.
	Idle, Peak int64
	// InUse is the most of what tarn said was in use of its memory, and of each part of it.
	InUse observe.MemoryStats
	Most  int64
}

// TableOf is the table of a group, in goka's way.
func TableOf(group string) string { return group + "-table" }

// OutputOf is where a group hands records on to.
func OutputOf(group string) string { return group + "-out" }

// Run does the job.
func Run(ctx context.Context, j Job) (Outcome, error) {
	run, ok := map[string]func(context.Context, Job) (Outcome, error){
		Tarn + Count: tarnCount, TarnAtLeastOnce + Count: tarnCount, Tarn + Restore: tarnRestore,
		Tarn + Pass: tarnPass, TarnAtLeastOnce + Pass: tarnPass,
		Goka + Count: gokaCount, Goka + Restore: gokaRestore,
		Raw + Fetch: rawFetch, Tarn + Crowd: tarnCrowd, Tarn + Again: tarnAgain,
	}[j.Client+j.Work]
	if !ok {
		return Outcome{}, fmt.Errorf("workload: no client %q for %q", j.Client, j.Work)
	}
	idle := PeakMemory()
	stop, err := profile(j.Profile)
	if err != nil {
		return Outcome{}, err
	}
	out, err := run(ctx, j)
	if err = errors.Join(err, stop()); err != nil {
		return out, fmt.Errorf("workload: %s %s: %w", j.Client, j.Work, err)
	}
	out.Idle = idle
	return out, nil
}

// add takes a restored row.
func (o *Outcome) add(value []byte) error {
	n, err := numberOf(value)
	o.Rows++
	o.Sum += n
	return err
}

// CountOf decodes a row that a client's count has written.
func CountOf(client string, data []byte) (int64, error) {
	if client == Goka {
		return gokaCountOf(data)
	}
	return tarnCountOf(data)
}

// clock times the handling of a number of records, by any number of goroutines.
type clock struct {
	records int64
	handled atomic.Int64
	made    time.Time
	began   atomic.Int64  // nanoseconds after made
	last    chan struct{} // closed with the last record
}

func newClock(records int64) *clock {
	return &clock{records: records, made: time.Now(), last: make(chan struct{})}
}

// tick is called after each record.
func (c *clock) tick() {
	switch c.handled.Add(1) {
	case 1:
		c.began.Store(int64(time.Since(c.made)))
	case c.records:
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

// seconds is the time since the first record.
func (c *clock) seconds() float64 {
	return (time.Since(c.made) - time.Duration(c.began.Load())).Seconds()
}
