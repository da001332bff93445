package processor

import (
	"cmp"
	"context"

	"github.com/tarnstream/tarn/internal/audit"
	"github.com/tarnstream/tarn/internal/kafka"
	"github.com/tarnstream/tarn/internal/scope"
	"github.com/tarnstream/tarn/observe"
	"github.com/tarnstream/tarn/state"
)

// Verify compares every table partition that this process has now with its topic, one after the other: those that its
// group keeps, joins and looks up. It reads all of their logs, up to the position that the table had when its turn came
// (Audit.Position), while records are handled and committed as ever. It takes 32 MiB of memory besides what MemoryBytes
// bounds; where the keys of a log are more than that holds, the log is read several times.
//
// The error is ErrNotReady while nothing runs, or the end of ctx, with what was found until then. A table is compared as soon
// as it is current, however far its task's others are. A partition that is not current yet, or moves away meanwhile, has its
// trouble in its Audit.
func (p *Processor) Verify(ctx context.Context) ([]observe.Audit, error) {
	ts := p.tasks()
	if ts == nil {
		return nil, ErrNotReady
	}
	running, cancel := until(ctx, ts.workers.Context())
	defer cancel()
	var all []observe.Audit
	for _, t := range ts.all() {
		all = append(all, t.verify(running)...)
	}
	for _, l := range ts.env.lookups {
		for _, f := range l.partitions {
			all = append(all, f.verify(running))
		}
	}
	return all, context.Cause(ctx)
}

// verify compares the task's tables and the joined ones, each that is current.
func (t *task) verify(ctx context.Context) (all []observe.Audit) {
	ctx, cancel := until(ctx, t.lease)
	defer cancel()
	for i := range t.kept {
		all = append(all, t.verifyKept(ctx, i))
	}
	var joins []*follower
	if known := t.meter.joins.Load(); known != nil && t.state.Load() != taskClosing {
		joins = *known
	}
	joined := 0
	for i := range t.env.group.Reads {
		switch read := &t.env.group.Reads[i]; {
		case read.Lookup:
		case joined < len(joins):
			all = append(all, joins[joined].verify(ctx))
			joined++
		default:
			all = append(all, observe.Audit{Place: t.env.place(read.Name, t.partition), Err: ErrNotReady})
		}
	}
	return all
}

func (t *task) verifyKept(ctx context.Context, i int) observe.Audit {
	at := t.env.place(t.env.group.Tables[i].Name, t.partition)
	c := t.kept[i].cell.Load()
	if c == nil || t.state.Load() == taskClosing {
		return observe.Audit{Place: at, Err: ErrNotReady}
	}
	table, err := c.snapshot(ctx)
	if err != nil {
		return observe.Audit{Place: at, Err: err}
	}
	return verify(ctx, table, t.env.reader, at)
}

func (f *follower) verify(ctx context.Context) observe.Audit {
	if !isClosed(f.ready) {
		return observe.Audit{Place: f.at, Err: ErrNotReady}
	}
	return verifyStore(ctx, f.store, f.env.reader, f.at)
}

// verifyStore compares what readers of a store see.
func verifyStore(ctx context.Context, s state.Store, reader *kafka.Reader, at observe.Place) observe.Audit {
	rows, check, ok := s.Snapshot()
	if !ok {
		return observe.Audit{Place: at, Err: cmp.Or(rows.Close(), ErrNotReady)} // closed, or nothing there yet
	}
	return verify(ctx, audit.Table{Rows: rows, Disk: rows, Checkpoint: check}, reader, at)
}

// verify compares rows with their log and closes them.
func verify(ctx context.Context, t audit.Table, reader *kafka.Reader, at observe.Place) observe.Audit {
	cursor := reader.Open(at.Topic, at.Partition, nil)
	defer cursor.Close()
	out := audit.Compare(ctx, t, cursor, audit.Options{Place: at})
	if err := t.Rows.Close(); out.Err == nil {
		out.Err = err
	}
	return out
}

// Verify compares every partition of the view with the table's topic: see Processor.Verify. The error is ErrNotReady while
// nothing runs, or the end of ctx, with what was found until then.
func (v *View[T]) Verify(ctx context.Context) ([]observe.Audit, error) {
	parts := v.parts.Load()
	if parts == nil || v.life.Err() != nil {
		return nil, ErrNotReady
	}
	running, cancel := until(ctx, v.life)
	defer cancel()
	var all []observe.Audit
	for _, p := range *parts {
		all = append(all, verifyStore(running, p.store, v.reader, p.at))
	}
	return all, context.Cause(ctx)
}

// snapshot gives the rows that Kafka has, on disk or not, with the checkpoint that speaks of just those. While they are taken
// no flush may move rows from the layers to the store.
func (c *cell) snapshot(ctx context.Context) (audit.Table, error) {
	select {
	case c.flushing <- struct{}{}:
		defer func() { <-c.flushing }()
	case <-ctx.Done():
		return audit.Table{}, context.Cause(ctx)
	}
	changes, check := c.unflushed(false)
	rows, _, _ := c.store.Snapshot()
	below := &storeRows{it: rows}
	return audit.Table{Rows: &cellRows{scope.Merge(changes, below), below}, Disk: rows, Checkpoint: check}, nil
}

// cellRows is the rows of a cell with their offsets, as a state.Iterator.
type cellRows struct {
	merged *scope.Merged
	below  *storeRows
}

func (r *cellRows) Next() bool  { return r.merged.Next() }
func (r *cellRows) Key() []byte { return []byte(r.merged.Key()) }

func (r *cellRows) Row() state.Row {
	if ch := r.merged.Change(); ch != nil {
		return state.Row{Value: ch.Value, Offset: ch.Offset, Timestamp: ch.Timestamp}
	}
	return r.below.it.Row()
}

func (r *cellRows) Err() error   { return r.below.it.Err() }
func (r *cellRows) Close() error { return r.below.it.Close() }
