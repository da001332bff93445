package ldb

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/syndtr/goleveldb/leveldb/storage"
)

// ReadOnly is the real file system for those who only look: whatever would change it is refused. A database is opened there
// with Config.ReadOnly. No lock is taken, so that another process may have it open, and may take files away from under the
// reader: what is then missing looks like damage, and is to be read again.
func ReadOnly() FS { return readOnlyFS{} }

// ErrReadOnly is what a change is answered with.
var ErrReadOnly = errors.New("ldb: opened for reading only")

type readOnlyFS struct{ osFS }

func (readOnlyFS) Storage(dir string) (Storage, error) { return Storage{newOverlay(dir)}, nil }
func (readOnlyFS) MkdirAll(string) error               { return ErrReadOnly }
func (readOnlyFS) WriteFile(string, []byte) error      { return ErrReadOnly }
func (readOnlyFS) Rename(string, string) error         { return ErrReadOnly }
func (readOnlyFS) RemoveAll(string) error              { return ErrReadOnly }
func (readOnlyFS) SyncFile(string) error               { return ErrReadOnly }
func (readOnlyFS) SyncDir(string) error                { return ErrReadOnly }

// overlay is goleveldb's storage over a directory that it leaves as it is: what is written is kept in memory, what is removed is
// hidden. So the journals are replayed as ever. goleveldb's own storage takes the database's lock, read-only too, and its
// read-only mode fails where there are two journals, as a kill may leave them.
type overlay struct {
	dir string

	mu     sync.Mutex // guards what follows
	files  map[storage.FileDesc]*overlaid
	hidden map[storage.FileDesc]bool
	meta   storage.FileDesc // zero: the directory's
}

// overlaid is a file in memory.
type overlaid struct {
	o    *overlay
	data []byte
}

func newOverlay(dir string) *overlay {
	return &overlay{dir: dir, files: map[storage.FileDesc]*overlaid{}, hidden: map[storage.FileDesc]bool{}}
}

type noLock struct{}

func (noLock) Unlock() {}

func (o *overlay) Lock() (storage.Locker, error) { return noLock{}, nil }
func (o *overlay) Log(string)                    {}
func (o *overlay) Close() error                  { return nil }

func (o *overlay) SetMeta(fd storage.FileDesc) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.meta = fd
	return nil
}

// GetMeta reads CURRENT. A newer one that was not renamed yet names what CURRENT and the journals come to as well.
func (o *overlay) GetMeta() (storage.FileDesc, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.meta.Zero() {
		return o.meta, nil
	}
	data, err := os.ReadFile(filepath.Join(o.dir, "CURRENT"))
	if err != nil {
		return storage.FileDesc{}, err
	}
	name, whole := strings.CutSuffix(string(data), "\n")
	fd, ok := parseName(name)
	if !whole || !ok || fd.Type != storage.TypeManifest {
		return storage.FileDesc{}, &storage.ErrCorrupted{Err: errors.New("CURRENT names no manifest")}
	}
	return fd, nil
}

func (o *overlay) List(ft storage.FileType) ([]storage.FileDesc, error) {
	names, err := osFS{}.List(o.dir)
	if err != nil {
		return nil, err
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	var fds []storage.FileDesc
	for _, name := range names {
		if fd, ok := parseName(name); ok && fd.Type&ft != 0 && !o.hidden[fd] && o.files[fd] == nil {
			fds = append(fds, fd)
		}
	}
	for fd := range o.files {
		if fd.Type&ft != 0 {
			fds = append(fds, fd)
		}
	}
	return fds, nil
}

func (o *overlay) Open(fd storage.FileDesc) (storage.Reader, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if f := o.files[fd]; f != nil {
		return memReader{bytes.NewReader(bytes.Clone(f.data))}, nil
	}
	if o.hidden[fd] {
		return nil, os.ErrNotExist
	}
	return os.Open(filepath.Join(o.dir, fd.String()))
}

func (o *overlay) Create(fd storage.FileDesc) (storage.Writer, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	f := &overlaid{o: o}
	o.files[fd] = f
	return f, nil
}

func (o *overlay) Remove(fd storage.FileDesc) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.files, fd)
	o.hidden[fd] = true
	return nil
}

// Rename is for the files of goleveldb's Recover, which is never run.
func (o *overlay) Rename(storage.FileDesc, storage.FileDesc) error { return ErrReadOnly }

func (f *overlaid) Write(p []byte) (int, error) {
	f.o.mu.Lock()
	defer f.o.mu.Unlock()
	f.data = append(f.data, p...)
	return len(p), nil
}

func (f *overlaid) Sync() error  { return nil }
func (f *overlaid) Close() error { return nil }
