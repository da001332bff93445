package devbroker

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/gofrs/flock"
)

// An InUseError tells that another broker uses the folder. End that one, or take another folder.
type InUseError struct {
	Dir    string
	Holder string // the other broker's process id, "" where unknown
}

func (e *InUseError) Error() string {
	return fmt.Sprintf("devbroker: %s is in use by the broker of process %s", e.Dir, e.Holder)
}

// dirLock holds a folder for the life of a broker; the operating system lets go of it when the process dies.
type dirLock struct{ file *flock.Flock }

func lockDir(dir string) (*dirLock, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("devbroker: data folder: %w", err)
	}
	path := filepath.Join(dir, "LOCK")
	l := flock.New(path)
	ok, err := l.TryLock()
	if err != nil {
		return nil, fmt.Errorf("devbroker: lock %s: %w", dir, err)
	}
	if !ok {
		holder, _ := os.ReadFile(path) // only for the message
		return nil, &InUseError{Dir: dir, Holder: strings.TrimSpace(string(holder))}
	}
	if err := os.WriteFile(path, []byte(strconv.Itoa(os.Getpid())+"\n"), 0o644); err != nil {
		l.Unlock()
		return nil, fmt.Errorf("devbroker: lock %s: %w", dir, err)
	}
	return &dirLock{l}, nil
}

func (l *dirLock) release() error {
	if l == nil {
		return nil
	}
	if err := l.file.Unlock(); err != nil {
		return fmt.Errorf("devbroker: unlock: %w", err)
	}
	return nil
}
