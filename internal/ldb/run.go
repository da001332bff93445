package ldb

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"slices"

	"github.com/syndtr/goleveldb/leveldb/storage"
)

// run is rows in key order, each key once, in files that follow each other. They are no tables of LevelDB's, which are made
// for reads of any key: nothing here is compressed, shared or indexed.
//
// A file is blocks. A block has the size of its rows and their CRC-32C, four bytes each, little-endian; then its rows; and
// then zeros, up to blockBytes, so that it takes one read. It is larger where its only row is, and the last one is as small as
// its rows are. A row is the size of its key
// and its own plus one, 0 for a delete, as uvarints, then key and row.
type run struct {
	files       []runFile
	merges      int    // how often the rows in it were merged
	width       int    // what it takes in memory to read it: its largest block
	first, last []byte // keys
}

type runFile struct {
	fd   storage.FileDesc
	size int
}

const (
	blockBytes = 16 << 10
	blockHead  = 8
)

func castagnoli(rows []byte) uint32 { return crc32.Checksum(rows, crc32.MakeTable(crc32.Castagnoli)) }

// runWriter writes a run. end must be called.
type runWriter struct {
	b     *Builder
	out   run
	file  storage.Writer // nil: no file is begun
	block []byte
}

func (b *Builder) newRun() *runWriter {
	return &runWriter{b: b, block: make([]byte, blockHead, blockBytes)}
}

// add takes the next row; nil is a delete.
func (w *runWriter) add(key, row []byte) error {
	size := 2*binary.MaxVarintLen64 + len(key) + len(row)
	if len(w.block) > blockHead && len(w.block)+size > blockBytes {
		if err := w.flush(blockBytes); err != nil {
			return err
		}
	}
	if w.out.first == nil {
		w.out.first = append([]byte{}, key...)
	}
	w.out.last = append(w.out.last[:0], key...)
	rowSize := uint64(0)
	if row != nil {
		rowSize = uint64(len(row)) + 1
	}
	w.block = binary.AppendUvarint(w.block, uint64(len(key)))
	w.block = binary.AppendUvarint(w.block, rowSize)
	w.block = append(append(w.block, key...), row...)
	return nil
}

// flush writes the block, with zeros where it is smaller than least.
func (w *runWriter) flush(least int) error {
	if w.file == nil {
		if err := w.begin(); err != nil {
			return err
		}
	}
	rows := len(w.block)
	binary.LittleEndian.PutUint32(w.block, uint32(rows-blockHead))
	binary.LittleEndian.PutUint32(w.block[4:], castagnoli(w.block[blockHead:]))
	if rows < least {
		w.block = w.block[:least]
		clear(w.block[rows:])
	}
	f := &w.out.files[len(w.out.files)-1]
	if _, err := w.file.Write(w.block); err != nil {
		return fmt.Errorf("ldb: write %s: %w", f.fd, err)
	}
	f.size += len(w.block)
	w.out.width = max(w.out.width, len(w.block))
	w.block = w.block[:blockHead]
	if f.size >= TableBytes {
		return w.close()
	}
	return nil
}

func (w *runWriter) begin() error {
	fd := storage.FileDesc{Type: storage.TypeTable, Num: w.b.number()}
	file, err := w.b.own.Create(fd)
	if err != nil {
		return fmt.Errorf("ldb: create %s: %w", fd, err)
	}
	w.file, w.out.files = file, append(w.out.files, runFile{fd: fd})
	return nil
}

func (w *runWriter) close() error {
	file := w.file
	w.file = nil
	if err := file.Close(); err != nil {
		return fmt.Errorf("ldb: close %s: %w", w.out.files[len(w.out.files)-1].fd, err)
	}
	return nil
}

// end gives the run. After a failure, err, what was written is of no use.
func (w *runWriter) end(err error) (run, error) {
	if err == nil && len(w.block) > blockHead {
		err = w.flush(0)
	}
	if w.file != nil {
		err = errors.Join(err, w.close())
	}
	return w.out, err
}

// cursor reads a run and removes the files that it has passed.
type cursor struct {
	b     *Builder
	files []runFile // from the present one on
	file  storage.Reader
	left  int    // of the file
	block []byte // what is left of the present one
	buf   []byte

	key, row []byte // nil is a delete
}

