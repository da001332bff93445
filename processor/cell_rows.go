package processor

import (
	"github.com/tarnstream/tarn/internal/scope"
	"github.com/tarnstream/tarn/state"
)

// Range implements scope.Backing.
func (t *task) Range(table int) scope.Rows { return t.cells[table].rows() }

// rows walks over the cell as its task sees it now.
//
// The layers are taken before the store: what is flushed in between is then in both, and the layer's row wins. The other
// way round it could be in neither.
func (c *cell) rows() scope.Rows {
	layers, _ := c.unflushed(true)
	return scope.Merge(layers, &storeRows{it: c.store.Range(nil, nil)})
}

// unflushed gives the newest changes that may not be on disk, in key order, for the task or for the outside, and what those of
// the outside amount to.
func (c *cell) unflushed(inside bool) ([]scope.Change, state.Checkpoint) {
	c.mu.RLock()
	layers, check := []*layer{c.frozen, c.committed}, c.check
	if inside {
		layers = append(layers, c.sealed)
	}
	newest := make(map[string]scope.Change, c.frozen.len()+c.committed.len())
	for _, l := range layers {
		for i := range l.len() {
			newest[l.rows[i].Key] = l.rows[i]
		}
	}
	c.mu.RUnlock()
	out := make([]scope.Change, 0, len(newest))
	for _, ch := range newest {
		out = append(out, ch)
	}
	scope.SortChanges(out)
	return out, check
}

// storeRows is a store's iterator as scope.Rows.
type storeRows struct {
	it  state.Iterator
	key string
}

func (r *storeRows) Next() bool {
	if !r.it.Next() {
		return false
	}
	r.key = string(r.it.Key())
	return true
}

func (r *storeRows) Key() string   { return r.key }
func (r *storeRows) Value() []byte { return r.it.Row().Value }
func (r *storeRows) Err() error    { return r.it.Err() }
func (r *storeRows) Close()        { _ = r.it.Close() } // Err tells it
