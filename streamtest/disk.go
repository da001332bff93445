package streamtest

import (
	"errors"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/tarnstream/tarn/internal/ldb"
	"github.com/tarnstream/tarn/internal/scope"
	"github.com/tarnstream/tarn/processor"
)

// ErrDisk is what a disk fails with after FailDisk.
var ErrDisk = errors.New("streamtest: the disk fails")

// disk is what the tables of instances of one name are kept on.
type disk struct {
	synced *ldb.SyncedFS
	fs     *ldb.FailFS

	mu   sync.Mutex
	slow time.Duration
	fail int // the first operation that fails, -1 for none
	counts
}

// counts of operations.
type counts struct{ ops, failures int }

func (d *disk) count() counts {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.counts
}

// disk gives the one of a name.
func (k *Kit) disk(name string) *disk {
	d := k.disks[name]
	if d == nil {
		d = &disk{synced: ldb.NewSyncedFS(ldb.OS()), fail: -1}
		d.fs = &ldb.FailFS{FS: d.synced, Before: d.before}
		k.disks[name] = d
	}
	return d
}

// option has a processor keep its state in dir, on the disk.
func (d *disk) option(dir string) processor.Option {
	return processor.StateDir(dir, func(s *scope.StatePolicy) { s.Disk = d.fs })
}

// before comes before each operation.
func (d *disk) before(op, name string) error {
	d.mu.Lock()
	slow, fails := d.slow, d.fail >= 0 && d.ops >= d.fail
	d.ops++
	if fails {
		d.failures++
	}
	d.mu.Unlock()
	if slow > 0 && mayWait(op, name) {
		time.Sleep(slow)
	}
	if fails {
		return ErrDisk
	}
	return nil
}

// mayWait tells whether virtual time can pass in an operation. In one that LevelDB does under a mutex it cannot, once
// others wait for the mutex: those are the ones of its manifests, and making and removing files.
func mayWait(op, name string) bool {
	switch op {
	case "write", "sync", "syncfile", "syncdir":
		return !strings.HasPrefix(filepath.Base(name), "MANIFEST")
	}
	return false
}

// SlowDisk makes each write and each sync of the instances of that name take d of virtual time; 0 ends it.
func (k *Kit) SlowDisk(name string, d time.Duration) {
	to := k.disk(name)
	to.mu.Lock()
	defer to.mu.Unlock()
	to.slow = d
}

// FailDisk makes the i-th operation from now on of the instances of that name fail with ErrDisk, counted from 0, and every
// later one. Operations are those that change something; see DiskOps. MendDisk ends it.
func (k *Kit) FailDisk(name string, i int) {
	d := k.disk(name)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.fail = d.ops + i
}

// MendDisk ends a FailDisk. An instance that the disk has ended can be started again.
func (k *Kit) MendDisk(name string) {
	d := k.disk(name)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.fail = -1
}

// DiskOps counts the operations of the instances of that name which could have failed, those that did among them. A test
// that fails the i-th one for i = 0, 1 and so on has seen all when a run ends with i of them.
func (k *Kit) DiskOps(name string) int { return k.disk(name).count().ops }
