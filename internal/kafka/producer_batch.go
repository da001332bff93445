package kafka

import (
	"encoding/binary"
	"math"
	"math/bits"
	"reflect"
	"slices"
	"sync"
	"time"
	"unsafe"

	"github.com/IBM/sarama"
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
	n := recordBody(rec, timeDelta, offsetDelta)
	return n + varintLen(int64(n))
}

// recordBody is that without its length.
func recordBody(rec *OutRecord, timeDelta, offsetDelta int64) int {
	n := 1 + varintLen(timeDelta) + varintLen(offsetDelta) + bytesLen(rec.Key) + bytesLen(rec.Value) + varintLen(int64(len(rec.Headers)))
	for _, h := range rec.Headers {
		n += varintLen(int64(len(h.Key))) + len(h.Key) + bytesLen(h.Value)
	}
	return n
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

// Rows are the records of a batch that its owner has in another form. They are asked for whenever they are sent.
type Rows interface {
	Len() int
	// Row gives the i-th; its Offset is of no account.
	Row(i int) OutRecord
	// Placed says that the rows from the first on, so many of them, are in the log, one behind the other from offset on.
	Placed(first, n int, offset int64)
}

// recordRows are Records as Rows.
type recordRows []OutRecord

func (r recordRows) Len() int { return len(r) }

func (r recordRows) Row(i int) OutRecord { return r[i] }

func (r recordRows) Placed(first, n int, offset int64) {
	for i := range r[first : first+n] {
		r[first+i].Offset = offset + int64(i)
	}
}

// series is n rows that follow each other.
type series struct {
	rows     Rows
	first, n int
}

// row gives the i-th of the series.
func (s *series) row(i int) OutRecord { return s.rows.Row(s.first + i) }

// take takes the first n off.
func (s *series) take(n int) series {
	head := series{s.rows, s.first, n}
	s.first, s.n = s.first+n, s.n-n
	return head
}

// piece is as many of the first rows of a series as fit into a batch.
type piece struct {
	n      int
	size   int // of the batch
	memory int // it takes to send it
	// untimely is a timestamp that no batch can have, if refused.
	untimely int64
	refused  bool
}

// cut tells how many of the rows fit into a batch of limit bytes that takes no more memory than room to send, at least one.
func (s *series) cut(limit, room int) piece {
	p := piece{size: batchOverhead}
	var first int64
	for i := range s.n {
		r := s.row(i)
		if i == 0 {
			first = r.Timestamp
		}
		size := p.size + recordSize(&r, r.Timestamp-first, int64(i))
		memory := sendBytes(i+1, size)
		if i > 0 && (size > limit || memory > room) {
			break
		}
		p.n, p.size, p.memory = i+1, size, memory
		if r.Timestamp < 0 || r.Timestamp > maxTimestamp {
			p.untimely, p.refused = r.Timestamp, true
		}
	}
	return p
}

// sendBytes is the memory it takes to send n records of so many bytes: what they are encoded to, twice, once in the request, and
// the places that sarama counts them by.
func sendBytes(n, size int) int { return n*placeBytes + 2*size }

const placeBytes = 8

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

// put keeps an arena without what it holds, where there is room for it. Sarama has the batch until its answer comes.
func (p *arenas) put(a *arena) {
	a.clear()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.kept+a.bytes() <= p.most {
		p.free = append(p.free, a)
		p.kept += a.bytes()
	} else {
		*a = arena{}
	}
}

// arena keeps what a batch is made in, so that it costs no allocation a record.
//
// The naive way gives sarama its records, which takes more memory than what is sent, and has it go over them twice. The rule: the
// records are encoded here, once, and sarama is given the bytes at the place where it keeps those of a batch that it has encoded
// before. Where a version of it has no such place it gets its records.
type arena struct {
	batch  sarama.RecordBatch
	raw    []byte
	places []*sarama.Record // nil ones: sarama counts them
	plain  bool             // sarama encodes
}

func (a *arena) bytes() int { return cap(a.raw) + cap(a.places)*placeBytes }

// fill builds the batch, which is of so many bytes. The arena is not to be used again before that is sent.
func (a *arena) fill(s series, size int, st stamp) *sarama.RecordBatch {
	first := s.row(0)
	a.batch = sarama.RecordBatch{Version: 2, LastOffsetDelta: int32(s.n - 1), FirstTimestamp: time.UnixMilli(first.Timestamp),
		ProducerID: st.id, ProducerEpoch: st.epoch, FirstSequence: st.seq}
	plain := a.plain || encodedAt == 0
	if plain {
		a.batch.Records = make([]*sarama.Record, s.n)
	} else {
		if s.n > len(a.places) {
			a.places = make([]*sarama.Record, s.n)
		}
		a.batch.Records, a.raw = a.places[:s.n], slices.Grow(a.raw[:0], size)
	}
	newest := first.Timestamp
	for i := range s.n {
		r := s.row(i)
		newest = max(newest, r.Timestamp)
		if delta := r.Timestamp - first.Timestamp; plain {
			a.batch.Records[i] = saramaRecord(&r, delta, int64(i))
		} else {
			a.raw = appendRecord(a.raw, &r, delta, int64(i))
		}
	}
	a.batch.MaxTimestamp = time.UnixMilli(newest)
	if !plain {
		*(*[]byte)(unsafe.Add(unsafe.Pointer(&a.batch), encodedAt)) = a.raw
	}
	return &a.batch
}

// encodedAt is where a sarama.RecordBatch has its records when they are encoded, 0 for nowhere.
var encodedAt = func() uintptr {
	f, ok := reflect.TypeFor[sarama.RecordBatch]().FieldByName("compressedRecords")
	if !ok || f.Type != reflect.TypeFor[[]byte]() {
		return 0
	}
	return f.Offset
}()

// appendRecord encodes a record of a batch: https://kafka.apache.org/documentation/#record
func appendRecord(to []byte, r *OutRecord, timeDelta, offsetDelta int64) []byte {
	to = binary.AppendVarint(to, int64(recordBody(r, timeDelta, offsetDelta)))
	to = append(to, 0) // attributes
	to = binary.AppendVarint(to, timeDelta)
	to = binary.AppendVarint(to, offsetDelta)
	to = appendBytes(to, r.Key)
	to = appendBytes(to, r.Value)
	to = binary.AppendVarint(to, int64(len(r.Headers)))
	for _, h := range r.Headers {
		to = binary.AppendVarint(to, int64(len(h.Key))) // Kafka refuses a null one
		to = append(to, h.Key...)
		to = appendBytes(to, h.Value)
	}
	return to
}

func appendBytes(to, b []byte) []byte {
	if b == nil {
		return binary.AppendVarint(to, -1)
	}
	return append(binary.AppendVarint(to, int64(len(b))), b...)
}

// saramaRecord is a record as sarama has it.
func saramaRecord(r *OutRecord, timeDelta, offsetDelta int64) *sarama.Record {
	out := &sarama.Record{Key: r.Key, Value: r.Value, OffsetDelta: offsetDelta, TimestampDelta: time.Duration(timeDelta) * time.Millisecond}
	for _, h := range r.Headers {
		if h.Key == nil {
			h.Key = []byte{}
		}
		out.Headers = append(out.Headers, &sarama.RecordHeader{Key: h.Key, Value: h.Value})
	}
	return out
}

// clear lets go of the batch.
func (a *arena) clear() { a.batch = sarama.RecordBatch{} }
