package ldb

import (
	"iter"

	"github.com/syndtr/goleveldb/leveldb"
)

// Batch is a number of puts and deletes that become visible and durable together, in their order.
type Batch struct{ b leveldb.Batch }

// Grow makes room in an empty batch for so many bytes, as Bytes counts them.
func (b *Batch) Grow(bytes int) {
	if b.Len() == 0 && cap(b.b.Dump()) < bytes {
		b.b = *leveldb.MakeBatch(bytes)
	}
}

// Put sets key to value; both are copied.
func (b *Batch) Put(key, value []byte) { b.b.Put(key, value) }

// Delete removes key, which is copied.
func (b *Batch) Delete(key []byte) { b.b.Delete(key) }

// Reset empties the batch and keeps its memory.
func (b *Batch) Reset() { b.b.Reset() }

// Len counts the puts and deletes.
func (b *Batch) Len() int { return b.b.Len() }

// Bytes is the size of the encoded batch.
func (b *Batch) Bytes() int { return len(b.b.Dump()) }

// All gives the operations in order; a nil value is a delete.
func (b *Batch) All() iter.Seq2[[]byte, []byte] {
	return func(yield func([]byte, []byte) bool) {
		// Replay fails only on a batch that was loaded from bytes.
		_ = b.b.Replay(&replay{yield: yield})
	}
}

type replay struct {
	yield func(key, value []byte) bool
	done  bool
}

func (r *replay) Put(key, value []byte) {
	if value == nil {
		value = []byte{}
	}
	r.step(key, value)
}

func (r *replay) Delete(key []byte) { r.step(key, nil) }

func (r *replay) step(key, value []byte) {
	if !r.done {
		r.done = !r.yield(key, value)
	}
}
