package kafka

import (
	"math"
	"math/bits"
	"slices"
	"sync"
	"time"
	"unsafe"

	"github.com/IBM/sarama"
)

// Compression of a producer's batches.
type Compression int8

// The compressions. Zstd: sarama, and with it every tarn reader, cannot decode some batches of very many identical
// records that are compressed with it; prefer LZ4.
const (
	None Compression = iota
	Gzip
	Snappy
	LZ4
	Zstd
)

// batchOverhead is a record batch without its records, as the broker counts it against max.message.bytes.
const batchOverhead = 61

// maxTimestamp bounds a record's time: sarama counts nanoseconds in 64 bits, which end in the year 2262.
const maxTimestamp = math.MaxInt64 / int64(time.Millisecond)

// EncodedSize is the size in bytes of a batch that holds the record alone, uncompressed: what the broker compares
// with the topic's max.message.bytes.
func EncodedSize(rec *OutRecord) int { return batchOverhead + recordSize(rec, 0, 0) }

// recordSize is the exact size of a record in a batch.
func recordSize(rec *OutRecord, timeDelta, offsetDelta int64) int {
	n := 1 + varintLen(timeDelta) + varintLen(offsetDelta) + bytesLen(rec.Key) + bytesLen(rec.Value) + varintLen(int64(len(rec.Headers)))
	for _, h := range rec.Headers {
		n += varintLen(int64(len(h.Key))) + len(h.Key) + bytesLen(h.Value)
	}
	return n + varintLen(int64(n))
}

func bytesLen(b []byte) int {
	if b == nil {
		return varintLen(-1)
	}
	return varintLen(int64(len(b))) + len(b)
}

// varintLen is the length of a zigzag varint.
func varintLen(v int64) int {
	return (bits.Len64(uint64(v<<1)^uint64(v>>63)|1) + 6) / 7
}

// cut tells how many of the records fit into a batch of limit bytes that takes no more memory than room to send, at least one,
// the size of that batch, and what it takes.
func cut(records []OutRecord, limit, room int) (n, size, memory int) {
	size = batchOverhead
	headers := 0
	for i := range records {
		add := recordSize(&records[i], records[i].Timestamp-records[0].Timestamp, int64(i))
		more := sendBytes(i+1, headers+len(records[i].Headers), size+add)
		if i > 0 && (size+add > limit || more > room) {
			return i, size, memory
		}
		size, memory, headers = size+add, more, headers+len(records[i].Headers)
	}
	return len(records), size, memory
}

// sendBytes estimates the memory it takes to send n records of so many bytes: an arena of them, and their encoding, which is
// made with room to grow.
func sendBytes(n, headers, size int) int { return n*sendOverhead + headers*headerOverhead + 2*size }

const (
	sendOverhead   = int(unsafe.Sizeof(sarama.Record{})) + 8
	headerOverhead = int(unsafe.Sizeof(sarama.RecordHeader{})) + 8
)

// arenaShare is what part of a producer's bytes is for arenas that are kept; the rest is for requests.
const arenaShare = 4

// room is what a request may take where so many brokers get some.
func (p *Producer) room(brokers int) int {
	return int(p.conf.Bytes-p.conf.Bytes/arenaShare) / max(brokers, 1)
}

// arenas are kept for the batches to come, up to so many bytes.
type arenas struct {
	most int

	mu   sync.Mutex
	free []*arena
	kept int
}

func (p *arenas) bytes() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return int64(p.kept)
}

func (p *arenas) take() *arena {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := len(p.free)
	if n == 0 {
		return &arena{}
	}
	a := p.free[n-1]
	p.free = p.free[:n-1]
	p.kept -= a.bytes()
	return a
}

// put keeps an arena without what it holds, where there is room for it.
func (p *arenas) put(a *arena) {
	a.clear()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.kept+a.bytes() <= p.most {
		p.free = append(p.free, a)
		p.kept += a.bytes()
	}
}

// arena keeps what sarama wants for a batch, so that a batch costs a few allocations and not two a record.
type arena struct {
	batch      sarama.RecordBatch
	records    []sarama.Record
	refs       []*sarama.Record
	headers    []sarama.RecordHeader
	headerRefs []*sarama.RecordHeader

	used, usedHeaders int // since the last clear
}

func (a *arena) bytes() int { return len(a.records)*sendOverhead + len(a.headers)*headerOverhead }

// fill builds the batch. The records' bytes are referred to, not copied.
func (a *arena) fill(records []OutRecord, st stamp, c Compression) *sarama.RecordBatch {
	a.size(records)
	first, newest := records[0].Timestamp, records[0].Timestamp
	used := 0
	defer func() { a.used, a.usedHeaders = len(records), used }()
	for i := range records {
		r := &records[i]
		newest = max(newest, r.Timestamp)
		a.records[i] = sarama.Record{Key: r.Key, Value: r.Value, OffsetDelta: int64(i),
			TimestampDelta: time.Duration(r.Timestamp-first) * time.Millisecond}
		if len(r.Headers) == 0 {
			continue
		}
		from := used
		for _, h := range r.Headers {
			if h.Key == nil { // Kafka refuses a null header key
				h.Key = []byte{}
			}
			a.headers[used] = sarama.RecordHeader{Key: h.Key, Value: h.Value}
			used++
		}
		a.records[i].Headers = a.headerRefs[from:used:used]
	}
	a.batch = sarama.RecordBatch{Version: 2, Codec: sarama.CompressionCodec(c), CompressionLevel: sarama.CompressionLevelDefault,
		LastOffsetDelta: int32(len(records) - 1), FirstTimestamp: time.UnixMilli(first), MaxTimestamp: time.UnixMilli(newest),
		ProducerID: st.id, ProducerEpoch: st.epoch, FirstSequence: st.seq, Records: a.refs[:len(records)]}
	return &a.batch
}

// size makes room, with a reference to each place.
func (a *arena) size(records []OutRecord) {
	headers := 0
	for i := range records {
		headers += len(records[i].Headers)
	}
	if n := len(records); n > len(a.records) {
		a.records = make([]sarama.Record, n)
		a.refs = slices.Grow(a.refs[:0], n)[:n]
		for i := range a.records {
			a.refs[i] = &a.records[i]
		}
	}
	if headers > len(a.headers) {
		a.headers = make([]sarama.RecordHeader, headers)
		a.headerRefs = slices.Grow(a.headerRefs[:0], headers)[:headers]
		for i := range a.headers {
			a.headerRefs[i] = &a.headers[i]
		}
	}
}

// clear lets go of the caller's bytes.
func (a *arena) clear() {
	a.batch = sarama.RecordBatch{}
	clear(a.records[:a.used])
	clear(a.headers[:a.usedHeaders])
	a.used, a.usedHeaders = 0, 0
}
