package scope

import (
	"context"
	"slices"
	"unsafe"
)

// Effect is something a group does outside of Kafka for its records, before their commit.
type Effect struct {
	Name     string
	Handle   any
	NewBatch func() Batch
}

// Batch is what was added to an Effect, without its type, as a task uses it.
type Batch interface {
	// Accept makes what the record in hand added part of the batch; Discard forgets it.
	Accept()
	Discard()
	// Take empties the batch into the call that does the effect, nil where nothing was added.
	Take() func(context.Context) error
	// Bytes estimates the batch's memory.
	Bytes() int
}

// effectRows gathers what the records of a commit add to an effect.
type effectRows[T any] struct {
	do      func(context.Context, []T) error
	all     []T
	pending int // the last of all: the record in hand's
	bytes   int // of the accepted ones
	hand    int // and of the record in hand's
}

// NewBatch makes the batch of an effect.
func NewBatch[T any](do func(context.Context, []T) error) Batch { return &effectRows[T]{do: do} }

func (b *effectRows[T]) Accept() {
	b.bytes += b.hand
	b.pending, b.hand = 0, 0
}

func (b *effectRows[T]) Discard() {
	keep := len(b.all) - b.pending
	b.all = slices.Delete(b.all, keep, len(b.all))
	b.pending, b.hand = 0, 0
}

func (b *effectRows[T]) Take() func(context.Context) error {
	if len(b.all) == 0 {
		return nil
	}
	rows := b.all
	b.all, b.bytes = nil, 0
	return func(ctx context.Context) error { return b.do(ctx, rows) }
}

func (b *effectRows[T]) Bytes() int { return b.bytes }

// AddTo adds a row to an effect of the group. What a row holds is not known: it is taken to be about as large as the
// record it was made from.
func AddTo[T any](f *Frame, handle any, name string, row T) error {
	if !f.inside {
		return ErrNotInCallback
	}
	for i := range f.group.Effects {
		if f.group.Effects[i].Handle == handle {
			b := f.effects[i].(*effectRows[T])
			b.all = append(b.all, row)
			b.pending++
			b.hand += int(unsafe.Sizeof(row)) + len(f.record.Key) + len(f.record.Value)
			return nil
		}
	}
	return &UndeclaredError{Group: f.group.Name, Kind: "effect", Name: name, Edge: "BeforeCommit"}
}

// Effects are the batches of the group's effects, in their order.
func (f *Frame) Effects() []Batch { return f.effects }

// Added gives what was added to an effect of the frame's group and not taken yet; false where the group has no such effect.
func Added[T any](f *Frame, handle any) ([]T, bool) {
	for i := range f.group.Effects {
		if f.group.Effects[i].Handle == handle {
			b := f.effects[i].(*effectRows[T])
			return slices.Clone(b.all[:len(b.all)-b.pending]), true
		}
	}
	return nil, false
}
