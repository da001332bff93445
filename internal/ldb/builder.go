package ldb

import (
	"errors"
	"fmt"
	"os"

	"github.com/syndtr/goleveldb/leveldb/storage"

	"github.com/tarnstream/tarn/internal/digest"
)

// Builder makes a database of rows that come in rounds, sorted in each, and that nobody reads before all have come.
//
// The naive way writes them to an open database. LevelDB journals each, sorts it into its memory table, writes that as a
// table, and merges tables that overlap as soon as there are a few: a row is copied five times or more, and most of them are
// merged while others are still to come. What is built here needs none of that: it is thrown away where it is not finished,
// so that there is nothing to journal; it is sorted already; and nobody is served by tables that overlap less, but at the end.
// The rule: a round becomes a run as it is, unsynced. When all have come the runs are merged once, with the last round, which
// never leaves memory, into tables that do not overlap, which a manifest then names; what is opened has no journal and
// nothing to compact. A run is no table: it is read once, from one end to the other, and to write it so that any row can be
// found, and smaller, took more than to merge it. Since each input of a merge takes a block in memory, so many runs that were
// merged equally often are merged before, and fewer where their rows are large: the memory does not grow with the rows, but
// for the first and last keys of their tables, which LevelDB has in memory too.
//
// What must be durable before what: the tables, then the manifest, then CURRENT, which names it. Without CURRENT there is no
// database.
type Builder struct {
	fs   FS
	dir  string
	own  storage.Storage // to be closed
	st   storage.Storage // the same, behind the gate
	sum  func(key, row []byte) digest.Sum
	runs []run // the oldest first
	last Rows  // newer than all runs, or nil
	made digest.Sum
	file int64 // number of the last file
	err  error // what was built is of no use
	over bool
	most limits
}

// limits bound the merges of a Builder.
type limits struct {
	ways  int // so many runs that were merged equally often are merged
	bytes int // the newest are merged, where to merge all would take more
	least int // but not so few
}

// The bytes are a quarter of what each of four rebuilds has by default. With fewer ways than the least, rows that are not much smaller than
// the bytes would be written too often.
const (
	mostWays   = 32
	mergeBytes = 5 << 19
	leastWays  = 6
)

// NewBuilder begins a database in dir, which is empty. It is open for others from now on. sum gives the digest of a row.
func NewBuilder(fs FS, dir string, s *Shared, sum func(key, row []byte) digest.Sum) (*Builder, error) {
	in, err := fs.Storage(dir)
	if err != nil {
		return nil, fmt.Errorf("ldb: build %s: %w", dir, err)
	}
	return &Builder{fs: fs, dir: dir, own: in.st, st: &gate{Storage: in.st, tables: s.tables}, sum: sum, made: digest.Empty(),
		most: limits{mostWays, mergeBytes, leastWays}}, nil
}

func (b *Builder) number() int64 {
	b.file++
	return b.file
}

// Add writes a round. After an error nothing can be done but Close.
func (b *Builder) Add(rows Rows) error {
	if b.err != nil {
		return b.err
	}
	err := b.spill()
	if err == nil {
		err = b.write(rows)
	}
	b.err = err
	return err
}

// Last takes a round that no other follows as a rule. Where Open comes next it is not written before: until then it must be
// left as it is.
func (b *Builder) Last(rows Rows) error {
	if b.err != nil {
		return b.err
	}
	b.err = b.spill()
	b.last = rows
	return b.err
}

// spill writes the last round, where something follows it all the same.
func (b *Builder) spill() error {
	if b.last == nil {
		return nil
	}
	rows := b.last
	b.last = nil
	return b.write(rows)
}

func (b *Builder) write(rows Rows) (err error) {
	w := b.newRun()
	for i := range rows.Len() {
		if err = w.add(rows.At(i)); err != nil {
			break
		}
	}
	if err = b.keep(w.end(err)); err != nil {
		return err
	}
	for from, due := b.due(); due; from, due = b.due() {
		if err := b.merge(from, nil); err != nil {
			return err
		}
	}
	return nil
}

