package ldb

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/syndtr/goleveldb/leveldb/filter"
	"github.com/syndtr/goleveldb/leveldb/opt"
	"github.com/syndtr/goleveldb/leveldb/storage"
	"github.com/syndtr/goleveldb/leveldb/table"

	"github.com/tarnstream/tarn/internal/digest"
)

// tableFile is a table of LevelDB's.
type tableFile struct {
	fd          storage.FileDesc
	size        int64
	first, last []byte // internal keys
}

// tableOptions are how LevelDB writes its tables.
func tableOptions() *opt.Options {
	return &opt.Options{Comparer: internalOrder{}, Filter: keyFilter{filter.NewBloomFilter(bloomBits)}, Strict: opt.DefaultStrict, DisableBlockCache: true}
}

// writeBytes is how much of a table goes to its file at once.
const writeBytes = 64 << 10

// onlySeq is the sequence number of all rows of a rebuild: there is one of each key.
const onlySeq = 1

// tableWriter writes rows in key order to tables that follow each other. end must be called.
type tableWriter struct {
	b       *Builder
	options *opt.Options
	tables  []tableFile
	sum     digest.Sum

	file     storage.Writer // nil: no table is begun
	buf      *bufio.Writer
	table    *table.Writer
	internal []byte // the last key
}

func (b *Builder) newTables() *tableWriter {
	return &tableWriter{b: b, options: tableOptions(), sum: digest.Empty(), buf: bufio.NewWriterSize(nil, writeBytes)}
}

func (w *tableWriter) add(key, row []byte) error {
	w.internal = appendInternal(w.internal[:0], key, onlySeq)
	if w.file == nil {
		if err := w.begin(); err != nil {
			return err
		}
	}
	if err := w.table.Append(w.internal, row); err != nil {
		return fmt.Errorf("ldb: write a table: %w", err)
	}
	w.sum = w.sum.Plus(w.b.sum(key, row))
	if w.table.BytesLen() >= TableBytes {
		return w.finish()
	}
	return nil
}

// begin waits for no turn at the gate: it makes no buffer for a table as LevelDB does, and what it takes is counted with the rebuild's.
func (w *tableWriter) begin() error {
	fd := storage.FileDesc{Type: storage.TypeTable, Num: w.b.number()}
	file, err := w.b.own.Create(fd)
	if err != nil {
		return fmt.Errorf("ldb: create %s: %w", fd, err)
	}
	w.file, w.tables = file, append(w.tables, tableFile{fd: fd, first: bytes.Clone(w.internal)})
	w.buf.Reset(file)
	w.table = table.NewWriter(w.buf, w.options, nil, w.options.GetBlockSize()*2)
	return nil
}

// finish ends the table.
func (w *tableWriter) finish() error {
	err := errors.Join(w.table.Close(), w.buf.Flush())
	t := &w.tables[len(w.tables)-1]
	t.size, t.last = int64(w.table.BytesLen()), bytes.Clone(w.internal)
	if err = errors.Join(err, w.close()); err != nil {
		return fmt.Errorf("ldb: write %s: %w", t.fd, err)
	}
	return nil
}

func (w *tableWriter) close() error {
	file := w.file
	w.file = nil
	return file.Close()
}

// end ends the last table. After a failure, err, what was written is of no use.
func (w *tableWriter) end(err error) error {
	if w.file == nil {
		return err
	}
	if err != nil {
		return errors.Join(err, w.close())
	}
	return w.finish()
}

// secure reads both ends of a table and syncs it.
func (b *Builder) secure(t *tableFile) error {
	err := b.checkEnds(t)
	if err == nil {
		err = b.fs.SyncFile(filepath.Join(b.dir, t.fd.String()))
	}
	if err != nil {
		return fmt.Errorf("ldb: finish %s: %w", t.fd, err)
	}
	return nil
}

var errEnds = errors.New("it has other first and last keys than were written")

func (b *Builder) checkEnds(t *tableFile) error {
	r, err := openTable(b.st, t)
	if err != nil {
		return err
	}
	defer r.Release()
	rows := r.NewIterator(nil, nil)
	defer rows.Release()
	same := rows.First() && bytes.Equal(rows.Key(), t.first) && rows.Last() && bytes.Equal(rows.Key(), t.last)
	if err := rows.Error(); err != nil || same {
		return err
	}
	return &storage.ErrCorrupted{Fd: t.fd, Err: errEnds}
}

// openTable opens a table; its Release closes the file, too.
func openTable(st storage.Storage, t *tableFile) (*table.Reader, error) {
	file, err := st.Open(t.fd)
	if err != nil {
		return nil, fmt.Errorf("ldb: open %s: %w", t.fd, err)
	}
	r, err := table.NewReader(file, t.size, t.fd, nil, nil, tableOptions())
	if err != nil {
		return nil, errors.Join(fmt.Errorf("ldb: open %s: %w", t.fd, err), file.Close())
	}
	return r, nil
}
