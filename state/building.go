package state

import (
	"errors"
	"fmt"
	"path/filepath"

	"github.com/tarnstream/tarn/internal/ldb"
)

// building is the generation of a rebuild until Swap: sorted runs of rows, which nobody reads, the last of them in memory, and
// a checkpoint that is not on disk. One goroutine writes it.
type building struct {
	name, dir  string
	tables     *ldb.Builder
	checkpoint Checkpoint // guarded by disk.mu, with has
	has        bool
}

// startBuilding makes an empty one; what lies at dir is removed.
func startBuilding(fs ldb.FS, dir string, shared *ldb.Shared) (*building, error) {
	if err := removeGeneration(fs, dir); err != nil {
		return nil, err
	}
	if err := fs.MkdirAll(dir); err != nil {
		return nil, fmt.Errorf("state: make %s: %w", dir, err)
	}
	tables, err := ldb.NewBuilder(fs, dir, shared, rowDigest)
	if err != nil {
		return nil, fmt.Errorf("state: %w", err)
	}
	return &building{name: filepath.Base(dir), dir: dir, tables: tables}, nil
}

// add writes the rows of a batch.
func (n *building) add(b *Batch) error {
	f := b.newest
	if f == nil {
		f = newFold()
		for key, row := range b.All() {
			f.put(key, row)
		}
	}
	if len(f.rows) == 0 {
		return nil
	}
	if !b.last {
		return wrapDamage(n.dir, n.tables.Add(f.sorted()))
	}
	b.newest = nil
	return wrapDamage(n.dir, n.tables.Last(f.sorted()))
}

// sweep removes the rows below an offset and counts them.
func (n *building) sweep(below int64) (swept int, err error) {
	var damaged error
	err = n.tables.Drop(func(key, raw []byte) bool {
		row, err := decodeRow(raw)
		if err != nil {
			damaged = &DamageError{Dir: n.dir, Err: fmt.Errorf("key %q: %w", key[1:], err)}
		}
		if err != nil || row.Offset >= below {
			return false
		}
		swept++
		return true
	})
	return swept, wrapDamage(n.dir, errors.Join(damaged, err))
}

// finish makes a generation of it, whose files are synced. The building is closed, whatever comes of it.
func (n *building) finish(c ldb.Config) (*generation, error) {
	c.Create = false
	db, err := n.tables.Open(c)
	if err != nil {
		return nil, asDamage(n.dir, err)
	}
	g := newGeneration(n.dir, db)
	g.checkpoint, g.has = n.checkpoint, n.has
	return beginGeneration(g, n.tables.Digest())
}

func (n *building) close() error {
	if err := n.tables.Close(); err != nil {
		return fmt.Errorf("state: close %s: %w", n.dir, err)
	}
	return nil
}
