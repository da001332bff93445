package state

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"

	"github.com/gofrs/flock"

	"github.com/tarnstream/tarn/internal/layout"
)

// GroupDir is the directory of one group or view, held by this process: <state dir>/<kind>/<escaped name>.
// It holds LOCK, INSTANCE and <escaped table>/<partition>, the directories of the stores.
type GroupDir struct {
	dir      string
	lock     *flock.Flock
	instance string
	note     string
}

// LockGroup makes the directory where missing and takes its lock, which is held until Close or the end of the process,
// however it ends. kind is "groups" or "views". A directory that another processor holds, of this process or another,
// is refused with a *LockedError that names the holder (R42). A directory that cannot be written is an error.
// logger may be nil.
func LockGroup(stateDir, kind, name string, logger *slog.Logger) (*GroupDir, error) {
	if stateDir == "" || name == "" || (kind != "groups" && kind != "views") {
		return nil, fmt.Errorf("state: no directory for %q, kind %q, name %q", stateDir, kind, name)
	}
	if logger == nil {
		logger = slog.Default()
	}
	g := &GroupDir{dir: filepath.Join(stateDir, kind, layout.Escape(name))}
	if err := os.MkdirAll(g.dir, 0o755); err != nil {
		return nil, fmt.Errorf("state: make %s: %w", g.dir, err)
	}
	if err := g.takeLock(); err != nil {
		return nil, err
	}
	if err := g.loadInstance(); err != nil {
		return nil, errors.Join(err, g.Close())
	}
	if g.note != "" {
		logger.Info("new instance id", "dir", g.dir, "id", g.instance, "cause", g.note)
	}
	return g, nil
}

func (g *GroupDir) takeLock() error {
	path := filepath.Join(g.dir, layout.Lock)
	g.lock = flock.New(path)
	ok, err := g.lock.TryLock()
	if err != nil {
		return fmt.Errorf("state: lock %s: %w", g.dir, err)
	}
	if !ok {
		h := layout.LockedBy(g.dir)
		return &LockedError{Dir: g.dir, PID: h.PID, Host: cmp.Or(h.Host, "unknown host")}
	}
	host, _ := os.Hostname()
	if err := os.WriteFile(path, fmt.Appendf(nil, "%d %s\n", os.Getpid(), host), 0o644); err != nil {
		return errors.Join(fmt.Errorf("state: write %s: %w", path, err), g.Close())
	}
	return nil
}

// Dir is the directory's path.
func (g *GroupDir) Dir() string { return g.dir }

// StoreDir is the directory of a table's partition, for Open.
func (g *GroupDir) StoreDir(table string, partition int32) string {
	return filepath.Join(g.dir, layout.Escape(table), strconv.Itoa(int(partition)))
}

// Partitions lists the partitions of table that have a directory, in ascending order.
func (g *GroupDir) Partitions(table string) ([]int32, error) {
	all, err := layout.Partitions(filepath.Join(g.dir, layout.Escape(table)))
	if err != nil {
		return nil, fmt.Errorf("state: list partitions of %s: %w", table, err)
	}
	return all, nil
}

// InstanceID is the id made once for this directory on this host, a UUID.
func (g *GroupDir) InstanceID() string { return g.instance }

// InstanceNote says why this start made a new id: the directory is new, or was copied; "" when the id was kept.
func (g *GroupDir) InstanceNote() string { return g.note }

// Close gives the directory up. It is idempotent.
func (g *GroupDir) Close() error {
	if err := g.lock.Close(); err != nil {
		return fmt.Errorf("state: unlock %s: %w", g.dir, err)
	}
	return nil
}
