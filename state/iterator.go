package state

import (
	"fmt"

	"github.com/tarnstream/tarn/internal/ldb"
)

// rows is the Iterator over one generation. It keeps the generation open until it is closed, except that the store's
// Close ends it with ErrClosed.
type rows struct {
	g    *generation
	note func(error) error // marks damage
	it   *ldb.Iterator
	key  []byte
	row  Row
	err  error
	done bool
	sum  *tally // of a Snapshot
}

// iterate gives an iterator over [from, to); note is given every error that ends it, and gives the one to be told.
func (g *generation) iterate(from, to []byte, note func(error) error) Iterator {
	g.mu.RLock()
	defer g.mu.RUnlock()
	if g.closed {
		return failed{ErrClosed}
	}
	limit := []byte{prefixData + 1}
	if to != nil {
		limit = dataKey(to)
	}
	r := &rows{g: g, note: note, it: g.db.Iterate(dataKey(from), limit)}
	g.itersM.Lock()
	g.iters[r] = struct{}{}
	g.itersM.Unlock()
	return r
}

func (r *rows) Next() bool {
	r.g.mu.RLock()
	defer r.g.mu.RUnlock()
	if r.err != nil || r.done {
		return false
	}
	if r.g.closed {
		r.err = ErrClosed
		return false
	}
	if !r.it.Next() {
		r.done, r.err = true, r.note(wrapDamage(r.g.dir, r.it.Err()))
		if r.sum != nil && r.err == nil {
			r.g.tallied(r.sum)
		}
		return false
	}
	row, err := decodeRow(r.it.Value())
	if err != nil {
		r.err = r.note(&DamageError{Dir: r.g.dir, Err: fmt.Errorf("key %q: %w", r.it.Key()[1:], err)})
		return false
	}
	r.key, r.row = r.it.Key()[1:], row
	if r.sum != nil {
		r.sum.rows = r.sum.rows.Plus(row.digest(r.key))
	}
	return true
}

func (r *rows) Key() []byte { return r.key }
func (r *rows) Row() Row    { return r.row }
func (r *rows) Err() error  { return r.err }

func (r *rows) Close() error {
	var idle func()
	r.g.mu.RLock()
	r.g.itersM.Lock()
	if _, open := r.g.iters[r]; open {
		r.it.Release()
		delete(r.g.iters, r)
		if len(r.g.iters) == 0 {
			idle, r.g.onIdle = r.g.onIdle, nil
		}
	}
	r.g.itersM.Unlock()
	r.done = true
	r.g.mu.RUnlock()
	if idle != nil {
		idle()
	}
	return r.err
}

// failed is an Iterator over nothing, with an error or without.
type failed struct{ err error }

func (failed) Next() bool     { return false }
func (failed) Key() []byte    { return nil }
func (failed) Row() Row       { return Row{} }
func (f failed) Err() error   { return f.err }
func (f failed) Close() error { return f.err }
