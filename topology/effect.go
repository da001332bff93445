package topology

import (
	"context"

	"github.com/tarnstream/tarn/internal/scope"
)

// Effect is something a group does outside of Kafka for its records, in batches: rows for a database, calls of an API.
type Effect[T any] struct {
	name string
	do   func(ctx context.Context, batch []T) error
}

// NewEffect makes the handle of an effect. Its faults are reported by Define.
//
// do is called before each commit of a task whose records have added something, with all that they have added, in order. Its
// error keeps that commit from happening: nothing that these records wrote is in Kafka, their offsets are not committed,
// and Run ends with a *processor.EffectError. What do has done stays done, and the records are handled again after a
// restart: an effect happens at least once. Make it idempotent, for instance by a row's key, or by topic, partition and
// offset of its record.
//
// The task handles no record while do runs; other tasks go on, commits included, and may be in do at the same time. ctx
// ends when the partition is lost, or when a stop or a rebalance has waited up to its deadline (processor.StopTimeout):
// then the commit does not happen either, whatever do returns.
func NewEffect[T any](name string, do func(ctx context.Context, batch []T) error) *Effect[T] {
	return &Effect[T]{name: name, do: do}
}

// Name is the effect's name, for errors.
func (e *Effect[T]) Name() string { return e.name }

// Add hands a row to the effect once the callback has returned nil; after an error or a panic it is dropped with all else
// that the callback wrote. The row is kept as it is: what it points to must not be changed afterwards. The group declares
// the effect with BeforeCommit, else the error is an *UndeclaredError.
func (e *Effect[T]) Add(ctx *Context, row T) error { return scope.AddTo(ctx.frame, e, e.name, row) }

// BeforeCommit makes the group do an effect before each commit. A group may have several; they are done in the order of
// their edges.
func BeforeCommit[T any](e *Effect[T]) Edge {
	if e == nil {
		return Edge{kind: "BeforeCommit"}
	}
	edge := Edge{kind: "BeforeCommit", handle: e}
	if e.do == nil {
		edge.faults = append(edge.faults, "the func is nil")
	}
	if e.name == "" {
		edge.faults = append(edge.faults, "the effect's name is empty")
	}
	edge.add = func(g *scope.Group) {
		g.Effects = append(g.Effects, scope.Effect{Name: e.name, Handle: e, NewBatch: func() scope.Batch { return scope.NewBatch(e.do) }})
	}
	return edge
}
