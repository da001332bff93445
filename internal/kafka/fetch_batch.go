package kafka

import (
	"encoding/binary"
	"errors"
	"reflect"
	"slices"
	"sync"
	"time"
	"unsafe"

	"github.com/IBM/sarama"

	"github.com/tarnstream/tarn/state"
)

// chunk is what one answer brought of one partition.
type chunk struct {
	position, next int64
	records        state.Records
	ends           logEnds
	at             time.Time // when it came
	bytes          int64     // in memory
	short          bool      // nothing but an incomplete batch came
	err            error
}

// newChunk takes the records out of a block of an answer that was asked for at position. next is above position only by
// what was received. Nothing of the block is kept: with one partition's part of an answer all of it would stay in memory.
func newChunk(b *sarama.FetchResponseBlock, position int64, spare *spareRecords) chunk {
	c := chunk{position: position, next: position, ends: logEnds{b.LogStartOffset, b.LastStableOffset, b.HighWaterMarkOffset}}
	for i, set := range b.RecordsSet {
		batch := set.RecordBatch
		if batch == nil {
			c.err = errOldFormat
			return c
		}
		if batch.PartialTrailingRecord {
			b.RecordsSet = b.RecordsSet[:i]
			c.short = true
			break
		}
		c.next = max(c.next, after(batch.LastOffset()))
	}
	if len(b.RecordsSet) == 0 && !c.short {
		// Batches that compaction has emptied are counted here and nowhere else. Behind an incomplete batch sarama
		// counts that one too, and it was not received: only an answer with nothing else in it can be trusted.
		if hidden, ok := hiddenNext(b); ok {
			c.next = max(c.next, hidden)
		}
		c.short = b.Partial
	}
	c.short = c.short && c.next == position
	c.records = unpack(b.RecordsSet, b.AbortedTransactions, position, spare)
	c.records.Next, c.records.LogStart, c.records.Stable, c.records.End = c.next, c.ends.start, c.ends.stable, c.ends.end
	c.bytes = own(c.records.Records)
	return c
}

var errOldFormat = errors.New("it has the message format of before Kafka 0.11")

// recordBytes and headerBytes are a record and a header in memory without their bytes.
const (
	recordBytes = int64(unsafe.Sizeof(state.Record{}))
	headerBytes = int64(unsafe.Sizeof(state.Header{}))
)

// own copies what the records refer to into one piece, and tells what the list and they take in memory.
func own(records []state.Record) (bytes int64) {
	bytes = recordBytes * int64(cap(records))
	size := 0
	for i := range records {
		r := &records[i]
		size += len(r.Key) + len(r.Value)
		for _, h := range r.Headers {
			size += len(h.Key) + len(h.Value)
		}
		bytes += headerBytes * int64(len(r.Headers))
	}
	piece := make([]byte, 0, size)
	moved := func(b []byte) []byte {
		if b == nil {
			return nil
		}
		at := len(piece)
		piece = append(piece, b...)
		return piece[at:len(piece):len(piece)]
	}
	for i := range records {
		r := &records[i]
		r.Key, r.Value = moved(r.Key), moved(r.Value)
		for j := range r.Headers {
			r.Headers[j].Key, r.Headers[j].Value = moved(r.Headers[j].Key), moved(r.Headers[j].Value)
		}
	}
	return bytes + int64(size)
}

// hiddenNext is the offset behind the last batch that sarama has seen in a block, emptied ones included, which it does
// not export.
func hiddenNext(b *sarama.FetchResponseBlock) (int64, bool) {
	v := reflect.ValueOf(b).Elem().FieldByName("recordsNextOffset")
	if v.Kind() != reflect.Pointer || v.IsNil() {
		return 0, false
	}
	return v.Elem().Int(), true
}

// unpack gives the committed data of batches at or above position. Nothing is copied.
func unpack(sets []*sarama.Records, aborted []*sarama.AbortedTransaction, position int64, spare *spareRecords) state.Records {
	out := state.Records{Position: position, FirstEpoch: state.UnknownEpoch, LastEpoch: state.UnknownEpoch,
		Records: spare.take(count(sets))}
	filter := newAbortFilter(aborted)
	var arena headerArena
	for _, set := range sets {
		b := set.RecordBatch
		if b.LastOffset() < position {
			filter.drops(b) // a marker below the position ends its transaction all the same
			continue
		}
		if out.FirstEpoch == state.UnknownEpoch {
			out.FirstEpoch = b.PartitionLeaderEpoch
		}
		out.LastEpoch = b.PartitionLeaderEpoch
		unpackBatch(b, filter.drops(b), &out, &arena)
	}
	return out
}

