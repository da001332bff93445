package layout

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/gofrs/flock"
)

// Holder is the process that a LOCK names; the zero Holder where it names none.
type Holder struct {
	PID  int
	Host string
}

// LockedBy reads who took the lock of a group's folder last. Whether it is still held is another question: see HolderOf.
func LockedBy(dir string) Holder {
	data, err := os.ReadFile(filepath.Join(dir, Lock))
	f := strings.Fields(string(data))
	if err != nil || len(f) != 2 {
		return Holder{}
	}
	pid, _ := strconv.Atoi(f[0])
	return Holder{PID: pid, Host: f[1]}
}

// HolderOf tells whether a process holds a group's folder, and which. On Linux the kernel's list of locks is asked, and
// nothing is touched. Elsewhere, and where there is no such list, the lock is tried for an instant.
func HolderOf(dir string) (h Holder, held bool, err error) {
	path := filepath.Join(dir, Lock)
	if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) {
		return Holder{}, false, nil
	}
	h = LockedBy(dir)
	held, known := listed(path, h.PID)
	if !known {
		held, err = try(path)
	}
	if err != nil || !held {
		return Holder{}, false, err
	}
	return h, true, nil
}

func try(path string) (held bool, err error) {
	l := flock.New(path)
	free, err := l.TryRLock()
	if err == nil {
		err = l.Close()
	}
	if err != nil {
		return false, fmt.Errorf("layout: look at %s: %w", path, err)
	}
	return !free, nil
}
