package state

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/tarnstream/tarn/internal/ldb"
)

// Stores lists the partitions of table that have something: a generation, or damage where one should be.
func (g *GroupDir) Stores(table string) ([]int32, error) {
	all, err := g.Partitions(table)
	if err != nil {
		return nil, err
	}
	var failed error
	all = slices.DeleteFunc(all, func(p int32) bool {
		name, err := storedGeneration(Options{}.withDefaults(), g.StoreDir(table, p))
		if _, damage := errors.AsType[*DamageError](err); damage {
			return false
		}
		failed = errors.Join(failed, err)
		return name == noGeneration
	})
	return all, failed
}

// StoredCheckpoint reads the checkpoint of a store that is closed; false where it has none. A *DamageError is a store without one
// that can be read. While the store is open, here or in another process, the answer is an error.
func (g *GroupDir) StoredCheckpoint(table string, partition int32) (Checkpoint, bool, error) {
	return storedCheckpoint(Options{}.withDefaults(), g.StoreDir(table, partition))
}

// Remove removes a store that is closed, except what stands in its quarantine and is not too old for it. A store that is
// open is left as it is, with an error. After a crash in the middle the store is the empty one that it was to be.
func (g *GroupDir) Remove(table string, partition int32) error {
	return removeStore(Options{}.withDefaults(), g.StoreDir(table, partition))
}

// storedGeneration is what CURRENT names, without a change to the disk.
func storedGeneration(o Options, dir string) (string, error) {
	d := &disk{dir: dir, o: o}
	names, err := d.generations()
	if err != nil {
		return "", err
	}
	if _, err := o.FS.ReadFile(filepath.Join(dir, currentFile)); errors.Is(err, os.ErrNotExist) && len(names) == 0 {
		return noGeneration, nil
	}
	return d.readCurrent(len(names) > 0)
}

func storedCheckpoint(o Options, dir string) (Checkpoint, bool, error) {
	name, err := storedGeneration(o, dir)
	if err != nil || name == noGeneration {
		return Checkpoint{}, false, err
	}
	path := filepath.Join(dir, name)
	if _, err := o.FS.List(path); errors.Is(err, os.ErrNotExist) { // to open it would make it
		return Checkpoint{}, false, &DamageError{Dir: path, Err: errors.New("CURRENT names a generation that is not there")}
	}
	g, err := openGeneration(o.FS, path, ldb.Config{Shared: o.Shared, WriteBufferBytes: o.WriteBufferBytes})
	if err != nil {
		return Checkpoint{}, false, err
	}
	cp, ok := g.known()
	return cp, ok, g.close()
}

// removeStore makes the store an empty one first, by one rename: whatever is left of it after a crash is then removed by
// the next Open, or by the next removal.
func removeStore(o Options, dir string) error {
	d := &disk{dir: dir, o: o}
	names, err := d.generations()
	if err != nil {
		return err
	}
	for _, name := range names {
		if err := ldb.RequireClosed(o.FS, filepath.Join(dir, name)); err != nil {
			return fmt.Errorf("state: remove %s: %w", dir, err)
		}
	}
	if err := d.writeCurrent(noGeneration); err != nil {
		return err
	}
	if err := d.removeOthers(names, noGeneration); err != nil {
		return err
	}
	if err := d.boundQuarantine(); err != nil {
		return err
	}
	aside, err := o.FS.List(filepath.Join(dir, quarantineDir))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("state: list the quarantine of %s: %w", dir, err)
	}
	if len(aside) > 0 {
		return nil
	}
	if err := o.FS.RemoveAll(dir); err != nil {
		return fmt.Errorf("state: remove %s: %w", dir, err)
	}
	return nil
}
