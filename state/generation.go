package state

import (
	"encoding/binary"
	"errors"
	"fmt"
	"path/filepath"
	"sync"

	"github.com/tarnstream/tarn/internal/digest"
	"github.com/tarnstream/tarn/internal/invariant"
	"github.com/tarnstream/tarn/internal/ldb"
)

// Keys of a generation: prefixData + a user's key, prefixMeta + one of ours. They never meet (R48).
const (
	prefixData = 'd'
	prefixMeta = 'm'
)

// Rows of ours: "mc" the checkpoint, "mv" the format of the rows, "mf" + 8 bytes big endian one numbered flush row.
//
// A generation begins with the format row and flush rows 0 to flushRows-1. Flush n writes row n and deletes row
// n-flushRows. So the rows present are always flushRows contiguous ones that end at the last flush. Where damage made
// the journal drop a stretch of batches and keep later ones, either a row within is missing, or the row that the first
// dropped batch should have deleted is still there; a dropped beginning leaves no format row (R60).
const (
	flushRows = 8
	rowFormat = 1
)

func keyCheckpoint() []byte { return []byte{prefixMeta, 'c'} }
func keyFormat() []byte     { return []byte{prefixMeta, 'v'} }

func keyFlush(n uint64) []byte {
	return binary.BigEndian.AppendUint64([]byte{prefixMeta, 'f'}, n)
}

// generation is one LevelDB and what it knows of itself. mu is held for reading by every use of the database, and for
// writing only to close it.
type generation struct {
	name string
	dir  string
	db   *ldb.DB

	mu     sync.RWMutex
	closed bool
	iters  map[*rows]struct{}
	itersM sync.Mutex
	// onIdle runs once when the last iterator is gone, after retire.
	onIdle func()

	// meta guards what the last write said; only the one writer changes it, but for sum.
	meta       sync.Mutex
	flush      uint64
	checkpoint Checkpoint
	has        bool
	encoded    []byte
	sum        rowSum

	keys knownKeys
}

// createGeneration makes an empty one; what lies at dir is removed.
func createGeneration(fs ldb.FS, dir string, c ldb.Config) (*generation, error) {
	if err := removeGeneration(fs, dir); err != nil {
		return nil, err
	}
	if err := fs.MkdirAll(dir); err != nil {
		return nil, fmt.Errorf("state: make %s: %w", dir, err)
	}
	c.Create = true
	db, err := ldb.Open(fs, dir, c)
	if err != nil {
		return nil, fmt.Errorf("state: %w", err)
	}
	return beginGeneration(newGeneration(dir, db), digest.Empty())
}

// beginGeneration gives a generation the rows of ours that each has, with its checkpoint if there is one, as one batch: where
// that is lost it has no beginning. sum is the digest of the rows that are there. It is closed where that fails.
func beginGeneration(g *generation, sum digest.Sum) (*generation, error) {
	var b ldb.Batch
	b.Put(keyFormat(), []byte{rowFormat})
	for n := range uint64(flushRows) {
		b.Put(keyFlush(n), nil)
	}
	g.flush, g.sum.sum = flushRows-1, sum
	if g.has {
		g.checkpoint.Flush, g.checkpoint.Digest = g.flush, sum
		g.encoded, _ = g.checkpoint.AppendBinary(nil)
		b.Put(keyCheckpoint(), g.encoded)
	}
	if err := g.db.Write(&b, true); err != nil {
		return nil, errors.Join(fmt.Errorf("state: %w", err), g.db.Close())
	}
	return g, nil
}

func newGeneration(dir string, db *ldb.DB) *generation {
	return &generation{name: filepath.Base(dir), dir: dir, db: db, iters: map[*rows]struct{}{}, sum: rowSum{drift: digest.Empty()}}
}

// openGeneration opens an existing one and checks it. Damage is a *DamageError.
func openGeneration(fs ldb.FS, dir string, c ldb.Config) (*generation, error) {
	c.Create = false
	db, err := ldb.Open(fs, dir, c)
	if err != nil {
		return nil, asDamage(dir, err)
	}
	g := newGeneration(dir, db)
	if err := g.load(); err != nil {
		return nil, errors.Join(asDamage(dir, err), db.Close())
	}
	return g, nil
}

// asDamage makes a *DamageError of what is damage, and leaves trouble with the disk as it is.
func asDamage(dir string, err error) error {
	if _, ok := errors.AsType[*DamageError](err); ok {
		return err
	}
	if ldb.IsDamage(err) {
		return &DamageError{Dir: dir, Err: err}
	}
	return fmt.Errorf("state: %w", err)
}

// load reads our rows and requires what section "On disk" of docs/DESIGN.md promises of them.
func (g *generation) load() error {
	damaged := func(err error) error { return &DamageError{Dir: g.dir, Err: err} }
	format, ok, err := g.db.Get(keyFormat())
	if err != nil {
		return err
	}
	if !ok {
		return damaged(errors.New("its beginning is lost"))
	}
	if len(format) != 1 || format[0] != rowFormat {
		return damaged(fmt.Errorf("its rows have format %x, this program knows %x", format, []byte{rowFormat}))
	}
	raw, ok, err := g.db.Get(keyCheckpoint())
	if err != nil {
		return err
	}
	if ok {
		if err := g.checkpoint.UnmarshalBinary(raw); err != nil {
			return damaged(err)
		}
		g.has, g.flush, g.sum.sum = true, g.checkpoint.Flush, g.checkpoint.Digest
	}
	return g.checkFlushes(damaged)
}

