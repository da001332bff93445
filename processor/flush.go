package processor

import (
	"context"
	"fmt"
	"time"

	"github.com/tarnstream/tarn/observe"
)

// flusher writes committed layers to disk in the background, so that no task waits for a sync.
type flusher struct {
	env  *environment
	kick chan struct{}
}

func newFlusher(env *environment) *flusher {
	return &flusher{env: env, kick: make(chan struct{}, 1)}
}

// kickNow asks for a flush before the interval is over.
func (f *flusher) kickNow() { notify(f.kick) }

func (f *flusher) run(ctx context.Context) error {
	ticker := time.NewTicker(f.env.conf.flushInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
		case <-f.kick:
		case <-ctx.Done():
			return nil
		}
		for _, t := range f.env.tasks.all() {
			if t.state.Load() != taskRunning || t.lease.Err() != nil {
				continue
			}
			if err := f.task(ctx, t); err != nil && t.lease.Err() == nil && ctx.Err() == nil {
				return err
			}
		}
	}
}

// task flushes those of a task's cells that have something to write.
func (f *flusher) task(ctx context.Context, t *task) error {
	for _, c := range t.cells {
		if t.lease.Err() != nil {
			return errLost
		}
		if !c.dirty() {
			continue
		}
		if err := f.cell(ctx, c, epochPatience); err != nil {
			return err
		}
	}
	return nil
}

// last flushes all cells of tasks that are about to be closed, one after the other, of those that were restored. A failure,
// which is told of, ends its task's: the state on disk is right then, only older.
func (f *flusher) last(ctx context.Context, list []*task) {
	until := f.env.now().Add(lastEpochPatience)
	for _, t := range list {
		if t.lease.Err() != nil || !t.hasRun() { // its cells may still come
			continue
		}
		for _, c := range t.cells {
			if t.lease.Err() != nil || f.cell(ctx, c, max(until.Sub(f.env.now()), 0)) != nil {
				break
			}
		}
	}
}

// cell flushes one cell and tells of it.
func (f *flusher) cell(ctx context.Context, c *cell, patience time.Duration) error {
	began := f.env.now()
	rows, bytes, err := c.flush(ctx, patience)
	observe.Tell(f.env.conf.observe.Flush, observe.Flush{Place: f.env.place(c.topic, c.partition), Rows: rows, Bytes: bytes,
		Took: f.env.now().Sub(began), Err: err})
	if err != nil {
		return fmt.Errorf("processor: group %s: flush %s/%d: %w", f.env.group.Name, c.topic, c.partition, err)
	}
	f.env.count.flushes.Add(1)
	return nil
}
