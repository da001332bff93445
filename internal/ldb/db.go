package ldb

import (
	"errors"
	"fmt"
	"os"

	"github.com/syndtr/goleveldb/leveldb"
	lerrors "github.com/syndtr/goleveldb/leveldb/errors"
	"github.com/syndtr/goleveldb/leveldb/filter"
	"github.com/syndtr/goleveldb/leveldb/iterator"
	"github.com/syndtr/goleveldb/leveldb/opt"
	"github.com/syndtr/goleveldb/leveldb/storage"
	"github.com/syndtr/goleveldb/leveldb/util"
)

// Config sizes a database. All exported fields are needed.
type Config struct {
	// Shared is what the database shares with others.
	Shared *Shared
	// WriteBufferBytes is the size of the memory table. Two may be in memory, each with an index that may be as large.
	WriteBufferBytes int
	// Create requires the database not to exist and makes it; without it, it must exist.
	Create bool
	// ReadOnly keeps LevelDB from compacting, since all that it writes is kept in memory there. It is for ReadOnly().
	ReadOnly bool
	levels   int // instead of levelBytes, where it is not 0
}

func (c Config) firstLevel() int {
	if c.levels > 0 {
		return c.levels
	}
	return levelBytes
}

// DB is an open database. Reads and writes may come from several goroutines; Close must come after them.
type DB struct {
	db *leveldb.DB
	st storage.Storage
}

// Open opens the database in dir. IsDamage tells whether an error is damage or trouble with the disk.
func Open(fs FS, dir string, c Config) (*DB, error) {
	in, err := fs.Storage(dir)
	if err != nil {
		return nil, fmt.Errorf("ldb: open %s: %w", dir, err)
	}
	return open(dir, in.st, c)
}

// open opens a database on a storage, which is closed where that fails.
func open(dir string, st storage.Storage, c Config) (db *DB, err error) {
	defer func() {
		// goleveldb reads some lengths of a damaged manifest unchecked.
		if v := recover(); v != nil {
			err = fmt.Errorf("ldb: open %s: %w: %v", dir, errPanicked, v)
		}
		if err != nil {
			err = errors.Join(err, st.Close())
		}
	}()
	d, err := leveldb.Open(&gate{Storage: st, tables: c.Shared.tables}, options(c))
	if err != nil {
		return nil, fmt.Errorf("ldb: open %s: %w", dir, err)
	}
	return &DB{db: d, st: st}, nil
}

// bloomBits are those of a key in the filter of a table.
const bloomBits = 10

func options(c Config) *opt.Options {
	o := &opt.Options{
		BlockCacher:                  opt.PassthroughCacher(c.Shared.blocks),
		BlockCacheEvictRemoved:       true, // a clock would keep what was used often
		OpenFilesCacher:              opt.PassthroughCacher(c.Shared.files),
		WriteBuffer:                  c.WriteBufferBytes,
		Filter:                       filter.NewBloomFilter(bloomBits),
		Strict:                       opt.DefaultStrict,
		ErrorIfExist:                 c.Create,
		ErrorIfMissing:               !c.Create,
		NoWriteMerge:                 true,
		DisableBufferPool:            true, // each database has its own, and keeps a table of each kind in it
		DisableSeeksCompaction:       true,
		DisableLargeBatchTransaction: true,
		CompactionTableSize:          TableBytes,
		CompactionTotalSize:          c.firstLevel(),
		WriteL0SlowdownTrigger:       16,
		WriteL0PauseTrigger:          24,
		CompactionSourceLimitFactor:  4,
		CompactionExpandLimitFactor:  25,
		CompactionGPOverlapsFactor:   10,
		CompactionL0Trigger:          8,
	}
	if c.ReadOnly {
		const never = 1 << 30
		o.CompactionL0Trigger, o.WriteL0SlowdownTrigger, o.WriteL0PauseTrigger, o.CompactionTotalSize = never, never, never, never<<10
	}
	return o
}

var errPanicked = errors.New("panic while reading")

// IsDamage tells whether err says that the files are not what was written: a checksum, a missing file, a malformed one.
func IsDamage(err error) bool {
	var corrupted *storage.ErrCorrupted
	return lerrors.IsCorrupted(err) || errors.As(err, &corrupted) || as[*lerrors.ErrCorrupted](err) ||
		as[*lerrors.ErrMissingFiles](err) || errors.Is(err, errPanicked) || errors.Is(err, os.ErrNotExist)
}

func as[E error](err error) bool {
	_, ok := errors.AsType[E](err)
	return ok
}

// Get reads key; the value is the caller's own.
func (d *DB) Get(key []byte) ([]byte, bool, error) {
	v, err := d.db.Get(key, nil)
	if errors.Is(err, leveldb.ErrNotFound) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, fmt.Errorf("ldb: get: %w", err)
	}
	return v, true, nil
}

// Write writes the batch; with sync it returns when it is on disk.
func (d *DB) Write(b *Batch, sync bool) error {
	if err := d.db.Write(&b.b, &opt.WriteOptions{Sync: sync, NoWriteMerge: true}); err != nil {
		return fmt.Errorf("ldb: write: %w", err)
	}
	return nil
}

// Close closes the database and its storage. Iterators must have been released before.
func (d *DB) Close() error {
	return errors.Join(d.db.Close(), d.st.Close())
}

// Iterator walks over a snapshot in key order. Key and Value are good until the next Next.
type Iterator struct{ it iterator.Iterator }

// Iterate gives an iterator over [from, to) as the database is now; nil is unbounded.
func (d *DB) Iterate(from, to []byte) *Iterator {
	return &Iterator{it: d.db.NewIterator(&util.Range{Start: from, Limit: to}, &opt.ReadOptions{DontFillCache: true})}
}

// Next goes to the next key; false is the end or an error.
func (i *Iterator) Next() bool { return i.it.Next() }

// Key is the present key.
func (i *Iterator) Key() []byte { return i.it.Key() }

// Value is the present value.
func (i *Iterator) Value() []byte { return i.it.Value() }

// Err is what ended the walk.
func (i *Iterator) Err() error { return i.it.Error() }

// Release frees the snapshot. It is idempotent.
func (i *Iterator) Release() { i.it.Release() }
