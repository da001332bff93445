package scope

import (
	"cmp"
	"context"
	"slices"
)

// Range walks over the table's rows of this partition as the record in hand's callback sees them now: what it writes
// afterwards does not show. The walk ends with the callback, and with the frame's context.
func (o *Overlay[T]) Range(f *Frame) Rows {
	o.walks++
	return f.Walk(Merge(o.changes(), o.below.Range(o.table)), func() { o.walks-- })
}

// Walk makes rows end with the record in hand's callback, and with the frame's context. release is called when they are
// closed; it may be nil.
func (f *Frame) Walk(rows Rows, release func()) Rows {
	w := &walk{Rows: rows, frame: f, release: release}
	f.walks = append(f.walks, w)
	return w
}

// Keys implements Layer.
func (o *Overlay[T]) Keys() Rows { return Merge(o.changes(), o.below.Range(o.table)) }

// Peek implements Layer.
func (o *Overlay[T]) Peek(key string) ([]byte, bool, error) {
	if r := o.rows.find([]byte(key)); r != nil {
		return r.data, r.present, nil
	}
	value, _, ok, err := o.below.Get(o.table, key)
	return value, ok, err
}

// changes are the record in hand's writes and the open layer, in key order. While a walk is open their bytes stay as
// they are: see Set.
func (o *Overlay[T]) changes() []Change {
	out := make([]Change, 0, len(o.dirty)+len(o.touched))
	for _, r := range o.touched {
		out = append(out, Change{Key: r.key, Value: r.pending.data, Delete: !r.pending.present})
	}
	for _, r := range o.dirty {
		if r.pending == nil {
			out = append(out, Change{Key: r.key, Value: r.data, Delete: !r.present})
		}
	}
	SortChanges(out)
	return out
}

// SortChanges puts changes into key order, for Merge.
func SortChanges(changes []Change) {
	slices.SortFunc(changes, func(a, b Change) int { return cmp.Compare(a.Key, b.Key) })
}

// walk is a Rows that does not outlive its callback, whatever the callback does with it.
type walk struct {
	Rows
	frame   *Frame
	release func()
	err     error
	closed  bool
}

func (w *walk) Next() bool {
	switch {
	case w.err != nil:
		return false
	case w.closed:
		w.err = ErrNotInCallback
		return false
	case w.frame.Err() != nil: // nothing the callback does will count
		w.err = context.Cause(w.frame)
		return false
	}
	return w.Rows.Next()
}

func (w *walk) Err() error { return cmp.Or(w.err, w.Rows.Err()) }

func (w *walk) Close() {
	if w.closed {
		return
	}
	w.closed = true
	w.Rows.Close()
	if w.release != nil {
		w.release()
	}
	w.frame.walks = slices.DeleteFunc(w.frame.walks, func(o *walk) bool { return o == w })
}

// endWalks closes what the callback left open.
func (f *Frame) endWalks() {
	for len(f.walks) > 0 {
		f.walks[0].Close()
	}
}
