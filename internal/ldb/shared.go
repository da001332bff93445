package ldb

import (
	"sync"

	"github.com/syndtr/goleveldb/leveldb/opt"
	"github.com/syndtr/goleveldb/leveldb/storage"
)

// Shared is what databases share, so that what it costs does not grow with their number.
type Shared struct {
	cacheBytes    int
	blocks, files opt.Cacher
	tables        chan struct{}
}

// TableBytes is about what it takes to write a table: goleveldb makes a buffer of the size that a compaction's table may have.
const TableBytes = 2 << 20

// NewShared makes a block cache of cacheBytes and one of openFiles table files, and lets tables be written by tableWriters
// at a time. All are at least 1.
func NewShared(cacheBytes, openFiles, tableWriters int) *Shared {
	return &Shared{cacheBytes: cacheBytes, blocks: opt.NewLRU(cacheBytes), files: opt.NewLRU(openFiles), tables: make(chan struct{}, tableWriters)}
}

// Bytes is what it takes in memory now: the cache, be it full or not, and the tables that are being written.
func (s *Shared) Bytes() int { return s.cacheBytes + len(s.tables)*TableBytes }

// gate lets a bounded number of tables be written at a time. A database that waits for its turn holds none of them: a
// compaction that is paused for a flush is so before it begins its next table.
type gate struct {
	storage.Storage
	tables chan struct{}
}

func (g *gate) Create(fd storage.FileDesc) (storage.Writer, error) {
	if fd.Type != storage.TypeTable {
		return g.Storage.Create(fd)
	}
	g.tables <- struct{}{}
	release := sync.OnceFunc(func() { <-g.tables })
	w, err := g.Storage.Create(fd)
	if err != nil {
		release()
		return nil, err
	}
	return &gatedWriter{Writer: w, release: release}, nil
}

// Remove says of a table that cannot be removed that it is: the next Open removes what no manifest names. goleveldb, told of
// the error after it could not finish the same table, panics with its next try at the compaction, on a goroutine of its own.
func (g *gate) Remove(fd storage.FileDesc) error {
	if err := g.Storage.Remove(fd); fd.Type != storage.TypeTable {
		return err
	}
	return nil
}

type gatedWriter struct {
	storage.Writer
	release func()
}

func (w *gatedWriter) Close() error {
	defer w.release()
	return w.Writer.Close()
}
