package state

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"hash/maphash"
	"iter"
	"math"
	"slices"
)

// fold is the newest row of each key, for a rebuild.
//
// The naive way writes every record of the log, in the log's order: LevelDB sorts each into its memory table, journals it,
// and merges tables that overlap, though most rows are overwritten before anybody reads them. A rebuild that is
// interrupted is begun anew, so that what it has written so far needs neither order nor journal: keys are folded in memory
// as long as there is room, and go to disk sorted, as tables.
type fold struct {
	seed   maphash.Seed
	mask   uint64           // of hashes; a test has them collide
	first  map[uint64]int32 // the newest entry of a hash
	rows   []folded
	blocks [][]byte
	spare  [][]byte // empty, of an earlier fold
	used   int      // of blocks, in all
}

// folded is a row in a block: its key, with the prefix of data, and after it the encoded row.
type folded struct {
	block, at, key uint32
	value, room    int32 // value is negative for a delete
	next           int32 // another key of the same hash
}

const (
	foldBlock = 256 << 10
	// foldEntry is what a row takes beside its bytes: folded, its place in the map, and its place in the order.
	foldEntry = 72
	// foldSlack lets the offset and time of a row grow in place.
	foldSlack = 3
)

func newFold() *fold {
	return &fold{seed: maphash.MakeSeed(), mask: math.MaxUint64, first: map[uint64]int32{}}
}

func (f *fold) bytes() int { return f.used + len(f.rows)*foldEntry }

func (f *fold) reset() {
	clear(f.first)
	for _, b := range f.blocks {
		if cap(b) == foldBlock {
			f.spare = append(f.spare, b[:0])
		}
	}
	clear(f.blocks)
	f.rows, f.blocks, f.used = f.rows[:0], f.blocks[:0], 0
}

// put sets key to an encoded row, or deletes it where that is nil. Both are copied.
func (f *fold) put(key, row []byte) {
	h := maphash.Bytes(f.seed, key) & f.mask
	head, seen := f.first[h]
	if !seen {
		head = -1
	}
	for i := head; i >= 0; i = f.rows[i].next {
		r := &f.rows[i]
		if !bytes.Equal(f.keyOf(r), key) {
			continue
		}
		switch {
		case row == nil:
			r.value = -1
		case len(row) <= int(r.room):
			r.value = int32(copy(f.blocks[r.block][r.at+r.key:], row))
		default:
			next := r.next
			*r = f.place(key, row)
			r.next = next
		}
		return
	}
	r := f.place(key, row)
	r.next = head
	f.first[h] = int32(len(f.rows))
	f.rows = append(f.rows, r)
}

// place copies a row into the last block, or into a new one.
func (f *fold) place(key, row []byte) folded {
	size := len(key) + len(row) + foldSlack
	if n := len(f.blocks); n == 0 || cap(f.blocks[n-1])-len(f.blocks[n-1]) < size {
		f.blocks = append(f.blocks, f.block(size))
		f.used += cap(f.blocks[n])
	}
	last := &f.blocks[len(f.blocks)-1]
	r := folded{block: uint32(len(f.blocks) - 1), at: uint32(len(*last)), key: uint32(len(key)),
		value: int32(len(row)), room: int32(len(row) + foldSlack)}
	*last = append(append(*last, key...), row...)
	*last = (*last)[:int(r.at)+size]
	if row == nil {
		r.value = -1
	}
	return r
}

// block gives an empty block with room for size bytes.
func (f *fold) block(size int) []byte {
	n := len(f.spare) - 1
	if n < 0 || size > foldBlock {
		return make([]byte, 0, max(foldBlock, size))
	}
	b := f.spare[n]
	f.spare = f.spare[:n]
	return b
}

func (f *fold) keyOf(r *folded) []byte { return f.blocks[r.block][r.at : r.at+r.key] }

// sorted gives the rows by key; nil is a delete.
func (f *fold) sorted() iter.Seq2[[]byte, []byte] {
	return func(yield func(key, row []byte) bool) {
		type place struct {
			prefix uint64 // of the key, without what all have
			row    int32
		}
		order := make([]place, len(f.rows))
		for i := range f.rows {
			var prefix [8]byte
			copy(prefix[:], f.keyOf(&f.rows[i])[1:])
			order[i] = place{binary.BigEndian.Uint64(prefix[:]), int32(i)}
		}
		slices.SortFunc(order, func(a, b place) int {
			if c := cmp.Compare(a.prefix, b.prefix); c != 0 {
				return c
			}
			return bytes.Compare(f.keyOf(&f.rows[a.row]), f.keyOf(&f.rows[b.row]))
		})
		for _, p := range order {
			r := &f.rows[p.row]
			var row []byte
			if r.value >= 0 {
				from := r.at + r.key
				row = f.blocks[r.block][from : from+uint32(r.value)]
			}
			if !yield(f.keyOf(r), row) {
				return
			}
		}
	}
}