func (g *generation) checkFlushes(damaged func(error) error) error {
	it := g.db.Iterate([]byte{prefixMeta, 'f'}, []byte{prefixMeta, 'g'})
	defer it.Release()
	var seen []uint64
	for it.Next() {
		if len(it.Key()) != 10 {
			return damaged(errors.New("a flush row is malformed"))
		}
		seen = append(seen, binary.BigEndian.Uint64(it.Key()[2:]))
	}
	if err := it.Err(); err != nil {
		return err
	}
	last := g.flush
	if !g.has && len(seen) > 0 {
		last = seen[len(seen)-1]
		g.flush = last
	}
	for i, n := range seen {
		if n != last-flushRows+1+uint64(i) {
			return damaged(fmt.Errorf("flushes up to %d are not contiguous: %v", last, seen))
		}
	}
	if len(seen) != flushRows {
		return damaged(fmt.Errorf("flushes up to %d are not contiguous: %v", last, seen))
	}
	return nil
}

// write completes b with checkpoint and flush number and writes it. b is changed.
func (g *generation) write(b *Batch) error {
	invariant.Check(b.newest == nil, "a fold is written to a generation that is read")
	cp, has := g.checkpoint, g.has
	if b.has {
		cp, has = b.checkpoint, true
	}
	n, change := g.flush+1, b.changes()
	if has {
		cp.Flush, cp.Digest = n, g.digest().Plus(change)
		g.encoded, _ = cp.AppendBinary(g.encoded[:0])
		b.ops.Put(keyCheckpoint(), g.encoded)
	}
	b.ops.Put(keyFlush(n), nil)
	b.ops.Delete(keyFlush(n - flushRows))
	g.mu.RLock()
	defer g.mu.RUnlock()
	if g.closed {
		return ErrClosed
	}
	g.keys.writing.Lock()
	defer g.keys.writing.Unlock()
	g.keys.wrote(&b.ops)
	if err := g.db.Write(&b.ops, true); err != nil {
		return asDamage(g.dir, err)
	}
	g.meta.Lock()
	defer g.meta.Unlock()
	g.flush, g.checkpoint, g.has = n, cp, has
	g.sum.wrote(n, change)
	return nil
}

// known is the checkpoint of the last write, with what is known of the digest now.
func (g *generation) known() (Checkpoint, bool) {
	g.meta.Lock()
	defer g.meta.Unlock()
	cp := g.checkpoint
	cp.Digest = g.sum.sum
	return cp, g.has
}

func (g *generation) digest() digest.Sum {
	g.meta.Lock()
	defer g.meta.Unlock()
	return g.sum.sum
}

func (g *generation) get(key []byte) (Row, bool, error) {
	g.mu.RLock()
	defer g.mu.RUnlock()
	if g.closed {
		return Row{}, false, ErrClosed
	}
	if g.keys.lack(key) {
		if invariant.Enabled {
			g.keys.check(g.db, key)
		}
		return Row{}, false, nil
	}
	raw, ok, err := g.db.Get(dataKey(key))
	if err != nil {
		return Row{}, false, asDamage(g.dir, err)
	}
	if !ok {
		g.keys.missed(g.db)
		return Row{}, false, nil
	}
	row, err := decodeRow(raw)
	if err != nil {
		return Row{}, false, &DamageError{Dir: g.dir, Err: fmt.Errorf("key %q: %w", key, err)}
	}
	return row, true, nil
}

func wrapDamage(dir string, err error) error {
	if err == nil {
		return nil
	}
	return asDamage(dir, err)
}

func dataKey(key []byte) []byte {
	return append(append(make([]byte, 0, 1+len(key)), prefixData), key...)
}

// retire arranges that idle is called when the last iterator is gone. It is false where there is none: then nothing is.
func (g *generation) retire(idle func()) bool {
	g.itersM.Lock()
	defer g.itersM.Unlock()
	if len(g.iters) == 0 {
		return false
	}
	g.onIdle = idle
	return true
}

// close fails the open iterators and closes the database. It is idempotent. Readers are told that it is closed before the
// disk, which may be slow, has written what is left: none of them waits for that.
func (g *generation) close() error {
	if !g.shut() {
		return nil
	}
	if err := g.db.Close(); err != nil {
		return fmt.Errorf("state: close %s: %w", g.dir, err)
	}
	return nil
}

// shut ends reads and writes. It is false where that was done before.
func (g *generation) shut() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return false
	}
	g.closed = true
	g.keys.giveUp()
	g.itersM.Lock()
	defer g.itersM.Unlock()
	g.onIdle = nil
	for r := range g.iters {
		r.it.Release()
	}
	clear(g.iters)
	return true
}
