package processor

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tarnstream/tarn/internal/scope"
)

// Visit runs the callback that topology.Visit gave a name over every row of its table in the partitions that this process
// keeps when Visit is called, and tells how many it was. It waits for Ready, and is not to be called in a callback. Several
// visits may be under way.
//
// Each task goes over its rows in the order of their keys, some at a time between records: inputs are read and commits are
// made meanwhile. It visits every key that it has when it begins and that is still there when its turn comes, once, with
// the newest value; keys that records or the visit itself add are not visited.
//
// When the error is nil every row was visited and what the callbacks wrote is in Kafka. Any other end is a *VisitError: a
// row whose callback failed, the end of ctx (after the callback in hand), a partition that went to another process, which
// does not go on with the visit, or the end of Run. What was visited before stays, and n counts it; the rest needs another
// Visit.
func (p *Processor) Visit(ctx context.Context, name string) (n int64, err error) {
	v := &visit{}
	g := p.group.Description()
	for i := range g.Visits {
		if g.Visits[i].Name == name {
			v.edge, v.table = &g.Visits[i], g.TableIndex(g.Visits[i].Table.Handle)
		}
	}
	if v.edge == nil {
		return 0, fmt.Errorf("processor: group %s has no visit %q: add topology.Visit to Define", g.Name, name)
	}
	v.ctx, v.giveUp = context.WithCancelCause(ctx)
	defer v.giveUp(nil)
	failed := &VisitError{Group: g.Name, Visit: name, Table: v.edge.Table.Name, Partition: -1}
	select {
	case <-p.ready:
	case <-ctx.Done():
		failed.Cause = context.Cause(ctx)
		return 0, failed
	case <-p.over:
	}
	ts := p.tasks()
	if ts == nil {
		failed.Cause = errNotRunning
		return 0, failed
	}
	for _, w := range ts.walk(v) {
		if !w.await(p.over) {
			failed.Unfinished = append(failed.Unfinished, w.task.partition)
		}
		n += w.count.Load()
	}
	if len(failed.Unfinished) == 0 {
		return n, nil
	}
	v.explain(failed)
	return n, failed
}

// VisitError says why a visit did not reach every row.
type VisitError struct {
	Group, Visit, Table string
	// Unfinished are the partitions, in order, of which a row was not visited, or of which it is not known that what was
	// written is in Kafka.
	Unfinished []int32
	// Partition and Key are of the row whose callback failed, nothing of which stays; Partition is -1 where none did.
	Partition int32
	Key       string
	// Cause is what the callback returned, a *topology.DecodeError or a *PanicError; or the context's cause; or says that
	// the partitions left this process, as they do when Run ends.
	Cause error
}

func (e *VisitError) Error() string {
	s := fmt.Sprintf("processor: group %s: visit %s of table %s", e.Group, e.Visit, e.Table)
	if e.Partition >= 0 {
		s += fmt.Sprintf(": partition %d, key %.64q", e.Partition, e.Key)
	}
	if len(e.Unfinished) > 0 {
		s += fmt.Sprintf(" (unfinished: partitions %d)", e.Unfinished)
	}
	return fmt.Sprintf("%s: %v", s, e.Cause)
}

// Unwrap gives the cause.
func (e *VisitError) Unwrap() error { return e.Cause }

var (
	errNotRunning = errors.New("processor: Run has ended")
	errLeft       = errors.New("processor: partitions left this process")
)

// visit is one call of Visit. It ends as a whole: the first callback that fails gives up the walks of all tasks.
type visit struct {
	edge   *scope.Visit
	table  int
	ctx    context.Context
	giveUp context.CancelCauseFunc
}

// rowError is the cause of a visit that was given up because of a row.
type rowError struct {
	partition int32
	key       string
	cause     error
}

func (e *rowError) Error() string { return e.cause.Error() }

// explain fills in why the visit was given up.
func (v *visit) explain(e *VisitError) {
	row, failed := errors.AsType[*rowError](context.Cause(v.ctx))
	switch {
	case failed:
		e.Partition, e.Key, e.Cause = row.partition, row.key, row.cause
	case v.ctx.Err() != nil:
		e.Cause = context.Cause(v.ctx)
	default:
		e.Cause = errLeft
	}
}

