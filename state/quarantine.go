package state

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tarnstream/tarn/internal/ldb"
)

// quarantineAll sets every generation aside after damage was found, and makes the store an empty one. The order makes
// a crash in between show as damage again, never as a whole store.
func (d *disk) quarantineAll(names []string, damage *DamageError) error {
	if len(names) == 0 {
		d.report("", damage)
	}
	for _, name := range names {
		if err := d.quarantine(name, damage); err != nil {
			return err
		}
	}
	return d.writeCurrent(noGeneration)
}

// quarantine renames a closed generation to quarantine/NAME-SECONDS.
func (d *disk) quarantine(name string, cause error) error {
	into := filepath.Join(d.dir, quarantineDir)
	path := filepath.Join(into, fmt.Sprintf("%s-%d", name, d.o.Now().Unix()))
	err := ldb.RequireClosed(d.o.FS, filepath.Join(d.dir, name))
	if err == nil {
		err = d.o.FS.MkdirAll(into)
	}
	if err == nil {
		err = d.o.FS.RemoveAll(path)
	}
	if err == nil {
		err = d.o.FS.Rename(filepath.Join(d.dir, name), path)
	}
	if err != nil {
		return fmt.Errorf("state: quarantine %s: %w", filepath.Join(d.dir, name), err)
	}
	d.report(path, cause)
	return d.boundQuarantine()
}

// report leaves the observer something to be told by the next tell.
func (d *disk) report(path string, cause error) {
	f := d.o.Observer.Quarantined
	if f == nil {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.heard = append(d.heard, func() { f(path, cause) })
}

// tell tells the observer what was reported. No lock is held.
func (d *disk) tell() {
	d.mu.Lock()
	heard := d.heard
	d.heard = nil
	d.mu.Unlock()
	for _, f := range heard {
		f()
	}
}

// boundQuarantine removes what is too old or too much. The age is in the name: file times survive no backup.
func (d *disk) boundQuarantine() error {
	into := filepath.Join(d.dir, quarantineDir)
	names, err := d.o.FS.List(into)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("state: list %s: %w", into, err)
	}
	names = slices.DeleteFunc(names, func(name string) bool { _, ok := quarantineTime(name); return !ok })
	slices.SortFunc(names, func(a, b string) int { return cmp.Or(newerFirst(a, b), strings.Compare(b, a)) })
	for i, name := range names {
		at, _ := quarantineTime(name)
		if i < d.o.QuarantineCount && d.o.Now().Sub(at) <= d.o.QuarantineAge {
			continue
		}
		if err := d.o.FS.RemoveAll(filepath.Join(into, name)); err != nil {
			return fmt.Errorf("state: bound quarantine: %w", err)
		}
	}
	return nil
}

// newerFirst orders by the time in the names: the numbers of generations begin again.
func newerFirst(a, b string) int {
	at, _ := quarantineTime(a)
	bt, _ := quarantineTime(b)
	return bt.Compare(at)
}

func quarantineTime(name string) (time.Time, bool) {
	gen, seconds, ok := strings.Cut(name, "-")
	if _, known := generationNumber(gen); !ok || !known {
		return time.Time{}, false
	}
	s, err := strconv.ParseInt(seconds, 10, 64)
	return time.Unix(s, 0), err == nil
}
