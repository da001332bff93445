package ldb

import (
	"bytes"
	"errors"
	"os"

	"github.com/syndtr/goleveldb/leveldb/storage"
)

// memStorage is goleveldb's storage over one directory of a MemFS. Its CURRENT is a file of that name.
type memStorage struct {
	fs   *MemFS
	node *memNode
	dir  string
}

type memLock struct{}

func (memLock) Unlock() {}

func (s *memStorage) Lock() (storage.Locker, error) { return memLock{}, nil }

func (s *memStorage) Log(string) {}

// SetMeta is durable when it returns, as that of goleveldb's file storage is.
func (s *memStorage) SetMeta(fd storage.FileDesc) error {
	s.fs.mu.Lock()
	defer s.fs.mu.Unlock()
	name := []byte(fd.String() + "\n")
	s.node.entries["CURRENT"] = &memNode{data: name, synced: name}
	s.node.syncEntries()
	return nil
}

func (s *memStorage) GetMeta() (storage.FileDesc, error) {
	s.fs.mu.Lock()
	defer s.fs.mu.Unlock()
	n, ok := s.node.entries["CURRENT"]
	if !ok {
		return storage.FileDesc{}, os.ErrNotExist
	}
	for name := range s.node.entries {
		fd, ok := parseName(name)
		if ok && fd.Type == storage.TypeManifest && string(n.data) == name+"\n" {
			return fd, nil
		}
	}
	return storage.FileDesc{}, &storage.ErrCorrupted{Err: errors.New("CURRENT names no manifest")}
}

func parseName(name string) (storage.FileDesc, bool) {
	for _, t := range []storage.FileType{storage.TypeManifest, storage.TypeJournal, storage.TypeTable, storage.TypeTemp} {
		fd := storage.FileDesc{Type: t}
		digits := name
		if t == storage.TypeManifest {
			if len(name) < 9 || name[:9] != "MANIFEST-" {
				continue
			}
			digits = name[9:]
		}
		for i := 0; i < len(digits) && digits[i] >= '0' && digits[i] <= '9'; i++ {
			fd.Num = fd.Num*10 + int64(digits[i]-'0')
		}
		if fd.String() == name {
			return fd, true
		}
	}
	return storage.FileDesc{}, false
}

func (s *memStorage) List(ft storage.FileType) ([]storage.FileDesc, error) {
	s.fs.mu.Lock()
	defer s.fs.mu.Unlock()
	var fds []storage.FileDesc
	for name := range s.node.entries {
		if fd, ok := parseName(name); ok && fd.Type&ft != 0 {
			fds = append(fds, fd)
		}
	}
	return fds, nil
}

func (s *memStorage) Open(fd storage.FileDesc) (storage.Reader, error) {
	s.fs.mu.Lock()
	defer s.fs.mu.Unlock()
	n, ok := s.node.entries[fd.String()]
	if !ok {
		return nil, os.ErrNotExist
	}
	return &memReader{Reader: bytes.NewReader(bytes.Clone(n.data))}, nil
}

func (s *memStorage) Create(fd storage.FileDesc) (storage.Writer, error) {
	s.fs.mu.Lock()
	defer s.fs.mu.Unlock()
	n := &memNode{}
	s.node.entries[fd.String()] = n
	return &memWriter{s: s, n: n, manifest: fd.Type == storage.TypeManifest}, nil
}

func (s *memStorage) Remove(fd storage.FileDesc) error {
	s.fs.mu.Lock()
	defer s.fs.mu.Unlock()
	if _, ok := s.node.entries[fd.String()]; !ok {
		return os.ErrNotExist
	}
	delete(s.node.entries, fd.String())
	return nil
}

func (s *memStorage) Rename(from, to storage.FileDesc) error {
	s.fs.mu.Lock()
	defer s.fs.mu.Unlock()
	n, ok := s.node.entries[from.String()]
	if !ok {
		return os.ErrNotExist
	}
	delete(s.node.entries, from.String())
	s.node.entries[to.String()] = n
	return nil
}

func (s *memStorage) Close() error {
	s.fs.mu.Lock()
	defer s.fs.mu.Unlock()
	s.node.locked = false
	return nil
}

type memReader struct{ *bytes.Reader }

func (memReader) Close() error { return nil }

type memWriter struct {
	s        *memStorage
	n        *memNode
	manifest bool
}

func (w *memWriter) Write(p []byte) (int, error) {
	w.s.fs.mu.Lock()
	defer w.s.fs.mu.Unlock()
	w.n.data = append(w.n.data, p...)
	return len(p), nil
}

// Sync makes the bytes durable, and the entry of a manifest, as goleveldb's file storage does.
func (w *memWriter) Sync() error {
	w.s.fs.mu.Lock()
	defer w.s.fs.mu.Unlock()
	w.n.synced = w.n.data[:len(w.n.data):len(w.n.data)] // only ever appended to
	if w.manifest {
		w.s.node.syncEntries()
	}
	return nil
}

func (w *memWriter) Close() error { return nil }
