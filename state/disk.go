package state

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"

	"github.com/tarnstream/tarn/internal/ldb"
)

// disk is the Store on LevelDB: a directory with CURRENT, the generation it names, while a rebuild is under way a
// second one, and "quarantine".
//
// Lock order: disk.writer, disk.mu, generation.mu, then generation.itersM, or keys.walking, keys.writing and generation.meta. mu
// guards which generations there are: a look holds it for reading, the one writer holds it to change them.
type disk struct {
	dir string
	o   Options
	cfg ldb.Config

	writer  chan struct{} // a lock of Write, Sweep, Rebuild, Swap and Close as a whole; a channel, since it is held over I/O
	mu      sync.RWMutex
	current *generation // nil: nothing was ever restored here
	next    *building   // the rebuild under way
	retired map[*generation]retirement
	cause   string
	stale   bool
	aside   bool // quarantine current at the swap
	nextNum uint64
	failed  error // the first failed write
	closed  bool
	heard   []func() // what the observer is to be told once no lock is held
}

// Open opens the store in dir (.../<table>/<partition>), makes it where missing, and removes what an interrupted rebuild
// left. A damaged store is quarantined and reported, and what Open gives is then empty, without a checkpoint. Trouble
// with the disk (permission, space, a store that is open elsewhere) is an error and changes nothing.
func Open(dir string, o Options) (Store, error) {
	o = o.withDefaults()
	d := &disk{dir: dir, o: o, writer: make(chan struct{}, 1), nextNum: 1, retired: map[*generation]retirement{},
		cfg: ldb.Config{Shared: o.Shared, WriteBufferBytes: o.WriteBufferBytes, ReadOnly: o.ReadOnly}}
	if o.ReadOnly {
		return d.look()
	}
	if err := o.FS.MkdirAll(dir); err != nil {
		return nil, fmt.Errorf("state: make %s: %w", dir, err)
	}
	err := d.open()
	d.tell()
	if err != nil {
		return nil, err
	}
	return d, nil
}

// look opens what CURRENT names and leaves everything as it is.
func (d *disk) look() (Store, error) {
	name, err := storedGeneration(d.o, d.dir)
	if err == nil && name != noGeneration {
		err = d.openCurrent(name)
	}
	if err != nil {
		return nil, err
	}
	return d, nil
}

// exclusive keeps other writers out until the function it gives is called.
func (d *disk) exclusive() (release func()) {
	d.writer <- struct{}{}
	return func() { <-d.writer }
}

// open reads CURRENT and opens what it names, then cleans up.
func (d *disk) open() error {
	names, err := d.generations()
	if err != nil {
		return err
	}
	current, err := d.readCurrent(len(names) > 0)
	if err == nil && current != noGeneration {
		err = d.openCurrent(current)
	}
	if damage, ok := errors.AsType[*DamageError](err); ok {
		if err = d.quarantineAll(names, damage); err == nil {
			names, current = nil, noGeneration
		}
	}
	if err == nil {
		err = d.removeOthers(names, current)
	}
	if err == nil {
		err = d.boundQuarantine()
	}
	if err != nil && d.current != nil {
		err = errors.Join(err, d.current.close())
	}
	return err
}

func (d *disk) openCurrent(name string) error {
	dir := filepath.Join(d.dir, name)
	if _, err := d.o.FS.ReadFile(filepath.Join(dir, damagedFile)); err == nil {
		return &DamageError{Dir: dir, Err: errors.New("damage was met while it was read")}
	}
	if _, err := d.o.FS.List(dir); errors.Is(err, os.ErrNotExist) {
		return &DamageError{Dir: dir, Err: errors.New("CURRENT names a generation that is not there")}
	}
	g, err := openGeneration(d.o.FS, dir, d.cfg)
	if err != nil {
		return err
	}
	g.keys.bytes = d.o.KeyFilterBytes
	d.current = g
	return nil
}

// generations lists the generation directories, oldest first.
func (d *disk) generations() ([]string, error) {
	all, err := d.o.FS.List(d.dir)
	if err != nil {
		return nil, fmt.Errorf("state: list %s: %w", d.dir, err)
	}
	var names []string
	for _, name := range all {
		if n, ok := generationNumber(name); ok {
			names = append(names, name)
			d.nextNum = max(d.nextNum, n+1)
		}
	}
	return names, nil
}

// readCurrent gives the name in CURRENT. A new directory gets one that says "none" before any generation is made, so
// that a missing CURRENT beside a generation is damage.
func (d *disk) readCurrent(generations bool) (string, error) {
	data, err := d.o.FS.ReadFile(filepath.Join(d.dir, currentFile))
	if errors.Is(err, os.ErrNotExist) {
		if generations {
			return "", &DamageError{Dir: d.dir, Err: errors.New("CURRENT is missing")}
		}
		return noGeneration, d.writeCurrent(noGeneration)
	}
	if err != nil {
		return "", fmt.Errorf("state: read CURRENT of %s: %w", d.dir, err)
	}
	name, err := decodeCurrent(data)
	if err != nil {
		return "", &DamageError{Dir: d.dir, Err: err}
	}
	return name, nil
}

const (
	currentFile   = "CURRENT"
	damagedFile   = "DAMAGED"
	asideFile     = "ASIDE"
	quarantineDir = "quarantine"
)

// Get reads from the current generation.
func (d *disk) Get(key []byte) (Row, bool, error) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	if d.closed {
		return Row{}, false, ErrClosed
	}
	if d.current == nil {
		return Row{}, false, nil
	}
	row, ok, err := d.current.get(key)
	return row, ok, d.noteDamage(err)
}

// noteDamage marks the store, so that the next Open quarantines it: an open does not read every block.
func (d *disk) noteDamage(err error) error {
	if damage, ok := errors.AsType[*DamageError](err); ok && !d.o.ReadOnly {
		if werr := d.o.FS.WriteFile(filepath.Join(damage.Dir, damagedFile), []byte(damage.Error()+"\n")); werr != nil {
			d.o.Logger.Warn("cannot mark a damaged store", "dir", damage.Dir, "error", werr)
		}
	}
	return err
}

// Range iterates over the current generation.
func (d *disk) Range(from, to []byte) Iterator {
	d.mu.RLock()
	defer d.mu.RUnlock()
	if d.closed {
		return failed{ErrClosed}
	}
	if d.current == nil {
		return failed{}
	}
	return d.current.iterate(from, to, d.noteDamage)
}

// Snapshot keeps writers out meanwhile.
func (d *disk) Snapshot() (Iterator, Checkpoint, bool) {
	defer d.exclusive()()
	it := d.Range(nil, nil)
	if d.current == nil || d.closed {
		return it, Checkpoint{}, false
	}
	if r, ok := it.(*rows); ok {
		r.sum = d.current.tally()
	}
	cp, ok := d.current.known()
	return it, cp, ok
}

// Checkpoint is that of the generation Write writes to.
func (d *disk) Checkpoint() (Checkpoint, bool) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	switch {
	case d.next != nil:
		return d.next.checkpoint, d.next.has
	case d.current != nil:
		return d.current.known()
	}
	return Checkpoint{}, false
}

// Stale tells whether a rebuild is under way.
func (d *disk) Stale() (string, bool) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return d.cause, d.stale
}
