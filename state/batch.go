package state

import (
	"iter"

	"github.com/tarnstream/tarn/internal/digest"
	"github.com/tarnstream/tarn/internal/ldb"
)

// Batch is a number of puts and deletes that are written together with a checkpoint. Their order is kept: the last one
// of a key wins (R49). The zero Batch is empty and ready. It is for one goroutine, and may be used again after Reset.
type Batch struct {
	ops        ldb.Batch
	newest     *fold // instead of ops, of a rebuild
	last       bool  // of a rebuild: Swap comes next, and newest is the store's from Write on
	key, val   []byte
	rows       int
	checkpoint Checkpoint
	has        bool
	change     digest.Sum // of the rows, by SetChange
}

// rowRoom is what a row takes in a batch beside its key and value, nearly: its kind, lengths, offset and timestamp.
const rowRoom = 20

// Grow makes room in an empty batch for so many rows, whose keys and values are of so many bytes together.
func (b *Batch) Grow(rows int, bytes int64) { b.ops.Grow(rows*rowRoom + int(bytes)) }

// Put sets key to value, which may be empty; offset and timestamp are those of its record in the table's topic.
// Key and value are copied.
func (b *Batch) Put(key, value []byte, offset, timestamp int64) {
	b.rows++
	row := Row{Value: value, Offset: offset, Timestamp: timestamp}
	if b.newest != nil {
		b.newest.put(key, &row)
		return
	}
	b.key = append(append(b.key[:0], prefixData), key...)
	b.val = appendRow(b.val[:0], row)
	b.ops.Put(b.key, b.val)
}

// Delete removes key.
func (b *Batch) Delete(key []byte) {
	b.rows++
	if b.newest != nil {
		b.newest.put(key, nil)
		return
	}
	b.key = append(append(b.key[:0], prefixData), key...)
	b.ops.Delete(b.key)
}

// SetCheckpoint gives the checkpoint to be written with the batch. The store sets its flush number. A batch without one
// repeats the store's last.
func (b *Batch) SetCheckpoint(c Checkpoint) { b.checkpoint, b.has = c, true }

// SetChange says by what the batch changes the digest of the store's rows: the rows that it puts, less those that are there
// before it of the keys that it puts and deletes. A batch with puts or deletes and without this makes the store's digest unknown.
// After a wrong one each audit tells of altered rows.
func (b *Batch) SetChange(d digest.Sum) { b.change = d }

// changes is by what the batch changes the digest of the rows that are there before it.
func (b *Batch) changes() digest.Sum {
	if b.rows == 0 {
		return digest.Empty()
	}
	return b.change
}

// Len counts the puts and deletes.
func (b *Batch) Len() int { return b.rows }

// Bytes is the size of the keys and values in it, nearly.
func (b *Batch) Bytes() int {
	if b.newest != nil {
		return b.newest.bytes()
	}
	return b.ops.Bytes()
}

// fold has the empty batch keep the newest row of each key only.
func (b *Batch) fold() {
	if b.newest == nil {
		b.newest = newFold()
	}
}

// thin removes what the batch overwrites itself, where it then takes no more than most bytes.
func (b *Batch) thin(most int) bool { return b.newest != nil && b.newest.thin(most) }

// Reset empties the batch and keeps its memory.
func (b *Batch) Reset() {
	b.ops.Reset()
	if b.newest != nil {
		b.newest.reset()
	}
	b.rows, b.has, b.last, b.change = 0, false, false, digest.Sum{}
	b.checkpoint = Checkpoint{}
}

// All gives the puts and deletes in order, a nil row for a delete: for a Store of another kind than Open's.
// Keys and rows belong to the batch.
func (b *Batch) All() iter.Seq2[[]byte, *Row] {
	return func(yield func([]byte, *Row) bool) {
		all := b.ops.All()
		if b.newest != nil {
			all = b.newest.sorted().all()
		}
		for key, value := range all {
			if len(key) == 0 || key[0] != prefixData {
				continue
			}
			var row *Row
			if value != nil {
				r, err := decodeRow(value)
				if err != nil {
					return
				}
				row = &r
			}
			if !yield(key[1:], row) {
				return
			}
		}
	}
}
