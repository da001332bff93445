package state

import (
	"encoding/binary"
	"errors"
	"math"

	"github.com/tarnstream/tarn/internal/digest"
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

// digest reads whether a digest is known, and it. The version before kept a place for another one.
func (d *decoder) digest(version byte) (s digest.Sum) {
	known := d.bytes(1)
	switch {
	case d.bad || known[0] == 0:
	case known[0] != 1:
		d.bad = true
	case version == undigested:
		d.bytes(32)
	default:
		if bits := d.bytes(8); !d.bad {
			s = digest.FromBits(binary.BigEndian.Uint64(bits))
		}
	}
	return s
}

func (d *decoder) string() string { return string(d.bytes(d.uvarint())) }

// A row is its record's offset (uvarint), its timestamp (varint, ms) and the codec's bytes.
// rowHead is the most that a row takes beside its value.
const rowHead = 2 * binary.MaxVarintLen64

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

// rowDigest is the digest of a row as it is stored, with its prefix; unknown where it is malformed.
func rowDigest(key, data []byte) digest.Sum {
	r, err := decodeRow(data)
	if err != nil {
		return digest.Sum{}
	}
	return r.digest(key[1:])
}

func (r *Row) digest(key []byte) digest.Sum { return digest.Of(key, r.Offset, r.Value) }

// next is the position after offset: the one place where a position is made from an offset.
func next(offset int64) int64 { return offset + 1 }
