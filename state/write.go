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
	g, err := d.ensureTarget()
	if err == nil {
		err = g.write(b, d.next == nil)
	}
	return d.failedBy(d.noteDamage(err))
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

// ensureTarget gives the generation to write to; the very first write makes one without a rebuild.
func (d *disk) ensureTarget() (*generation, error) {
	if g := d.target(); g != nil {
		return g, nil
	}
	g, err := d.create()
	if err != nil {
		return nil, err
	}
	if err := d.makeCurrent(g); err != nil {
		return nil, errors.Join(err, g.close())
	}
	return g, nil
}

func (d *disk) create() (*generation, error) {
	dir := filepath.Join(d.dir, generationName(d.nextNum))
	d.nextNum++
	return createGeneration(d.o.FS, dir, d.cfg)
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
	g, err := d.create()
	if err != nil {
		return d.failedBy(err)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.next, d.aside = g, d.aside || quarantine
	return nil
}

// dropNext removes an unfinished rebuild.
func (d *disk) dropNext() error {
	g := d.next
	if g == nil {
		return nil
	}
	d.mu.Lock()
	d.next = nil
	d.mu.Unlock()
	if err := g.close(); err != nil {
		return err
	}
	if err := d.o.FS.RemoveAll(g.dir); err != nil {
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
	err := d.settle()
	if err == nil && old != nil && r.aside {
		err = d.markAside(old.dir, r.cause)
	}
	if err == nil {
		err = d.makeCurrent(d.next)
	}
	if err != nil {
		return d.failedBy(err)
	}
	d.aside = false
	if old != nil {
		d.retire(old, r)
	}
	return nil
}

// settle makes the writes of a rebuild durable, which were not synced, and gives its generation the buffer of a current one.
func (d *disk) settle() error {
	if d.next.buffer != d.o.WriteBufferBytes {
		return d.reopen(d.o.WriteBufferBytes) // replays the journals into synced tables
	}
	if err := d.next.db.Sync(); err != nil {
		return fmt.Errorf("state: %w", err)
	}
	return nil
}

// Resize opens the generation of a rebuild anew.
func (d *disk) Resize(buffer int) error {
	defer d.exclusive()()
	if err := d.writable(); err != nil {
		return err
	}
	buffer = max(buffer, d.o.WriteBufferBytes)
	if d.next == nil || d.next.buffer == buffer {
		return nil
	}
	return d.failedBy(d.reopen(buffer))
}

// openClosed opens a generation for what LevelDB does with its journals at an open.
func openClosed(fs ldb.FS, dir string, c ldb.Config) error {
	g, err := openGeneration(fs, dir, c)
	if err != nil {
		return err
	}
	return g.close()
}

// reopen closes and opens the generation of a rebuild. All that was written must be there, synced or not.
func (d *disk) reopen(buffer int) error {
	g, c := d.next, d.cfg
	if err := g.close(); err != nil {
		return err
	}
	if buffer < g.buffer { // its journal becomes one table, not many that are as small as the new buffer
		c.WriteBufferBytes = g.buffer
		if err := openClosed(d.o.FS, g.dir, c); err != nil {
			return err
		}
	}
	c.WriteBufferBytes = buffer
	again, err := openGeneration(d.o.FS, g.dir, c)
	if err != nil {
		return err
	}
	d.mu.Lock()
	d.next = again
	d.mu.Unlock()
	if again.flush != g.flush {
		return &DamageError{Dir: g.dir, Err: fmt.Errorf("flush %d was written, %d is there", g.flush, again.flush)}
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
	for _, g := range []*generation{d.current, d.next} {
		if g != nil {
			err = errors.Join(err, g.close())
		}
	}
	return err
}
