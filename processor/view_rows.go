package processor

import (
	"bytes"
	"container/heap"
	"errors"

	"github.com/tarnstream/tarn/state"
)

// keyOrder is the iterators of several partitions as one in key order. The heap's first is the one in hand.
type keyOrder struct {
	all, open []state.Iterator
	begun     bool
	err       error
}

func inKeyOrder(its []state.Iterator) state.Iterator {
	if len(its) == 1 {
		return its[0]
	}
	return &keyOrder{all: its}
}

func (o *keyOrder) Next() bool {
	switch {
	case o.err != nil:
		return false
	case !o.begun:
		o.begun = true
		for _, it := range o.all {
			if !o.enter(it) {
				return false
			}
		}
		heap.Init((*byKey)(&o.open))
	case len(o.open) > 0:
		if it := o.open[0]; it.Next() {
			heap.Fix((*byKey)(&o.open), 0)
		} else if o.err = it.Err(); o.err != nil {
			return false
		} else {
			heap.Pop((*byKey)(&o.open))
		}
	}
	return len(o.open) > 0
}

// enter takes an iterator that has a row into the heap's slice; false means trouble.
func (o *keyOrder) enter(it state.Iterator) bool {
	if it.Next() {
		o.open = append(o.open, it)
	} else {
		o.err = it.Err()
	}
	return o.err == nil
}

func (o *keyOrder) Key() []byte    { return o.open[0].Key() }
func (o *keyOrder) Row() state.Row { return o.open[0].Row() }
func (o *keyOrder) Err() error     { return o.err }

func (o *keyOrder) Close() error {
	errs := []error{o.err}
	for _, it := range o.all {
		if err := it.Close(); o.err == nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// byKey is a heap of iterators by the keys in hand.
type byKey []state.Iterator

func (h byKey) Len() int           { return len(h) }
func (h byKey) Less(i, j int) bool { return bytes.Compare(h[i].Key(), h[j].Key()) < 0 }
func (h byKey) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *byKey) Push(x any)        { *h = append(*h, x.(state.Iterator)) }
func (h *byKey) Pop() any {
	old := *h
	last := old[len(old)-1]
	*h = old[:len(old)-1]
	return last
}