// keep takes a run as the newest.
func (b *Builder) keep(r run, err error) error {
	if err == nil && len(r.files) > 0 {
		b.runs = append(b.runs, r)
	}
	return err
}

// due gives the first of the newest runs that are to be merged now.
//
// No run was merged more often than an older one. Where all are too wide for one merge, those that were merged as often as
// the newest become one, with those of the next older kind where it is the only one: so n runs, at most, hold
// binomial(n+k, k) rounds with no row written more than k times after its first.
func (b *Builder) due() (from int, due bool) {
	if len(b.runs) == 0 {
		return 0, false
	}
	first := b.sameAs(len(b.runs) - 1)
	if len(b.runs)-first >= b.most.ways {
		return first, true
	}
	if len(b.runs) <= b.most.least || b.width() <= b.most.bytes {
		return 0, false
	}
	if first == len(b.runs)-1 {
		first = b.sameAs(first - 1)
	}
	return first, true
}

// sameAs gives the oldest run that was merged as often as the one at i.
func (b *Builder) sameAs(i int) int {
	for ; i > 0 && b.runs[i-1].merges == b.runs[i].merges; i-- {
	}
	return i
}

// width is what a merge of all runs takes in memory.
func (b *Builder) width() (n int) {
	for _, r := range b.runs {
		n += r.width
	}
	return n
}

// take gives the runs from the given one on, which are the builder's no more.
func (b *Builder) take(from int) []run {
	old := b.runs[from:]
	b.runs = b.runs[:from:from]
	return old
}

// merge makes one of the runs from the given one on. Where that is all of them, deletes have done their work, and rows that
// drop tells of are left out, too.
func (b *Builder) merge(from int, drop func(key, row []byte) bool) error {
	old := b.take(from)
	m, err := b.merger(old, nil)
	if err != nil {
		return err
	}
	defer m.close()
	w := b.newRun()
	w.out.merges = old[0].merges + 1
	err = m.each(func(key, row []byte) error {
		if from == 0 && (row == nil || drop != nil && drop(key, row)) {
			return nil
		}
		return w.add(key, row)
	})
	return b.keep(w.end(err))
}

// Drop removes the rows, the newest of each key, that drop tells of.
func (b *Builder) Drop(drop func(key, row []byte) bool) error {
	if b.err != nil {
		return b.err
	}
	if b.err = b.spill(); b.err == nil && len(b.runs) > 0 {
		b.err = b.merge(0, drop)
	}
	return b.err
}

// Open makes all durable but the entry of dir, and gives the database. The Builder is closed, whatever comes of it.
func (b *Builder) Open(c Config) (*DB, error) {
	tables, err := b.settle()
	if err == nil {
		fd := storage.FileDesc{Type: storage.TypeManifest, Num: b.number()}
		err = writeManifest(b.own, fd, contents{tables: tables, level: levelFor(tables, c.firstLevel()), seq: onlySeq})
	}
	if err != nil {
		return nil, errors.Join(err, b.Close())
	}
	b.over = true
	return open(b.dir, b.own, c)
}

// Digest is that of the rows in the database that Open gave.
func (b *Builder) Digest() digest.Sum { return b.made }

// settle merges what there is into tables, and makes sure that they can be read and are durable.
func (b *Builder) settle() ([]tableFile, error) {
	if b.err != nil {
		return nil, b.err
	}
	w := b.newTables()
	if err := w.end(b.mergeInto(w)); err != nil {
		return nil, err
	}
	b.made = w.sum
	for i := range w.tables {
		if err := b.secure(&w.tables[i]); err != nil {
			return nil, err
		}
	}
	return w.tables, nil
}

func (b *Builder) mergeInto(w *tableWriter) error {
	m, err := b.merger(b.take(0), b.last)
	b.last = nil
	if err != nil {
		return err
	}
	defer m.close()
	return m.each(func(key, row []byte) error {
		if row == nil {
			return nil
		}
		return w.add(key, row)
	})
}

// Close ends an unfinished database. It is idempotent.
func (b *Builder) Close() error {
	if b.over {
		return nil
	}
	b.over, b.err, b.last = true, os.ErrClosed, nil
	return b.own.Close()
}
