package ldb

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"

	"github.com/syndtr/goleveldb/leveldb/filter"
	"github.com/syndtr/goleveldb/leveldb/iterator"
	"github.com/syndtr/goleveldb/leveldb/opt"
	"github.com/syndtr/goleveldb/leveldb/storage"
	"github.com/syndtr/goleveldb/leveldb/table"

	"github.com/tarnstream/tarn/internal/digest"
)

// run is rows in key order, each key once, in tables that follow each other.
type run struct {
	tables []tableFile
	merges int        // how often the rows in it were merged
	final  bool       // its tables are as LevelDB writes them, and none of its rows is a delete
	sum    digest.Sum // of its rows, where it is final
	width  int        // what it takes in memory to read it: the largest block and the largest index
}

type tableFile struct {
	fd          storage.FileDesc
	size        int64
	first, last []byte // internal keys
}

// keptTables is how LevelDB writes its tables; passingTables are read once, from one end to the other.
func keptTables() *opt.Options {
	return &opt.Options{Comparer: internalOrder{}, Filter: keyFilter{filter.NewBloomFilter(bloomBits)}, Strict: opt.DefaultStrict, DisableBlockCache: true}
}

func passingTables() *opt.Options {
	return &opt.Options{Comparer: internalOrder{}, Strict: opt.DefaultStrict, Compression: opt.NoCompression, BlockSize: 32 << 10, DisableBlockCache: true}
}

// writeBytes is how much of a table goes to its file at once.
const writeBytes = 64 << 10

// runWriter writes a run. end must be called.
type runWriter struct {
	b       *Builder
	options *opt.Options
	out     run

	file  storage.Writer // nil: no table is begun
	buf   *bufio.Writer
	table *table.Writer
	first []byte
	last  []byte
	row   int // the largest
}

func (b *Builder) newRun(final bool) *runWriter {
	w := &runWriter{b: b, options: passingTables(), out: run{final: final, sum: digest.Empty()}, buf: bufio.NewWriterSize(nil, writeBytes)}
	if final {
		w.options = keptTables()
	}
	return w
}

func (w *runWriter) add(internal, row []byte) error {
	if w.file == nil {
		if err := w.begin(); err != nil {
			return err
		}
		w.first = bytes.Clone(internal)
	}
	if err := w.table.Append(internal, row); err != nil {
		return fmt.Errorf("ldb: write a table: %w", err)
	}
	if w.out.final {
		w.out.sum = w.out.sum.Plus(w.b.sum(userKey(internal), row))
	}
	w.last = append(w.last[:0], internal...)
	w.row = max(w.row, len(internal)+len(row))
	if w.table.BytesLen() >= TableBytes {
		return w.finish()
	}
	return nil
}

func (w *runWriter) begin() error {
	fd := storage.FileDesc{Type: storage.TypeTable, Num: w.b.number()}
	file, err := w.b.st.Create(fd)
	if err != nil {
		return fmt.Errorf("ldb: create %s: %w", fd, err)
	}
	w.file, w.out.tables = file, append(w.out.tables, tableFile{fd: fd})
	w.buf.Reset(file)
	w.table = table.NewWriter(w.buf, w.options, nil, w.options.GetBlockSize()*2)
	return nil
}

// finish ends the table.
func (w *runWriter) finish() error {
	rows := w.table.BytesLen() // but for the last block
	err := errors.Join(w.table.Close(), w.buf.Flush())
	w.out.width = max(w.out.width, w.table.BytesLen()-rows+max(w.row, w.options.GetBlockSize()))
	t := &w.out.tables[len(w.out.tables)-1]
	t.size, t.first, t.last = int64(w.table.BytesLen()), w.first, bytes.Clone(w.last)
	if err = errors.Join(err, w.close()); err != nil {
		return fmt.Errorf("ldb: write %s: %w", t.fd, err)
	}
	return nil
}

func (w *runWriter) close() error {
	file := w.file
	w.file = nil
	return file.Close()
}

// end gives the run. After a failure, err, what was written is of no use.
func (w *runWriter) end(err error) (run, error) {
	if w.file != nil {
		if err != nil {
			return run{}, errors.Join(err, w.close())
		}
		err = w.finish()
	}
	return w.out, err
}

// cursor reads a run and removes the tables that it has passed.
type cursor struct {
	st      storage.Storage
	tables  []tableFile // from the present one on
	options *opt.Options

	table *table.Reader // nil: none is open
	rows  iterator.Iterator
	key   []byte // internal
	row   []byte
}

func (b *Builder) read(r run) *cursor {
	c := &cursor{st: b.st, tables: r.tables, options: passingTables()}
	if r.final {
		c.options = keptTables()
	}
	return c
}

// next goes to the next row; false is the end.
func (c *cursor) next() (bool, error) {
	for {
		if c.table == nil {
			if len(c.tables) == 0 {
				return false, nil
			}
			if err := c.open(); err != nil {
				return false, err
			}
		}
		if c.rows.Next() {
			c.key, c.row = c.rows.Key(), c.rows.Value()
			return true, nil
		}
		fd := c.tables[0].fd
		if err := c.rows.Error(); err != nil {
			return false, fmt.Errorf("ldb: read %s: %w", fd, err)
		}
		c.close()
		c.tables = c.tables[1:]
		if err := c.st.Remove(fd); err != nil {
			return false, fmt.Errorf("ldb: remove %s: %w", fd, err)
		}
	}
}

func (c *cursor) open() (err error) {
	t := &c.tables[0]
	if c.table, err = openTable(c.st, t, c.options); err == nil {
		c.rows = c.table.NewIterator(nil, nil)
	}
	return err
}

// close is idempotent.
func (c *cursor) close() {
	if c.table == nil {
		return
	}
	c.rows.Release()
	c.table.Release()
	c.table = nil
}

// openTable opens a table; its Release closes the file, too.
func openTable(st storage.Storage, t *tableFile, o *opt.Options) (*table.Reader, error) {
	file, err := st.Open(t.fd)
	if err != nil {
		return nil, fmt.Errorf("ldb: open %s: %w", t.fd, err)
	}
	r, err := table.NewReader(file, t.size, t.fd, nil, nil, o)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("ldb: open %s: %w", t.fd, err), file.Close())
	}
	return r, nil
}