// walk is a task's part of a visit.
//
// The naive way ranges over the table in one go: for millions of rows no record is read and no commit made, and a
// partition cannot be given away in time. Going on behind the last key instead, with a new range for each slice, would
// meet the keys that were added meanwhile, the visit's own among them, and might never end. The rule: the keys are those
// of a snapshot from when the walk begins, the values those of the moment, and each row is handled like a record, with
// attention to others before it.
type walk struct {
	*visit
	task  *task
	turn  chan struct{} // a lock: the task has it in a slice; who gives up takes it for good
	keys  scope.Rows    // nil before the first slice
	count atomic.Int64
	done  chan struct{} // closed when all rows were visited and Kafka has what was written
}

// await waits for the end of the walk; when it was given up, for the end of the callback in hand.
func (w *walk) await(over <-chan struct{}) (finished bool) {
	select {
	case <-w.done:
	case <-w.task.closed:
	case <-over:
	case <-w.ctx.Done():
		select {
		case w.turn <- struct{}{}:
		case <-w.done:
		case <-w.task.closed:
		case <-over:
		}
	}
	select {
	case <-w.done:
		return true
	default:
		return false
	}
}

// walks are those of a task.
type walks struct {
	mu    sync.Mutex
	asked []*walk // not taken up yet
	// The rest belongs to the task's goroutine.
	going   []*walk // in turn
	through []*walk // all visited, but not all in a sealed layer
}

// walk asks the live tasks for their part of a visit.
func (ts *tasks) walk(v *visit) []*walk {
	var out []*walk
	for _, t := range ts.all() {
		w := &walk{visit: v, task: t, turn: make(chan struct{}, 1), done: make(chan struct{})}
		t.walks.mu.Lock()
		t.walks.asked = append(t.walks.asked, w)
		t.walks.mu.Unlock()
		t.nudge()
		out = append(out, w)
	}
	return out
}

// take takes up what was asked.
func (ws *walks) take() {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	ws.going = append(ws.going, ws.asked...)
	ws.asked = nil
}

// end frees what the walks hold.
func (ws *walks) end() {
	for _, w := range ws.going {
		w.close()
	}
}

func (w *walk) close() {
	if w.keys != nil {
		w.keys.Close()
	}
}

// A slice is what a walk does at a time, between two turns of the inputs.
const (
	sliceRows = 512
	sliceTime = 5 * time.Millisecond
)

// visitSome goes on with the walk whose turn it is. It tells whether there was one.
func (t *task) visitSome(ctx context.Context) (bool, error) {
	ws := &t.walks
	if len(ws.going) == 0 {
		return false, nil
	}
	if ctx.Err() != nil {
		return false, context.Cause(ctx)
	}
	w := ws.going[0]
	ws.going = ws.going[1:]
	end, err := t.slice(w)
	switch end {
	case sliceMore:
		ws.going = append(ws.going, w)
	case sliceLast:
		w.close()
		ws.through = append(ws.through, w)
		t.worked.Store(true) // the next layer, which may be empty, is the one that tells
	case sliceNone:
		w.close()
	}
	return true, err
}

// The ends of a slice: there is more to visit, it was the last, or the walk is given up.
const (
	sliceMore = iota
	sliceLast
	sliceNone
)

// slice visits some rows. An error ends the task, and with it the run.
func (t *task) slice(w *walk) (end int, final error) {
	select {
	case w.turn <- struct{}{}:
		defer func() { <-w.turn }()
	default:
		return sliceNone, nil
	}
	layer := t.frame.Layers()[w.table]
	if w.keys == nil {
		w.keys = layer.Keys()
	}
	began := time.Now()
	for n := 0; n < sliceRows && time.Since(began) < sliceTime; n++ {
		switch {
		case w.ctx.Err() != nil:
			return sliceNone, nil
		case t.attention.Load() || t.full():
			return sliceMore, nil
		case !w.keys.Next():
			if final := t.trouble(); final != nil {
				return sliceNone, final
			}
			return sliceLast, nil
		}
		if err := t.visitRow(w, layer, w.keys.Key()); err != nil {
			if final := t.trouble(); final != nil {
				return sliceNone, final
			}
			w.giveUp(&rowError{t.partition, w.keys.Key(), err})
			return sliceNone, nil
		}
	}
	return sliceMore, nil
}

// visitRow runs the callback for one key, unless it is gone by now.
func (t *task) visitRow(w *walk, layer scope.Layer, key string) error {
	value, ok, err := layer.Peek(key)
	if err != nil || !ok {
		return err
	}
	err = t.attempt(scope.Record{Topic: w.edge.Table.Name, Partition: t.partition, Offset: -1, Timestamp: t.env.now().UnixMilli(),
		Key: bytesOf(key), Value: value}, w.edge.Call)
	if err == nil {
		w.count.Add(1)
		t.worked.Store(true)
	}
	return err
}
