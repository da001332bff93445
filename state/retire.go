package state

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/tarnstream/tarn/internal/ldb"
)

// retirement says what becomes of a replaced generation: it is removed, or set aside with the cause.
type retirement struct {
	cause string
	aside bool
}

// retire discards the replaced generation when its last iterator is closed, or the store is.
func (d *disk) retire(old *generation, r retirement) {
	d.mu.Lock()
	d.retired[old] = r
	d.mu.Unlock()
	old.keys.giveUp() // it is read by iterators at most
	if !old.retire(func() { d.discard(old); d.tell() }) {
		d.discard(old)
	}
}

// discard closes a retired generation and removes it or sets it aside, once. Trouble here is logged: the new generation
// is current, and the next Open does what is left.
func (d *disk) discard(old *generation) {
	d.mu.Lock()
	r, ok := d.retired[old]
	delete(d.retired, old)
	d.mu.Unlock()
	if !ok {
		return
	}
	err := old.close()
	if err == nil && r.aside {
		err = d.quarantine(old.name, errors.New(r.cause))
	}
	if err == nil && !r.aside {
		err = d.o.FS.RemoveAll(old.dir)
	}
	if err != nil {
		d.o.Logger.Warn("cannot remove a replaced generation", "dir", old.dir, "error", err)
	}
}

// markAside notes in a generation, before another becomes current, that it is to be set aside: a crash right after the
// switch must not lose it. In a generation that stays current the mark means nothing.
func (d *disk) markAside(dir, cause string) error {
	err := d.o.FS.WriteFile(filepath.Join(dir, asideFile), []byte(cause+"\n"))
	if err == nil {
		err = d.o.FS.SyncDir(dir)
	}
	if err != nil {
		return fmt.Errorf("state: mark %s: %w", dir, err)
	}
	return nil
}

// removeOthers removes unfinished and replaced generations, or sets aside what a crash kept from it.
func (d *disk) removeOthers(names []string, current string) error {
	for _, name := range names {
		if name == current {
			continue
		}
		if err := d.removeOther(name); err != nil {
			return err
		}
	}
	return nil
}

func (d *disk) removeOther(name string) error {
	dir := filepath.Join(d.dir, name)
	cause, err := d.o.FS.ReadFile(filepath.Join(dir, asideFile))
	if err == nil {
		return d.quarantine(name, errors.New(strings.TrimSpace(string(cause))))
	}
	if !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("state: read %s: %w", dir, err)
	}
	return removeGeneration(d.o.FS, dir)
}

// removeGeneration removes what lies at dir, except a database that is open: it belongs to somebody.
func removeGeneration(fs ldb.FS, dir string) error {
	err := ldb.RequireClosed(fs, dir)
	if err == nil {
		err = fs.RemoveAll(dir)
	}
	if err != nil {
		return fmt.Errorf("state: remove generation %s: %w", dir, err)
	}
	return nil
}