// spareRecords are lists of records that are used no more. What is nearly as long as one of them takes its place.
type spareRecords struct{ pool sync.Pool }

// take gives an empty list with room for n, and not for many more.
func (p *spareRecords) take(n int) []state.Record {
	if n == 0 {
		return []state.Record{}
	}
	used, ok := p.pool.Get().(*[]state.Record)
	switch {
	case ok && cap(*used) >= n && cap(*used) <= 2*n:
		return (*used)[:0]
	case ok && cap(*used) > n:
		p.pool.Put(used)
	}
	return make([]state.Record, 0, n)
}

// put takes a list back.
func (p *spareRecords) put(used []state.Record) {
	clear(used)
	p.pool.Put(&used)
}

func count(sets []*sarama.Records) (n int) {
	for _, set := range sets {
		n += len(set.RecordBatch.Records)
	}
	return n
}

func unpackBatch(b *sarama.RecordBatch, drop bool, out *state.Records, arena *headerArena) {
	first, stamp := milliseconds(b.FirstTimestamp), milliseconds(b.MaxTimestamp)
	for _, r := range b.Records {
		offset := b.FirstOffset + r.OffsetDelta
		if offset < out.Position {
			continue
		}
		out.Present++
		if drop {
			continue
		}
		if !b.LogAppendTime {
			stamp = first
			if first >= 0 {
				stamp += r.TimestampDelta.Milliseconds()
			}
		}
		out.Bytes += int64(len(r.Key) + len(r.Value))
		out.Records = append(out.Records, state.Record{Key: r.Key, Value: r.Value, Offset: offset, Timestamp: stamp, Headers: arena.take(r.Headers)})
	}
}

// milliseconds since 1970, -1 where the batch has no time.
func milliseconds(t time.Time) int64 {
	if t.IsZero() {
		return -1
	}
	return t.UnixMilli()
}

// headerArena makes header slices out of few allocations.
type headerArena struct{ free []state.Header }

func (a *headerArena) take(in []*sarama.RecordHeader) []state.Header {
	if len(in) == 0 {
		return nil
	}
	if len(a.free) < len(in) {
		a.free = make([]state.Header, max(256, len(in)))
	}
	out := a.free[:len(in):len(in)]
	a.free = a.free[len(in):]
	for i, h := range in {
		out[i] = state.Header{Key: h.Key, Value: h.Value}
	}
	return out
}

// abortFilter tells the batches that give no records: markers, and data of transactions that were aborted. It follows
// Kafka's own client: a transaction of the answer's list begins with the first batch that reaches its first offset and ends
// with its producer's abort marker.
type abortFilter struct {
	coming []*sarama.AbortedTransaction // ascending by FirstOffset
	active map[int64]bool               // by producer id
}

func newAbortFilter(aborted []*sarama.AbortedTransaction) abortFilter {
	if len(aborted) == 0 {
		return abortFilter{}
	}
	coming := slices.Clone(aborted)
	slices.SortFunc(coming, func(a, b *sarama.AbortedTransaction) int { return int(min(max(a.FirstOffset-b.FirstOffset, -1), 1)) })
	return abortFilter{coming: coming, active: map[int64]bool{}}
}

// drops takes the next batch of the answer.
func (a *abortFilter) drops(b *sarama.RecordBatch) bool {
	for len(a.coming) > 0 && a.coming[0].FirstOffset <= b.LastOffset() {
		a.active[a.coming[0].ProducerID] = true
		a.coming = a.coming[1:]
	}
	if b.Control {
		if abortMarker(b) {
			delete(a.active, b.ProducerID)
		}
		return true
	}
	return b.IsTransactional && a.active[b.ProducerID]
}

// abortMarker reads the control record's key: version, then type, where 0 is abort.
func abortMarker(b *sarama.RecordBatch) bool {
	return len(b.Records) > 0 && len(b.Records[0].Key) >= 4 && binary.BigEndian.Uint16(b.Records[0].Key[2:]) == 0
}
