package ldb

import (
	"sync"

	"github.com/syndtr/goleveldb/leveldb/storage"
)

// Shared is what databases share, so that what it costs does not grow with their number.
type Shared struct {
	blocks, files *clock
	tables        chan struct{}
}

// TableBytes is about what it takes to write a table: goleveldb makes a buffer of the size that a compaction's table may have.
const TableBytes = 2 << 20

// NewShared makes a cache of cacheBytes for blocks and one of openFiles table files, and lets tables be written by tableWriters
// at a time. The latter two are at least 1.
func NewShared(cacheBytes, openFiles, tableWriters int) *Shared {
	one := func(file int) int { return file }
	return &Shared{blocks: newClock(cacheBytes, blockWeight), files: newClock(openFiles, one), tables: make(chan struct{}, tableWriters)}
}

// SetCache changes the size of the block cache. What has no room any more is out of it when it returns.
func (s *Shared) SetCache(bytes int) { s.blocks.SetCapacity(bytes) }

// Bytes is what it takes in memory now: the blocks, and the tables that are being written.
func (s *Shared) Bytes() int { return s.blocks.bytes() + len(s.tables)*TableBytes }

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
