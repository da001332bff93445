// Package digest tells by one number whether the rows of a table partition are those that were written.
package digest

import (
	"encoding/binary"
	"fmt"

	"github.com/cespare/xxhash/v2"
)

// Sum is the digest of a set of rows, each a key, the offset of its record and a value. It goes by the rows alone, not by the
// order in which they came or went. The zero Sum is unknown, and so is what is made of an unknown one.
//
// The naive way hashes the rows in key order. It needs all of them for each change. Here each row has a hash of its own,
// and they are added up modulo 2^64: a row that goes is subtracted, which takes that row and none of the others. That a set
// of rows has the digest of another by chance is as good as impossible; who wants to can make one, so it proves nothing against
// somebody who writes to the disk on purpose.
type Sum struct {
	bits  uint64
	known bool
}

// Empty is the digest of no rows.
func Empty() Sum { return Sum{known: true} }

// FromBits gives the known Sum that Bits came from.
func FromBits(bits uint64) Sum { return Sum{bits, true} }

// Of is the digest of one row. It is the same in every process, on every machine and for ever: it stands on disk.
func Of(key []byte, offset int64, value []byte) Sum {
	// Key length and offset end by themselves and go first, so that no two rows give the same bytes.
	var head [2 * binary.MaxVarintLen64]byte
	n := binary.PutUvarint(head[:], uint64(len(key)))
	n += binary.PutUvarint(head[n:], uint64(offset))
	var h xxhash.Digest
	h.Reset()
	_, _ = h.Write(head[:n]) // its errors are always nil
	_, _ = h.Write(key)
	_, _ = h.Write(value)
	return FromBits(h.Sum64())
}

// Plus is the digest with the rows of o added.
func (s Sum) Plus(o Sum) Sum {
	if !s.known || !o.known {
		return Sum{}
	}
	return FromBits(s.bits + o.bits)
}

// Minus is the digest with the rows of o removed, all of which must be there.
func (s Sum) Minus(o Sum) Sum {
	if !s.known || !o.known {
		return Sum{}
	}
	return FromBits(s.bits - o.bits)
}

// Known is false for the zero Sum, and what was made of it.
func (s Sum) Known() bool { return s.known }

// Bits are what is stored of a known Sum.
func (s Sum) Bits() (bits uint64, known bool) { return s.bits, s.known }

// String is 16 hex digits, or "unknown".
func (s Sum) String() string {
	if !s.known {
		return "unknown"
	}
	return fmt.Sprintf("%016x", s.bits)
}
