package ldb

import (
	"errors"
	"sync"
	"time"

	"github.com/syndtr/goleveldb/leveldb/storage"
)

// ErrInjected is what a FailFS fails with.
var ErrInjected = errors.New("ldb: injected failure")

// FailFS passes everything to another file system and calls Before first, with the kind of operation ("write", "sync",
// "rename", ...) and the file: an error of Before fails the operation, which then does nothing. A call that only reads is
// none of its operations.
type FailFS struct {
	FS
	Before func(op, name string) error
}

// FailAt gives a Before that fails the i-th operation, counted from 0, and every later one; and tells how many there were.
func FailAt(i int) (before func(op, name string) error, count func() int) {
	var mu sync.Mutex
	n := 0
	before = func(string, string) error {
		mu.Lock()
		defer mu.Unlock()
		n++
		if n > i && i >= 0 {
			return ErrInjected
		}
		return nil
	}
	return before, func() int { mu.Lock(); defer mu.Unlock(); return n }
}

// MkdirAll is the operation "mkdir".
func (f *FailFS) MkdirAll(dir string) error {
	if err := f.Before("mkdir", dir); err != nil {
		return err
	}
	return f.FS.MkdirAll(dir)
}

// WriteFile is the operation "write"; one that fails leaves the file as it was.
func (f *FailFS) WriteFile(name string, data []byte) error {
	if err := f.Before("write", name); err != nil {
		return err
	}
	return f.FS.WriteFile(name, data)
}

// Rename is the operation "rename", of the old name.
func (f *FailFS) Rename(from, to string) error {
	if err := f.Before("rename", from); err != nil {
		return err
	}
	return f.FS.Rename(from, to)
}

// RemoveAll is the operation "remove".
func (f *FailFS) RemoveAll(name string) error {
	if err := f.Before("remove", name); err != nil {
		return err
	}
	return f.FS.RemoveAll(name)
}

// SyncFile is the operation "syncfile".
func (f *FailFS) SyncFile(name string) error {
	if err := f.Before("syncfile", name); err != nil {
		return err
	}
	return f.FS.SyncFile(name)
}

// SyncDir is the operation "syncdir".
func (f *FailFS) SyncDir(dir string) error {
	if err := f.Before("syncdir", dir); err != nil {
		return err
	}
	return f.FS.SyncDir(dir)
}

// Storage opens dir, which is no operation; what the database then does there is: "create", "write", "sync", "remove" and
// "setmeta", with the file's name in dir.
func (f *FailFS) Storage(dir string) (Storage, error) {
	st, err := f.FS.Storage(dir)
	if err != nil {
		return Storage{}, err
	}
	return Storage{&failStorage{Storage: st.st, f: f}}, nil
}

type failStorage struct {
	storage.Storage
	f *FailFS
}

func (s *failStorage) SetMeta(fd storage.FileDesc) error {
	if err := s.f.Before("setmeta", fd.String()); err != nil {
		return err
	}
	return s.Storage.SetMeta(fd)
}

func (s *failStorage) Create(fd storage.FileDesc) (storage.Writer, error) {
	if err := s.f.Before("create", fd.String()); err != nil {
		return nil, late(fd.Type, err)
	}
	w, err := s.Storage.Create(fd)
	if err != nil {
		return nil, err
	}
	return &failWriter{Writer: w, f: s.f, kind: fd.Type, name: fd.String()}, nil
}

// late has what fails of a table do so a moment later: in virtual time, when nothing else can go on. goleveldb's two
// compactions each answer a waiting writer on a channel, which the writer closes as soon as the other one fails. That does
// no harm, but it is a race, and the race detector tells of it.
func late(kind storage.FileType, err error) error {
	if kind == storage.TypeTable {
		time.Sleep(time.Millisecond)
	}
	return err
}

func (s *failStorage) Remove(fd storage.FileDesc) error {
	if err := s.f.Before("remove", fd.String()); err != nil {
		return err
	}
	return s.Storage.Remove(fd)
}

type failWriter struct {
	storage.Writer
	f    *FailFS
	kind storage.FileType
	name string
}

func (w *failWriter) Write(p []byte) (int, error) {
	if err := w.f.Before("write", w.name); err != nil {
		return 0, late(w.kind, err)
	}
	return w.Writer.Write(p)
}

func (w *failWriter) Sync() error {
	if err := w.f.Before("sync", w.name); err != nil {
		return late(w.kind, err)
	}
	return w.Writer.Sync()
}
