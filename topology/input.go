package topology

import (
	"github.com/tarnstream/tarn/codec"
	"github.com/tarnstream/tarn/internal/scope"
)

// OnDelete hands records with a null value to fn, in their place among the others of the partition, instead of skipping
// them. The record's key may be null too; see HasKey.
func OnDelete(fn func(ctx *Context) error) scope.InputOption {
	return func(in *scope.Input) {
		if fn == nil {
			in.Faults = append(in.Faults, "the callback of OnDelete is nil")
			return
		}
		in.OnDelete = func(f *scope.Frame) error { return fn(contextOf(f)) }
	}
}

// Input reads a stream: fn is called for each record, one after the other within a partition. What it writes through
// handles takes effect when it returns nil; after an error or a panic nothing does, and policy.OnError says what happens
// then. A Set or an Emit that was refused and whose error fn does not return is fn's own choice: the rest takes effect. A
// record with a null value is counted and skipped, unless OnDelete takes it. A value of a stream whose codec is a codec.Borrower is good
// until fn returns. Package policy has the other options.
func Input[T any](s *Stream[T], fn func(ctx *Context, value T) error, options ...scope.InputOption) Edge {
	if s == nil {
		return Edge{kind: "Input"}
	}
	in := newInput(s, fn, options)
	return Edge{kind: "Input", handle: s, faults: in.Faults,
		add: func(g *scope.Group) { g.Inputs = append(g.Inputs, in) }}
}

// Loop makes a stream the group's own: its callbacks emit to it, as to an Output, and fn is called for each of its
// records, as for an Input's. It serves to handle a record again: later, or under another key, which may belong to another
// task of the group.
//
// The stream's topic has as many partitions as the group's inputs. Where it is missing it is created, with
// cleanup.policy=delete and without a limit of time or size; records are removed once the group has committed them. Nobody
// else should read it. What a callback emits is read after the commit that it belongs to.
//
// A loop that emits more than it reads is held back like any task, by processor.MemoryBytes: memory stays bounded, the
// topic does not.
func Loop[T any](s *Stream[T], fn func(ctx *Context, value T) error, options ...scope.InputOption) Edge {
	if s == nil {
		return Edge{kind: "Loop"}
	}
	in := newInput(s, fn, options)
	in.Loop = true
	return Edge{kind: "Loop", handle: s, faults: in.Faults, add: func(g *scope.Group) {
		g.Inputs = append(g.Inputs, in)
		g.Outputs = append(g.Outputs, scope.Output{Topic: s.topic, Loop: true})
	}}
}

func newInput[T any](s *Stream[T], fn func(ctx *Context, value T) error, options []scope.InputOption) scope.Input {
	borrower, borrows := s.codec.(codec.Borrower[T])
	call := func(f *scope.Frame) error {
		var v T
		var err error
		if borrows {
			v, err = borrower.Borrow(f.Record().Value)
		} else {
			v, err = s.codec.Decode(f.Record().Value)
		}
		if err != nil {
			return &DecodeError{Cause: err}
		}
		return fn(contextOf(f), v)
	}
	in := scope.Input{Topic: s.topic, Call: call, Faults: codecFault(s.codec)}
	if fn == nil {
		in.Faults = append(in.Faults, "the callback is nil")
	}
	for _, o := range options {
		o(&in)
	}
	return in
}
