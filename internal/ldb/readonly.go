package ldb

import (
	"errors"
	"os"
	"path/filepath"
	"strings"

	"github.com/syndtr/goleveldb/leveldb/storage"
)

// ReadOnly is the real file system for those who only look: whatever would change it is refused. A database is opened there
// with Config.ReadOnly. No lock is taken, so that another process may have it open, and may take files away from under the
// reader: what is then missing looks like damage, and is to be read again.
func ReadOnly() FS { return readOnlyFS{} }

// ErrReadOnly is what a change is answered with.
var ErrReadOnly = errors.New("ldb: opened for reading only")

type readOnlyFS struct{ osFS }

func (readOnlyFS) Storage(dir string) (Storage, error) { return Storage{readOnlyStorage{dir}}, nil }
func (readOnlyFS) MkdirAll(string) error               { return ErrReadOnly }
func (readOnlyFS) WriteFile(string, []byte) error      { return ErrReadOnly }
func (readOnlyFS) Rename(string, string) error         { return ErrReadOnly }
func (readOnlyFS) RemoveAll(string) error              { return ErrReadOnly }
func (readOnlyFS) SyncFile(string) error               { return ErrReadOnly }
func (readOnlyFS) SyncDir(string) error                { return ErrReadOnly }

// readOnlyStorage is goleveldb's storage over a directory. goleveldb's own takes the lock of the database, read-only too.
type readOnlyStorage struct{ dir string }

type noLock struct{}

func (noLock) Unlock() {}

func (readOnlyStorage) Lock() (storage.Locker, error) { return noLock{}, nil }
func (readOnlyStorage) Log(string)                    {}
func (readOnlyStorage) Close() error                  { return nil }

// GetMeta reads CURRENT. A newer one that was not renamed yet names what CURRENT and the journals come to as well.
func (s readOnlyStorage) GetMeta() (storage.FileDesc, error) {
	data, err := os.ReadFile(filepath.Join(s.dir, "CURRENT"))
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

func (s readOnlyStorage) List(ft storage.FileType) ([]storage.FileDesc, error) {
	names, err := osFS{}.List(s.dir)
	if err != nil {
		return nil, err
	}
	var fds []storage.FileDesc
	for _, name := range names {
		if fd, ok := parseName(name); ok && fd.Type&ft != 0 {
			fds = append(fds, fd)
		}
	}
	return fds, nil
}

func (s readOnlyStorage) Open(fd storage.FileDesc) (storage.Reader, error) {
	return os.Open(filepath.Join(s.dir, fd.String()))
}

func (readOnlyStorage) SetMeta(storage.FileDesc) error                  { return ErrReadOnly }
func (readOnlyStorage) Remove(storage.FileDesc) error                   { return ErrReadOnly }
func (readOnlyStorage) Rename(storage.FileDesc, storage.FileDesc) error { return ErrReadOnly }

func (readOnlyStorage) Create(storage.FileDesc) (storage.Writer, error) {
	return nil, ErrReadOnly
}

var _ storage.Storage = readOnlyStorage{}