// next goes to the next row; false is the end.
func (c *cursor) next() (bool, error) {
	for len(c.block) == 0 {
		switch {
		case c.file == nil && len(c.files) == 0:
			return false, nil
		case c.file == nil:
			if err := c.open(); err != nil {
				return false, err
			}
		case c.left == 0:
			if err := c.pass(); err != nil {
				return false, err
			}
		default:
			if err := c.read(); err != nil {
				return false, fmt.Errorf("ldb: read %s: %w", c.files[0].fd, err)
			}
		}
	}
	if !c.take() {
		return false, fmt.Errorf("ldb: read %s: %w", c.files[0].fd, c.damaged(errRows))
	}
	return true, nil
}

func (c *cursor) open() (err error) {
	if c.file, err = c.b.own.Open(c.files[0].fd); err != nil {
		return fmt.Errorf("ldb: open %s: %w", c.files[0].fd, err)
	}
	c.left = c.files[0].size
	return nil
}

// pass goes on behind a file.
func (c *cursor) pass() error {
	fd := c.files[0].fd
	if err := errors.Join(c.close(), c.b.st.Remove(fd)); err != nil {
		return fmt.Errorf("ldb: remove %s: %w", fd, err)
	}
	c.files = c.files[1:]
	return nil
}

// close is idempotent.
func (c *cursor) close() error {
	if c.file == nil {
		return nil
	}
	file := c.file
	c.file = nil
	return file.Close()
}

var (
	errCut  = errors.New("it ends before its rows do")
	errSum  = errors.New("a block has another checksum")
	errRows = errors.New("a block's rows are malformed")
)

func (c *cursor) damaged(err error) error {
	return &storage.ErrCorrupted{Fd: c.files[0].fd, Err: err}
}

// read reads the next block.
func (c *cursor) read() error {
	c.buf = c.buf[:0]
	if err := c.fill(max(min(c.left, blockBytes), blockHead)); err != nil {
		return err
	}
	rows, sum := int64(binary.LittleEndian.Uint32(c.buf)), binary.LittleEndian.Uint32(c.buf[4:])
	if more := blockHead + rows - int64(len(c.buf)); more > 0 {
		if more > int64(c.left) {
			return c.damaged(errCut)
		}
		if err := c.fill(int(more)); err != nil {
			return err
		}
	}
	c.block = c.buf[blockHead:][:rows]
	if castagnoli(c.block) != sum {
		return c.damaged(errSum)
	}
	return nil
}

// fill appends the next bytes of the file to buf, whose memory is used again.
func (c *cursor) fill(n int) error {
	if n > c.left {
		return c.damaged(errCut)
	}
	at := len(c.buf)
	c.buf = slices.Grow(c.buf, n)[:at+n]
	_, err := io.ReadFull(c.file, c.buf[at:])
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return c.damaged(errCut)
	}
	c.left -= n
	return err
}

// take takes the next row of the block; false says that it is none.
func (c *cursor) take() bool {
	keySize, n := binary.Uvarint(c.block)
	if n <= 0 {
		return false
	}
	rowSize, m := binary.Uvarint(c.block[n:])
	if m <= 0 {
		return false
	}
	b := c.block[n+m:]
	deleted := rowSize == 0
	if !deleted {
		rowSize--
	}
	if keySize > uint64(len(b)) || rowSize > uint64(len(b))-keySize {
		return false
	}
	c.key, c.row, c.block = b[:keySize], b[keySize:][:rowSize:rowSize], b[keySize+rowSize:]
	if deleted {
		c.row = nil
	}
	return true
}

// shared is how many bytes two keys begin with alike: in key order, so do all between them.
func shared(a, b []byte) int {
	n := min(len(a), len(b))
	for i := range n {
		if a[i] != b[i] {
			return i
		}
	}
	return n
}

// span is a first and a last key.
type span struct{ first, last []byte }

func (s span) with(o span) span {
	if s.first == nil || bytes.Compare(o.first, s.first) < 0 {
		s.first = o.first
	}
	if bytes.Compare(o.last, s.last) > 0 {
		s.last = o.last
	}
	return s
}
