package ldb

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"

	"github.com/syndtr/goleveldb/leveldb/storage"
)

// Storage is where the files of one database lie. An FS gives it to Open; what is in it is goleveldb's and stays in this
// package.
type Storage struct{ st storage.Storage }

// RequireClosed tells by an error that the database in dir is open, here or in another process. There need not be one.
func RequireClosed(fs FS, dir string) error {
	if _, err := fs.List(dir); errors.Is(err, os.ErrNotExist) {
		return nil // to ask for its storage would make it
	}
	in, err := fs.Storage(dir)
	if err != nil {
		return fmt.Errorf("ldb: %s: %w", dir, err)
	}
	return in.st.Close()
}

// FS is the file system a store lives in. Names are slash or backslash paths as filepath makes them.
type FS interface {
	// Storage opens dir, which must exist, for a database.
	Storage(dir string) (Storage, error)
	// MkdirAll makes dir and what is missing above it.
	MkdirAll(dir string) error
	// List gives the names in dir in ascending order, os.ErrNotExist when there is no such directory.
	List(dir string) ([]string, error)
	// ReadFile reads a whole file.
	ReadFile(name string) ([]byte, error)
	// WriteFile writes and syncs a file; the directory entry is durable only after SyncDir.
	WriteFile(name string, data []byte) error
	// Rename moves a file or directory, replacing a file of that name; durable after SyncDir.
	Rename(from, to string) error
	// RemoveAll removes a file or directory with everything in it; it need not exist.
	RemoveAll(name string) error
	// SyncFile makes the bytes of a file durable, whoever wrote them; os.ErrNotExist when there is no such file.
	SyncFile(name string) error
	// SyncDir makes the entries of dir durable.
	SyncDir(dir string) error
}

// OS is the real file system.
func OS() FS { return osFS{} }

type osFS struct{}

func (osFS) Storage(dir string) (Storage, error) {
	st, err := storage.OpenFile(dir, false)
	if err != nil {
		return Storage{}, err
	}
	return Storage{&dirSync{Storage: st, sync: func() error { return osFS{}.SyncDir(dir) }}}, nil
}

func (osFS) MkdirAll(dir string) error { return os.MkdirAll(dir, 0o755) }

func (osFS) List(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	names := make([]string, 0, len(entries))
	for _, e := range entries {
		names = append(names, e.Name())
	}
	slices.Sort(names)
	return names, nil
}

func (osFS) ReadFile(name string) ([]byte, error) { return os.ReadFile(name) }

func (osFS) WriteFile(name string, data []byte) error {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

func (osFS) Rename(from, to string) error { return os.Rename(from, to) }

func (osFS) RemoveAll(name string) error { return os.RemoveAll(name) }

func (osFS) SyncFile(name string) error {
	f, err := os.OpenFile(name, os.O_WRONLY, 0) // Windows syncs no file that is open for reading only
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

func (osFS) SyncDir(dir string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	f, err := os.Open(filepath.Clean(dir))
	if err != nil {
		return err
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("sync %s: %w", dir, err)
	}
	return nil
}

// dirSync syncs the directory when a new file is first synced: goleveldb does so for manifests only, and a journal
// whose entry is not durable is lost with every synced write in it.
type dirSync struct {
	storage.Storage
	sync func() error
}

func (s *dirSync) Create(fd storage.FileDesc) (storage.Writer, error) {
	w, err := s.Storage.Create(fd)
	if err != nil || fd.Type == storage.TypeManifest {
		return w, err
	}
	return &dirSyncWriter{Writer: w, sync: s.sync}, nil
}

type dirSyncWriter struct {
	storage.Writer
	sync   func() error
	synced bool
}

func (w *dirSyncWriter) Sync() error {
	if err := w.Writer.Sync(); err != nil || w.synced {
		return err
	}
	if err := w.sync(); err != nil {
		return err
	}
	w.synced = true
	return nil
}
