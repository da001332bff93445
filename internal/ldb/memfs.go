package ldb

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/syndtr/goleveldb/leveldb/storage"
)

// MemFS is a file system in memory that knows what is durable: the bytes of a file as last synced, the entries of a
// directory as last synced. It is safe for concurrent use.
type MemFS struct {
	mu   sync.Mutex
	root *memNode
}

// memNode is a file or, with entries, a directory. synced is what a crash leaves of it.
type memNode struct {
	data, synced []byte
	dir          bool
	entries      map[string]*memNode
	durable      map[string]*memNode
	locked       bool
}

// NewMemFS makes an empty one.
func NewMemFS() *MemFS { return &MemFS{root: newMemDir()} }

func newMemDir() *memNode {
	return &memNode{dir: true, entries: map[string]*memNode{}, durable: map[string]*memNode{}}
}

// CrashClone gives a file system as a crash at this moment leaves it: unsynced bytes and entries are gone.
func (m *MemFS) CrashClone() *MemFS {
	m.mu.Lock()
	defer m.mu.Unlock()
	return &MemFS{root: m.root.crashed()}
}

// A clone's directories are durable as they are.
func (n *memNode) crashed() *memNode {
	if !n.dir {
		return &memNode{data: bytes.Clone(n.synced), synced: bytes.Clone(n.synced)}
	}
	c := newMemDir()
	for name, child := range n.durable {
		copied := child.crashed()
		c.entries[name], c.durable[name] = copied, copied
	}
	return c
}

func parts(name string) []string {
	clean := strings.Trim(filepath.ToSlash(filepath.Clean(name)), "/")
	if clean == "" || clean == "." {
		return nil
	}
	return strings.Split(clean, "/")
}

func (m *MemFS) find(name string) (*memNode, error) {
	n := m.root
	for _, p := range parts(name) {
		next, ok := n.entries[p]
		if !ok {
			return nil, &os.PathError{Op: "open", Path: name, Err: os.ErrNotExist}
		}
		n = next
	}
	return n, nil
}

func (m *MemFS) parent(name string) (*memNode, string, error) {
	n, err := m.find(filepath.Dir(name))
	if err == nil && !n.dir {
		err = fmt.Errorf("%s: not a directory", filepath.Dir(name))
	}
	return n, filepath.Base(name), err
}

// MkdirAll makes dir. Directories are durable at once: losing one is the same as losing all its entries.
func (m *MemFS) MkdirAll(dir string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := m.root
	for _, p := range parts(dir) {
		next, ok := n.entries[p]
		if !ok {
			next = newMemDir()
			n.entries[p] = next
		}
		n = next
	}
	return nil
}

// List gives the names in dir.
func (m *MemFS) List(dir string) ([]string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	n, err := m.find(dir)
	if err != nil {
		return nil, err
	}
	names := make([]string, 0, len(n.entries))
	for name := range n.entries {
		names = append(names, name)
	}
	slices.Sort(names)
	return names, nil
}

// ReadFile reads a file.
func (m *MemFS) ReadFile(name string) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	n, err := m.find(name)
	if err != nil {
		return nil, err
	}
	return bytes.Clone(n.data), nil
}

// WriteFile writes and syncs a file.
func (m *MemFS) WriteFile(name string, data []byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	dir, base, err := m.parent(name)
	if err != nil {
		return err
	}
	dir.entries[base] = &memNode{data: bytes.Clone(data), synced: bytes.Clone(data)}
	return nil
}

// Rename moves an entry.
func (m *MemFS) Rename(from, to string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	fdir, fbase, err := m.parent(from)
	if err != nil {
		return err
	}
	tdir, tbase, err := m.parent(to)
	if err != nil {
		return err
	}
	n, ok := fdir.entries[fbase]
	if !ok {
		return &os.PathError{Op: "rename", Path: from, Err: os.ErrNotExist}
	}
	delete(fdir.entries, fbase)
	tdir.entries[tbase] = n
	return nil
}

// RemoveAll removes a tree. A crash may or may not undo it; here it does, until SyncDir.
func (m *MemFS) RemoveAll(name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	dir, base, err := m.parent(name)
	if err == nil {
		delete(dir.entries, base)
	}
	return nil
}

// SyncFile makes the bytes of a file durable.
func (m *MemFS) SyncFile(name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	n, err := m.find(name)
	if err != nil {
		return err
	}
	n.synced = bytes.Clone(n.data)
	return nil
}

// SyncDir makes the entries of dir durable.
func (m *MemFS) SyncDir(dir string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	n, err := m.find(dir)
	if err != nil {
		return err
	}
	n.syncEntries()
	m.syncPath(dir)
	return nil
}

func (n *memNode) syncEntries() {
	clear(n.durable)
	for name, child := range n.entries {
		n.durable[name] = child
	}
}

// syncPath makes the directories above durable: a crash that loses a whole directory shows nothing that losing its
// entries does not, and the code under test makes no promise about it.
func (m *MemFS) syncPath(dir string) {
	n := m.root
	for _, p := range parts(dir) {
		n.durable[p] = n.entries[p]
		n = n.entries[p]
	}
}

// Storage opens dir for a database.
func (m *MemFS) Storage(dir string) (Storage, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	n, err := m.find(dir)
	if err != nil {
		return Storage{}, err
	}
	if n.locked {
		return Storage{}, storage.ErrLocked
	}
	n.locked = true
	st := &memStorage{fs: m, node: n, dir: dir}
	return Storage{&dirSync{Storage: st, sync: func() error { return m.SyncDir(dir) }}}, nil
}

// Corrupt flips a bit of the byte at offset from the start of a file, or from its end when negative.
func (m *MemFS) Corrupt(name string, offset int) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	n, err := m.find(name)
	if err != nil {
		return err
	}
	if offset < 0 {
		offset += len(n.data)
	}
	if offset < 0 || offset >= len(n.data) {
		return fmt.Errorf("ldb: corrupt %s: no byte %d of %d", name, offset, len(n.data))
	}
	n.data = bytes.Clone(n.data)
	n.data[offset] ^= 0x40
	n.synced = bytes.Clone(n.data)
	return nil
}

// Truncate cuts a file to size bytes.
func (m *MemFS) Truncate(name string, size int) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	n, err := m.find(name)
	if err != nil {
		return err
	}
	n.data = bytes.Clone(n.data[:size])
	n.synced = bytes.Clone(n.data)
	return nil
}
