package state

import (
	"bytes"
	"iter"
	"slices"

	"github.com/tarnstream/tarn/internal/ldb"
)

// fold is the newest row of each key, for a rebuild.
//
// The naive way writes every record of the log, in the log's order: LevelDB sorts each into its memory table, journals it,
// and merges tables that overlap, though most rows are overwritten before anybody reads them. To look each key up in a hash
// table and keep its newest row is better, and costs more than all else that is done with a record: a cache miss or two for
// the table and one for the row, of a key that mostly is new. The rule: rows are put down behind each other as they come,
// and nothing is looked up. When there is no more room they are sorted by key, all at once, and of those of a key the newest
// stays. Where that makes room for as many again the fold goes on; else it goes to disk, sorted as it is.
type fold struct {
	rows   []folded // in the order of arrival
	blocks [][]byte
	fill   int    // the block that rows go to; those behind it, which have room again, come next
	used   int    // of blocks: what the rows behind fill take, and up to it all there is
	common []byte // what all keys begin with

	order    []spot // of the rows: those that were arranged, in key order, and behind them those that came since
	depth    int    // of the heads in order; negative: not of all
	spare    []spot
	arranged bool // order has the newest row of each key, and no others
}

// folded is a row in a block: its key, with the prefix of data, and after it the encoded row.
type folded struct {
	block, at, key uint32
	row            int32 // the size, or one of the below
}

const (
	rowDeleted = -1
	rowOld     = -2 // a newer one of its key is there
)

const (
	foldBlock = 256 << 10
	// foldEntry is what a row takes beside its bytes: folded, and a place in order and in spare, all with room to grow.
	foldEntry = 60
	noBlock   = -1
)

func newFold() *fold { return &fold{fill: noBlock} }

func (f *fold) bytes() int { return f.used + len(f.rows)*foldEntry }

// reset empties the fold and keeps its memory, but for blocks of one large row.
func (f *fold) reset() {
	kept := f.blocks[:0]
	for _, b := range f.blocks {
		if cap(b) == foldBlock {
			kept = append(kept, b[:0])
		}
	}
	clear(f.blocks[len(kept):])
	f.blocks, f.fill, f.used = kept, noBlock, 0
	f.rows, f.order, f.arranged = f.rows[:0], f.order[:0], false
}

// put sets key to a row, or deletes it where that is nil. Both are copied.
func (f *fold) put(key []byte, row *Row) {
	size := len(key) + 1
	if row != nil {
		size += len(row.Value) + rowHead
	}
	at := f.room(size)
	b := f.blocks[at]
	r := folded{block: uint32(at), at: uint32(len(b)), key: uint32(len(key) + 1), row: rowDeleted}
	b = append(append(b, prefixData), key...)
	f.note(b[r.at:])
	if row != nil {
		b = appendRow(b, *row)
		r.row = int32(len(b) - int(r.at) - int(r.key))
	}
	f.blocks[at] = b
	f.rows = append(f.rows, r)
	f.arranged = false
}

// room gives a block that takes size bytes.
func (f *fold) room(size int) int {
	if size > foldBlock {
		return f.roomForLarge(size)
	}
	for f.fill < 0 || cap(f.blocks[f.fill])-len(f.blocks[f.fill]) < size {
		if f.fill+1 == len(f.blocks) {
			f.blocks = append(f.blocks, make([]byte, 0, foldBlock))
		}
		f.goOn()
	}
	return f.fill
}

// goOn begins to fill the next block.
func (f *fold) goOn() {
	f.fill++
	b := f.blocks[f.fill]
	f.used += cap(b) - len(b)
}

// roomForLarge makes a block for one row. What room others have is given up for it: else it would be held, and not counted.
func (f *fold) roomForLarge(size int) int {
	for f.fill+1 < len(f.blocks) {
		f.goOn()
	}
	at := slices.IndexFunc(f.blocks, func(b []byte) bool { return b == nil })
	if at < 0 {
		at = len(f.blocks)
		f.blocks = append(f.blocks, nil)
		f.fill = at
	}
	f.blocks[at] = make([]byte, 0, size)
	f.used += size
	return at
}

// note puts a key that comes next in the order. Its head is taken while it is at hand: later it would be a cache miss.
func (f *fold) note(key []byte) {
	if len(f.rows) == 0 {
		f.common = append(f.common[:0], key...)
		f.depth = len(f.common)
	}
	for !bytes.HasPrefix(key, f.common) {
		f.common = f.common[:len(f.common)-1]
	}
	if f.depth > len(f.common) {
		f.depth = wrongHeads
		if len(f.order) < fewHeads {
			f.takeHeads(f.order, len(f.common))
			f.depth = len(f.common)
		}
	}
	f.order = append(f.order, spot{head: ldb.KeyHead(key, len(f.common)), row: uint32(len(f.rows)), size: uint32(len(key))})
}

func (f *fold) keyOf(row uint32) []byte {
	r := &f.rows[row]
	return f.blocks[r.block][r.at : r.at+r.key]
}

// sorted gives the newest row of each key, by key, until rows are put or thin is called.
func (f *fold) sorted() newest {
	f.arrange()
	return newest{f}
}

// newest are the rows of a fold that is arranged. A nil row is a delete.
type newest struct{ f *fold }

func (n newest) Len() int { return len(n.f.order) }

func (n newest) At(i int) (key, row []byte) {
	r := &n.f.rows[n.f.order[i].row]
	b := n.f.blocks[r.block][r.at:]
	if r.row >= 0 {
		row = b[r.key:][:r.row:r.row]
	}
	return b[:r.key:r.key], row
}

func (n newest) all() iter.Seq2[[]byte, []byte] {
	return func(yield func(key, row []byte) bool) {
		for i := range n.Len() {
			if !yield(n.At(i)) {
				return
			}
		}
	}
}

// thin removes the rows that are not the newest of their keys, where it then takes no more than most bytes.
func (f *fold) thin(most int) bool {
	f.arrange()
	left := 0
	for _, p := range f.order {
		r := &f.rows[p.row]
		left += int(r.key) + int(max(r.row, 0)) + foldEntry
	}
	if left > most {
		return false
	}
	f.squeeze()
	return true
}

// squeeze moves the rows that stay to the beginning of their blocks. Within a block they lie as they came, so that none is
// moved over one that was not.
func (f *fold) squeeze() {
	ends := make([]int, len(f.blocks))
	rows := f.rows[:0]
	for i, r := range f.rows {
		if r.row == rowOld {
			continue
		}
		b, end := f.blocks[r.block], ends[r.block]
		size := int(r.key) + int(max(r.row, 0))
		copy(b[end:], b[r.at:][:size])
		r.at, ends[r.block] = uint32(end), end+size
		f.spare[i].row = uint32(len(rows))
		rows = append(rows, r)
	}
	for i := range f.order {
		f.order[i].row = f.spare[f.order[i].row].row
	}
	f.rows, f.fill, f.used = rows, noBlock, 0
	for i, end := range ends {
		f.blocks[i] = f.blocks[i][:end]
		f.used += end
		if end == 0 && cap(f.blocks[i]) != foldBlock {
			f.blocks[i] = nil
		}
	}
}
