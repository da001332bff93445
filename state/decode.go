package state

import (
	"encoding/binary"
	"errors"
	"math"
)

// decoder reads fields one after another and remembers that one was bad.
type decoder struct {
	buf []byte
	bad bool
}

func (d *decoder) bytes(n uint64) []byte {
	if d.bad || n > uint64(len(d.buf)) {
		d.bad = true
		return nil
	}
	b := d.buf[:n]
	d.buf = d.buf[n:]
	return b
}

func (d *decoder) uvarint() uint64 {
	v, n := binary.Uvarint(d.buf)
	if n <= 0 {
		d.bad = true
		return 0
	}
	d.buf = d.buf[n:]
	return v
}

func (d *decoder) varint() int64 {
	v, n := binary.Varint(d.buf)
	if n <= 0 {
		d.bad = true
		return 0
	}
	d.buf = d.buf[n:]
	return v
}

func (d *decoder) int32() int32 {
	v := d.varint()
	if v < math.MinInt32 || v > math.MaxInt32 {
		d.bad = true
	}
	return int32(v)
}

func (d *decoder) string() string { return string(d.bytes(d.uvarint())) }

// A row is its record's offset (uvarint), its timestamp (varint, ms) and the codec's bytes.
func appendRow(dst []byte, r Row) []byte {
	dst = binary.AppendUvarint(dst, uint64(r.Offset))
	dst = binary.AppendVarint(dst, r.Timestamp)
	return append(dst, r.Value...)
}

var errRow = errors.New("malformed row")

// decodeRow reads a row; its value is a part of data and never nil.
func decodeRow(data []byte) (Row, error) {
	d := decoder{buf: data}
	offset := d.uvarint()
	r := Row{Offset: int64(offset), Timestamp: d.varint(), Value: d.buf}
	if d.bad || offset > math.MaxInt64 {
		return Row{}, errRow
	}
	if r.Value == nil {
		r.Value = []byte{}
	}
	return r, nil
}

// next is the position after offset: the one place where a position is made from an offset.
func next(offset int64) int64 { return offset + 1 }
