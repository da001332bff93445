package state

import (
	"log/slog"
	"time"

	"github.com/tarnstream/tarn/internal/ldb"
)

// Row is one row of a table.
type Row struct {
	// Value is the caller's own copy when it comes from Get; an Iterator's is good until its next Next.
	Value []byte
	// Offset is the record's offset in the table's topic, Timestamp its time in milliseconds since 1970.
	Offset, Timestamp int64
}

// Store is one partition of a table on disk. One goroutine writes (Write, Sweep, Rebuild, Swap); any number may read.
type Store interface {
	// Get reads key from the current generation; false means absent.
	Get(key []byte) (Row, bool, error)
	// Range iterates over [from, to) of the current generation in key order, as it is now: what is written, swapped
	// or rebuilt later does not show. nil is unbounded. The iterator must be closed.
	Range(from, to []byte) Iterator
	// Snapshot is Range over all rows of the current generation, with the checkpoint that speaks of just those rows; false
	// means none. It waits while something is written. Where the store keeps a digest, a walk to the end makes it known.
	Snapshot() (Iterator, Checkpoint, bool)
	// Write writes the batch, its checkpoint and the next flush number as one LevelDB batch. It is synced, unless a
	// rebuild is under way: an unfinished generation is thrown away after a crash anyway, and Swap makes it a LevelDB and
	// syncs it whole.
	// After an error the store takes no further writes: what is on disk is right, only older. Close and open again.
	Write(b *Batch) error
	// Sweep removes the rows with an offset below the given one from the generation that Write writes to, notes that
	// log start in its checkpoint, and tells how many rows went.
	Sweep(below int64) (int, error)
	// Checkpoint is that of the generation Write writes to; false means none.
	Checkpoint() (Checkpoint, bool)
	// Stale is true with its cause while a rebuild is under way: Get and Range then answer from the old generation.
	Stale() (cause string, stale bool)
	// Rebuild begins a new empty generation beside the current one; Write goes there from now on. An unfinished older
	// rebuild is removed first. With quarantine the old generation is set aside at Swap instead of removed.
	Rebuild(cause string, quarantine bool) error
	// Swap makes the new generation the current one, atomically and durably, and then removes the old one
	// (once its last iterator is closed) or sets it aside. Without a Rebuild before, it does nothing.
	Swap() error
	// Close closes the store; open iterators fail with ErrClosed from then on. It is idempotent.
	Close() error
}

// Iterator walks over rows in key order. It is for one goroutine.
//
//	it := store.Range(nil, nil)
//	defer it.Close()
//	for it.Next() { use(it.Key(), it.Row()) }
//	err := it.Err()
type Iterator interface {
	// Next goes to the next row; false means the end or an error.
	Next() bool
	// Key and Row are the row's, good until the next Next or Close.
	Key() []byte
	Row() Row
	// Err tells why Next answered false: nil at the end, ErrClosed when the store was closed meanwhile.
	Err() error
	// Close frees the snapshot and gives Err. It is idempotent.
	Close() error
}

// Options are the options of Open; the zero value is good.
type Options struct {
	// Shared is what many stores share: a cache of blocks, one of open table files, and the right to write tables. By default
	// a store has its own.
	Shared *ldb.Shared
	// WriteBufferBytes is the size of LevelDB's memory table, 4 MiB by default. Two may be in memory at a time, each with
	// an index that is as large as its rows are small.
	WriteBufferBytes int
	// KeyFilterBytes is the memory of a filter that tells of keys that are not there, made when such keys are asked for: 1 MiB by
	// default, which is good for a million keys and of no use, so that it goes, for more than two; fewer than 4 KiB for none.
	KeyFilterBytes int
	// QuarantineCount and QuarantineAge bound what is kept of quarantined generations: 2 and 7 days by default.
	QuarantineCount int
	QuarantineAge   time.Duration
	// ReadOnly is for looking at a store: nothing on disk is changed, no lock is taken, and what would write is an error.
	// Damage is then the *DamageError of Open, and nothing is quarantined. While another process writes the store, its files
	// may go away from under the reader, which looks like damage too.
	ReadOnly bool
	// FS is the file system, the real one by default; tests give one that fails or crashes.
	FS ldb.FS
	// Observer's Quarantined is called when a generation is set aside.
	Observer Observer
	// Logger is slog.Default() by default, Now time.Now.
	Logger *slog.Logger
	Now    func() time.Time
}

func (o Options) withDefaults() Options {
	if o.Shared == nil {
		o.Shared = ldb.NewShared(2<<20, 64, 2)
	}
	o.WriteBufferBytes = orDefault(o.WriteBufferBytes, 4<<20)
	o.KeyFilterBytes = orDefault(o.KeyFilterBytes, 1<<20)
	o.QuarantineCount = orDefault(o.QuarantineCount, 2)
	o.QuarantineAge = orDefault(o.QuarantineAge, 7*24*time.Hour)
	if o.FS == nil {
		o.FS = ldb.OS()
	}
	if o.ReadOnly {
		o.FS, o.KeyFilterBytes = ldb.ReadOnly(), -1
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return o
}

func orDefault[T comparable](v, def T) T {
	var zero T
	if v == zero {
		return def
	}
	return v
}
