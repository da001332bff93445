package state

import (
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"

	"github.com/tarnstream/tarn/internal/ldb"
)

// Write writes the batch with its checkpoint.
func (d *disk) Write(b *Batch) error {
	defer d.exclusive()()
	return d.write(b)
}

func (d *disk) write(b *Batch) error {
	if err := d.writable(); err != nil {
		return err
	}
	if d.next != nil {
		return d.failedBy(d.noteDamage(d.build(b)))
	}
	g, err := d.ensureCurrent()
	if err == nil {
		err = g.write(b)
	}
	return d.failedBy(d.noteDamage(err))
}

// build gives a batch to the rebuild.
func (d *disk) build(b *Batch) error {
	if err := d.next.add(b); err != nil {
		return err
	}
	if b.has {
		d.mu.Lock()
		d.next.checkpoint, d.next.has = b.checkpoint, true
		d.mu.Unlock()
	}
	return nil
}

// writable refuses writes to a store that is closed or has failed: a batch that may or may not be on disk must not be
// followed by others.
func (d *disk) writable() error {
	if d.closed {
		return ErrClosed
	}
	if d.o.ReadOnly {
		return fmt.Errorf("state: %w", ldb.ErrReadOnly)
	}
	if d.failed != nil {
		return fmt.Errorf("state: the store takes no writes since it failed: %w", d.failed)
	}
	return nil
}

func (d *disk) failedBy(err error) error {
	if err != nil {
		d.failed = err
	}
	return err
}

// ensureCurrent gives the current generation; the very first write makes one without a rebuild.
func (d *disk) ensureCurrent() (*generation, error) {
	if d.current != nil {
		return d.current, nil
	}
	g, err := createGeneration(d.o.FS, d.newDir(), d.cfg)
	if err != nil {
		return nil, err
	}
	if err := d.makeCurrent(g); err != nil {
		return nil, errors.Join(err, g.close())
	}
	return g, nil
}

// newDir is where the next generation lies.
func (d *disk) newDir() string {
	dir := filepath.Join(d.dir, generationName(d.nextNum))
	d.nextNum++
	return dir
}

// makeCurrent makes g, whose files are synced, the current generation on disk and then in memory.
func (d *disk) makeCurrent(g *generation) error {
	for _, dir := range []string{g.dir, d.dir} {
		if err := d.o.FS.SyncDir(dir); err != nil {
			return fmt.Errorf("state: sync %s: %w", dir, err)
		}
	}
	if err := d.writeCurrent(g.name); err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	g.keys.bytes = d.o.KeyFilterBytes
	d.current, d.next, d.cause, d.stale = g, nil, "", false
	return nil
}

// Rebuild begins a new generation.
func (d *disk) Rebuild(cause string, quarantine bool) error {
	defer d.exclusive()()
	if err := d.writable(); err != nil {
		return err
	}
	d.mu.Lock()
	d.cause, d.stale = cause, true
	d.mu.Unlock()
	if err := d.dropNext(); err != nil {
		return d.failedBy(err)
	}
	n, err := startBuilding(d.o.FS, d.newDir(), d.o.Shared)
	if err != nil {
		return d.failedBy(err)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.next, d.aside = n, d.aside || quarantine
	return nil
}

// dropNext removes an unfinished rebuild.
func (d *disk) dropNext() error {
	n := d.next
	if n == nil {
		return nil
	}
	d.mu.Lock()
	d.next = nil
	d.mu.Unlock()
	if err := n.close(); err != nil {
		return err
	}
	if err := d.o.FS.RemoveAll(n.dir); err != nil {
		return fmt.Errorf("state: remove unfinished generation: %w", err)
	}
	return nil
}

// Swap makes the new generation the current one.
func (d *disk) Swap() error {
	defer d.tell()
	defer d.exclusive()()
	if err := d.writable(); err != nil {
		return err
	}
	if d.next == nil {
		return nil
	}
	old, r := d.current, retirement{cause: d.cause, aside: d.aside}
	g, err := d.next.finish(d.cfg)
	if err != nil {
		return d.failedBy(d.noteDamage(err))
	}
	if old != nil && r.aside {
		err = d.markAside(old.dir, r.cause)
	}
	if err == nil {
		err = d.makeCurrent(g)
	}
	if err != nil {
		return d.failedBy(errors.Join(err, g.close()))
	}
	d.aside = false
	if old != nil {
		d.retire(old, r)
	}
	return nil
}

// Close closes the store.
func (d *disk) Close() error {
	defer d.tell()
	defer d.exclusive()()
	d.mu.Lock()
	if d.closed {
		d.mu.Unlock()
		return nil
	}
	d.closed = true
	retired := slices.Collect(maps.Keys(d.retired))
	d.mu.Unlock()
	for _, g := range retired {
		d.discard(g)
	}
	var err error
	if d.current != nil {
		err = d.current.close()
	}
	if d.next != nil {
		err = errors.Join(err, d.next.close())
	}
	return err
}
