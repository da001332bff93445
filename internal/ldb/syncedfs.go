package ldb

import (
	"errors"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/syndtr/goleveldb/leveldb/storage"
)

// SyncedFS passes everything to another file system and notes what of it is durable, so that a copy can be made what a
// loss of power would have left: see Drop. What was there before counts as durable, and so do directories, and renames
// and removals, which a loss of power may or may not undo.
type SyncedFS struct {
	FS

	mu    sync.Mutex
	files map[string]*syncedFile // by path; what is not in it is durable
}

type syncedFile struct {
	size, synced int64
	entry        bool // the entry in the directory is durable
}

// NewSyncedFS makes one over fs.
func NewSyncedFS(fs FS) *SyncedFS { return &SyncedFS{FS: fs, files: map[string]*syncedFile{}} }

// Drop takes out of image, a copy of dir made while nothing was written there, what is not durable.
func (s *SyncedFS) Drop(dir, image string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var failed error
	for name, f := range s.files {
		rel, below := strings.CutPrefix(name, filepath.Clean(dir)+string(filepath.Separator))
		if !below {
			continue
		}
		path := filepath.Join(image, rel)
		var err error
		if !f.entry {
			err = os.Remove(path)
		} else if f.synced < f.size {
			err = os.Truncate(path, f.synced)
		}
		if !errors.Is(err, os.ErrNotExist) {
			failed = errors.Join(failed, err)
		}
	}
	return failed
}

// Forget takes what is below dir for durable, as it is after a crash.
func (s *SyncedFS) Forget(dir string) { s.note(func() { s.drop(dir) }) }

func (s *SyncedFS) note(change func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change()
}

// under tells whether name is path or lies below it.
func under(name, path string) bool {
	return name == path || strings.HasPrefix(name, path+string(filepath.Separator))
}

// drop forgets a file or what is below a directory.
func (s *SyncedFS) drop(path string) {
	path = filepath.Clean(path)
	maps.DeleteFunc(s.files, func(name string, _ *syncedFile) bool { return under(name, path) })
}

// entries makes the entries of a directory durable.
func (s *SyncedFS) entries(dir string) {
	dir = filepath.Clean(dir)
	for name, f := range s.files {
		if filepath.Dir(name) == dir {
			f.entry = true
		}
	}
}

// WriteFile writes and syncs a file.
func (s *SyncedFS) WriteFile(name string, data []byte) error {
	path := filepath.Clean(name)
	_, err := s.FS.ReadFile(name)
	there := err == nil
	if err := s.FS.WriteFile(name, data); err != nil {
		return err
	}
	s.note(func() {
		if f := s.files[path]; f != nil {
			f.size, f.synced = int64(len(data)), int64(len(data))
		} else if !there {
			s.files[path] = &syncedFile{size: int64(len(data)), synced: int64(len(data))}
		}
	})
	return nil
}

// Rename moves a file or directory.
func (s *SyncedFS) Rename(from, to string) error {
	if err := s.FS.Rename(from, to); err != nil {
		return err
	}
	s.note(func() {
		from, to = filepath.Clean(from), filepath.Clean(to)
		s.drop(to)
		for name, f := range maps.Clone(s.files) {
			if !under(name, from) {
				continue
			}
			delete(s.files, name)
			f.entry = f.entry || name == from // what it replaces may be there, or it: never neither
			s.files[to+strings.TrimPrefix(name, from)] = f
		}
	})
	return nil
}

// RemoveAll removes a file or directory.
func (s *SyncedFS) RemoveAll(name string) error {
	err := s.FS.RemoveAll(name)
	if err == nil {
		s.note(func() { s.drop(name) })
	}
	return err
}

// SyncFile makes the bytes of a file durable.
func (s *SyncedFS) SyncFile(name string) error {
	err := s.FS.SyncFile(name)
	if err == nil {
		s.note(func() {
			if f := s.files[filepath.Clean(name)]; f != nil {
				f.synced = f.size
			}
		})
	}
	return err
}

// SyncDir makes the entries of dir durable.
func (s *SyncedFS) SyncDir(dir string) error {
	err := s.FS.SyncDir(dir)
	if err == nil {
		s.note(func() { s.entries(dir) })
	}
	return err
}

// Storage opens dir for a database.
func (s *SyncedFS) Storage(dir string) (Storage, error) {
	st, err := s.FS.Storage(dir)
	if err != nil {
		return Storage{}, err
	}
	return Storage{&syncedStorage{Storage: st.st, s: s, dir: filepath.Clean(dir)}}, nil
}

type syncedStorage struct {
	storage.Storage
	s   *SyncedFS
	dir string
}

func (t *syncedStorage) path(fd storage.FileDesc) string { return filepath.Join(t.dir, fd.String()) }

// SetMeta syncs the directory.
func (t *syncedStorage) SetMeta(fd storage.FileDesc) error {
	err := t.Storage.SetMeta(fd)
	if err == nil {
		t.s.note(func() { t.s.entries(t.dir) })
	}
	return err
}

func (t *syncedStorage) Create(fd storage.FileDesc) (storage.Writer, error) {
	w, err := t.Storage.Create(fd)
	if err != nil {
		return nil, err
	}
	f := &syncedFile{}
	t.s.note(func() { t.s.files[t.path(fd)] = f })
	return &syncedWriter{Writer: w, t: t, f: f, manifest: fd.Type == storage.TypeManifest}, nil
}

func (t *syncedStorage) Remove(fd storage.FileDesc) error {
	err := t.Storage.Remove(fd)
	if err == nil {
		t.s.note(func() { t.s.drop(t.path(fd)) })
	}
	return err
}

func (t *syncedStorage) Rename(from, to storage.FileDesc) error {
	err := t.Storage.Rename(from, to)
	if err == nil {
		t.s.note(func() {
			f := t.s.files[t.path(from)]
			t.s.drop(t.path(from))
			if f != nil {
				t.s.files[t.path(to)] = f
			}
		})
	}
	return err
}

type syncedWriter struct {
	storage.Writer
	t        *syncedStorage
	f        *syncedFile
	manifest bool
	entered  bool // a Sync has synced the directory
}

func (w *syncedWriter) Write(p []byte) (int, error) {
	n, err := w.Writer.Write(p)
	w.t.s.note(func() { w.f.size += int64(n) })
	return n, err
}

// Sync syncs the directory, too, for a new file and for a manifest.
func (w *syncedWriter) Sync() error {
	err := w.Writer.Sync()
	if err == nil {
		w.t.s.note(func() {
			w.f.synced = w.f.size
			if w.manifest || !w.entered {
				w.t.s.entries(w.t.dir)
				w.entered = true
			}
		})
	}
	return err
}
