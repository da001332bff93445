package kafka

import (
	"cmp"
	"iter"
	"slices"
	"sync"
	"time"
	"unsafe"

	"github.com/tarnstream/tarn/state"
)

// chunk is what one answer brought of one partition.
type chunk struct {
	position, next int64
	records        state.Records
	ends           logEnds
	at             time.Time // when it came
	bytes          int64     // in memory
	batch          int       // the size of the largest batch, as it came
	log            []byte    // the part of the answer, where records refer to it
	short          bool      // nothing but an incomplete batch came
	err            error
}

// recordBytes and headerBytes are a record and a header in memory without their bytes.
const (
	recordBytes = int64(unsafe.Sizeof(state.Record{}))
	headerBytes = int64(unsafe.Sizeof(state.Header{}))
)

// unfolder makes records of what is fetched. Many goroutines may use it.
type unfolder struct {
	decompressor decompressor
	lists        spare[state.Record]
	logs         spare[byte]
}

// batches gives the whole ones of a part, and ends with an error.
func (p *part) batches() iter.Seq2[recordBatch, error] {
	return func(yield func(recordBatch, error) bool) {
		for log := p.log; ; {
			b, rest, whole, err := nextBatch(log)
			if err == nil && !whole {
				return
			}
			if !yield(b, err) || err != nil {
				return
			}
			log = rest
		}
	}
}

// chunk takes the committed records out of a part that was asked for at position. next is above position only by what was
// received. What is damaged ends it: where batches came before, it is for the next answer to say so.
func (u *unfolder) chunk(p *part, position int64) chunk {
	c := chunk{position: position, next: position, ends: p.ends, records: state.Records{Position: position, FirstEpoch: state.UnknownEpoch,
		LastEpoch: state.UnknownEpoch, LogStart: p.ends.start, Stable: p.ends.stable, End: p.ends.end}}
	var all []recordBatch
	room, size := 0, 0
	for b, err := range p.batches() {
		if err != nil {
			c.err = err
			break
		}
		all, size = append(all, b), size+b.size()
		c.batch = max(c.batch, b.size())
		if b.last >= position {
			room += b.room()
		}
	}
	c.records.Records = u.lists.take(room)
	filter, arena := newAbortFilter(p.aborted), headerArena{}
	for i := range all {
		b := &all[i]
		given := len(c.records.Records)
		if err := u.take(&c, b, filter.drops(b), &arena); err != nil {
			c.err = err
			break
		}
		if len(c.records.Records) > given && !b.compressed() {
			c.log = p.log
		}
		c.next = max(c.next, after(b.last))
	}
	if c.next > position {
		c.err = nil
	}
	c.records.Next, c.short = c.next, c.next == position && c.err == nil && size < len(p.log)
	c.bytes += int64(cap(c.log)) + recordBytes*int64(cap(c.records.Records)) + arena.bytes
	return c
}

// take puts a batch's records into a chunk. One that compaction has emptied has the epoch that it had before.
func (u *unfolder) take(c *chunk, b *recordBatch, drop bool, arena *headerArena) error {
	out := &c.records
	if b.last < out.Position {
		return nil
	}
	records, err := b.unfold(&u.decompressor)
	if err != nil {
		return err
	}
	before, damaged := *out, false
	err = b.each(records, func(r *record) {
		if r.offset < out.Position {
			return
		}
		out.Present++
		if drop {
			return
		}
		headers, ok := arena.take(r)
		damaged = damaged || !ok
		out.Bytes += int64(len(r.key) + len(r.value))
		out.Records = append(out.Records, state.Record{Key: r.key, Value: r.value, Offset: r.offset, Timestamp: r.time, Headers: headers})
	})
	if err == nil && damaged {
		err = errRecords
	}
	if err != nil {
		*out = before
		return err
	}
	if out.FirstEpoch == state.UnknownEpoch {
		out.FirstEpoch = b.epoch
	}
	out.LastEpoch = b.epoch
	if b.compressed() && len(out.Records) > len(before.Records) {
		c.bytes += int64(cap(records))
	}
	return nil
}

// spare are pieces of memory that are used no more. What is nearly as long as one of them takes its place.
type spare[T any] struct{ pool sync.Pool }

// take gives an empty piece with room for n, and not for many more. A nil spare has none.
func (p *spare[T]) take(n int) []T {
	if n == 0 {
		return []T{}
	}
	if p == nil {
		return make([]T, 0, n)
	}
	used, ok := p.pool.Get().(*[]T)
	switch {
	case ok && cap(*used) >= n && cap(*used) <= 2*n:
		return (*used)[:0]
	case ok && cap(*used) > n:
		p.pool.Put(used)
	}
	return make([]T, 0, n)
}

// put takes a piece back, which refers to nothing.
func (p *spare[T]) put(used []T) {
	if cap(used) > 0 {
		p.pool.Put(&used)
	}
}

// headerArena makes header slices out of few allocations.
type headerArena struct {
	free  []state.Header
	bytes int64
}

// take gives a record's headers; false says that they are malformed.
func (a *headerArena) take(r *record) ([]state.Header, bool) {
	n := r.nHeaders
	if n == 0 {
		return nil, true
	}
	if len(a.free) < n {
		a.free = make([]state.Header, max(256, n))
		a.bytes += headerBytes * int64(len(a.free))
	}
	out := a.free[:n:n]
	a.free = a.free[n:]
	return out, r.takeHeaders(out)
}

// abortFilter tells the batches that give no records: markers, and data of transactions that were aborted. It follows
// Kafka's own client: a transaction of the answer's list begins with the first batch that reaches its first offset and ends
// with its producer's abort marker.
type abortFilter struct {
	coming []abortedTxn   // ascending by their first offsets
	active map[int64]bool // by producer id
}

func newAbortFilter(aborted []abortedTxn) abortFilter {
	if len(aborted) == 0 {
		return abortFilter{}
	}
	coming := slices.Clone(aborted)
	slices.SortFunc(coming, func(a, b abortedTxn) int { return cmp.Compare(a.first, b.first) })
	return abortFilter{coming: coming, active: map[int64]bool{}}
}

// drops takes the next batch of the answer.
func (a *abortFilter) drops(b *recordBatch) bool {
	for len(a.coming) > 0 && a.coming[0].first <= b.last {
		a.active[a.coming[0].producer] = true
		a.coming = a.coming[1:]
	}
	if b.control() {
		if b.abortMarker() {
			delete(a.active, b.by.id)
		}
		return true
	}
	return b.transactional() && a.active[b.by.id]
}
