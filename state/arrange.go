package state

import (
	"bytes"
	"cmp"
	"slices"

	"github.com/tarnstream/tarn/internal/ldb"
)

// spot is a row's in the order of keys.
type spot struct {
	head uint64 // of the key, behind what those that it is compared to have in common
	row  uint32
	size uint32 // of the key
}

const (
	headBytes = 8
	// fewSpots are sorted by comparison, and so are rows of keys that are the same for deepKey bytes and more.
	fewSpots = 32
	deepKey  = 128
	// fewHeads are taken again at once, where keys turn out to have less in common.
	fewHeads   = 256
	wrongHeads = -1
)

// arrange finds the newest row of each key, and their order: keys are sorted by eight bytes of each, digit by digit, which is all
// that it takes where those tell them apart.
func (f *fold) arrange() {
	if f.arranged {
		return
	}
	if f.depth == wrongHeads {
		f.depth = len(f.common)
		f.takeHeads(f.order, f.depth)
	}
	f.spare = slices.Grow(f.spare[:0], len(f.rows))[:len(f.rows)]
	f.sort(f.order, f.depth)
	f.order = slices.DeleteFunc(f.order, func(p spot) bool { return f.rows[p.row].row == rowOld })
	f.arranged = true
}

func (f *fold) takeHeads(part []spot, depth int) {
	for i := range part {
		part[i].head = ldb.KeyHead(f.keyOf(part[i].row), depth)
	}
}

// sort sorts spots by their heads, which are of the depth up to which all their keys are the same. Of one key the older rows
// come before the newer ones.
func (f *fold) sort(part []spot, depth int) {
	sortByHead(part, f.spare[:len(part)])
	for len(part) > 0 {
		n := 1
		for n < len(part) && part[n].head == part[0].head {
			n++
		}
		if n > 1 {
			f.sortSame(part[:n], depth+headBytes)
		}
		part = part[n:]
	}
}

// sortSame sorts spots whose keys are the same up to depth, or end before it.
func (f *fold) sortSame(part []spot, depth int) {
	switch {
	case f.isOneKey(part, depth):
		f.keepLast(part)
	case len(part) > fewSpots && depth < len(f.common)+deepKey:
		f.depth = wrongHeads
		f.takeHeads(part, depth)
		f.sort(part, depth)
	default:
		slices.SortStableFunc(part, func(a, b spot) int { return bytes.Compare(f.keyOf(a.row), f.keyOf(b.row)) })
		for len(part) > 0 {
			n := 1
			for n < len(part) && bytes.Equal(f.keyOf(part[0].row), f.keyOf(part[n].row)) {
				n++
			}
			f.keepLast(part[:n])
			part = part[n:]
		}
	}
}

// isOneKey tells by their size that keys which are the same up to depth, or end before it, are one.
func (f *fold) isOneKey(part []spot, depth int) bool {
	for i := range part {
		if part[i].size != part[0].size || int(part[i].size) > depth {
			return false
		}
	}
	return true
}

// keepLast leaves of the rows of one key, which are in the order of arrival, the newest.
func (f *fold) keepLast(part []spot) {
	for _, p := range part[:len(part)-1] {
		f.rows[p.row].row = rowOld
	}
}

// sortByHead is stable. spare is as long as part.
func sortByHead(part, spare []spot) {
	if len(part) <= fewSpots {
		slices.SortStableFunc(part, func(a, b spot) int { return cmp.Compare(a.head, b.head) })
		return
	}
	var counts [headBytes][256]uint32
	for i := range part {
		h := part[i].head
		for digit := range headBytes {
			counts[digit][byte(h>>(8*digit))]++
		}
	}
	from, to := part, spare
	for digit := range headBytes {
		if at := &counts[digit]; starts(at, byte(part[0].head>>(8*digit)), len(part)) {
			for i := range from {
				d := byte(from[i].head >> (8 * digit))
				to[at[d]] = from[i]
				at[d]++
			}
			from, to = to, from
		}
	}
	if &from[0] != &part[0] {
		copy(part, from)
	}
}

// starts makes the place of the first of each digit of how many there are of it; it is false where all n have one digit.
func starts(counts *[256]uint32, one byte, n int) bool {
	if counts[one] == uint32(n) {
		return false
	}
	sum := uint32(0)
	for i, c := range counts {
		counts[i] = sum
		sum += c
	}
	return true
}
