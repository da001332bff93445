package kafka

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"

	"github.com/IBM/sarama"

	"github.com/tarnstream/tarn/state"
)

// recordBatch is a record batch as a log has it, in the format that it has since Kafka 0.11 (the protocol guide's "Record Batch",
// magic 2). One that compaction has emptied has no records, and its offsets all the same.
type recordBatch struct {
	first, last        int64 // offsets, those of records that are gone included
	epoch              int32 // the leader's, negative for none
	attributes         int16
	firstTime, maxTime int64 // milliseconds since 1970, negative for none
	by                 stamp
	count              int
	body               []byte // the records, as they are compressed
}

const (
	codecBits        = 7
	logAppendTimeBit = 1 << 3
	transactionalBit = 1 << 4
	controlBit       = 1 << 5

	lengthEnd = 12 // what the length of a batch does not count
	magicAt   = 16
	crcAt     = 17
	sumFrom   = 21 // what the CRC is of

	leastRecord = 7 // bytes, but for what is compressed
	mostGuessed = 64 << 10
)

var (
	// errOldFormat and errShortBatch are causes of a BatchError.
	errOldFormat  = errors.New("it has the message format of before Kafka 0.11")
	errShortBatch = errors.New("the batch came incomplete although there was room")

	errBatchLength = errors.New("its length is too small for a record batch")
	errChecksum    = errors.New("its checksum is another one")
	errRecords     = errors.New("its records are malformed")
)

// nextBatch takes the first batch off what an answer has of a log. It is not whole where the answer ends in it.
func nextBatch(log []byte) (b recordBatch, rest []byte, whole bool, err error) {
	if len(log) <= magicAt {
		return recordBatch{}, nil, false, nil
	}
	if log[magicAt] < 2 {
		return recordBatch{}, nil, false, errOldFormat
	}
	if log[magicAt] > 2 {
		return recordBatch{}, nil, false, fmt.Errorf("it has message format %d, which is not known", log[magicAt])
	}
	size := int64(int32(binary.BigEndian.Uint32(log[8:]))) + lengthEnd
	switch {
	case size < batchOverhead:
		return recordBatch{}, nil, false, errBatchLength
	case size > int64(len(log)):
		return recordBatch{}, nil, false, nil
	}
	log, rest = log[:size:size], log[size:]
	if crc32.Checksum(log[sumFrom:], castagnoli()) != binary.BigEndian.Uint32(log[crcAt:]) {
		return recordBatch{}, nil, false, errChecksum
	}
	return readHead(log), rest, true, nil
}

func castagnoli() *crc32.Table { return crc32.MakeTable(crc32.Castagnoli) }

// readHead reads the head of a batch, which is whole.
func readHead(log []byte) recordBatch {
	at := func(i int) int64 { return int64(binary.BigEndian.Uint64(log[i:])) }
	int32At := func(i int) int32 { return int32(binary.BigEndian.Uint32(log[i:])) }
	int16At := func(i int) int16 { return int16(binary.BigEndian.Uint16(log[i:])) }
	first := at(0)
	return recordBatch{first: first, epoch: int32At(12), attributes: int16At(21), last: first + int64(int32At(23)), firstTime: at(27), maxTime: at(35),
		by: stamp{at(43), int16At(51), int32At(53)}, count: int(max(int32At(57), 0)), body: log[batchOverhead:]}
}

func (b *recordBatch) control() bool       { return b.attributes&controlBit != 0 }
func (b *recordBatch) compressed() bool    { return b.attributes&codecBits != 0 }
func (b *recordBatch) size() int           { return batchOverhead + len(b.body) }
func (b *recordBatch) transactional() bool { return b.attributes&transactionalBit != 0 }

// room is how many records to make room for: what the head says is not believed beyond what there can be.
func (b *recordBatch) room() int {
	if b.compressed() {
		return min(b.count, mostGuessed)
	}
	return min(b.count, len(b.body)/leastRecord)
}

// unfold gives the records uncompressed; they are the batch's own bytes where they were not compressed. Of one that is emptied
// nothing is left that could be.
func (b *recordBatch) unfold(d *decompressor) ([]byte, error) {
	if b.count == 0 {
		return nil, nil
	}
	return d.unfold(sarama.CompressionCodec(b.attributes&codecBits), b.body)
}

// record is one of a batch, whose bytes it shares.
type record struct {
	offset     int64
	time       int64 // milliseconds since 1970, negative for none
	key, value []byte
	headers    []byte // encoded, as many as there are
	nHeaders   int
}

// each calls yield with each record, whose memory is used again.
func (b *recordBatch) each(records []byte, yield func(r *record)) error {
	var r record
	for range b.count {
		size, n := varint(records)
		if n <= 0 || size < leastRecord-1 || size > int64(len(records)-n) {
			return errRecords
		}
		end := n + int(size)
		if !b.take(records[n:end:end], &r) {
			return errRecords
		}
		records = records[end:]
		yield(&r)
	}
	if len(records) > 0 {
		return errRecords
	}
	return nil
}

// take reads a record, whose attributes mean nothing.
func (b *recordBatch) take(in []byte, r *record) bool {
	in = in[1:]
	time, n := varint(in)
	if n <= 0 {
		return false
	}
	in = in[n:]
	delta, n := varint(in)
	if n <= 0 {
		return false
	}
	in = in[n:]
	r.offset, r.time = b.first+delta, max(b.firstTime, -1)
	switch {
	case b.attributes&logAppendTimeBit != 0:
		r.time = max(b.maxTime, -1)
	case r.time >= 0:
		r.time += time
	}
	ok := true
	if r.key, in, ok = varBytes(in); !ok {
		return false
	}
	if r.value, in, ok = varBytes(in); !ok {
		return false
	}
	headers, n := varint(in)
	if n <= 0 || headers < 0 || headers > int64(len(in)) {
		return false
	}
	r.headers, r.nHeaders = in[n:], int(headers)
	return headers > 0 || n == len(in)
}

// takeHeaders fills in the headers of a record.
func (r *record) takeHeaders(out []state.Header) bool {
	in, ok := r.headers, true
	for i := range out {
		if out[i].Key, in, ok = varBytes(in); !ok || out[i].Key == nil {
			return false
		}
		if out[i].Value, in, ok = varBytes(in); !ok {
			return false
		}
	}
	return len(in) == 0
}

// varBytes takes bytes with their size before them, -1 for null, which is nil.
func varBytes(in []byte) (out, rest []byte, ok bool) {
	size, n := varint(in)
	switch {
	case n <= 0 || size > int64(len(in)-n) || size < -1:
		return nil, nil, false
	case size < 0:
		return nil, in[n:], true
	}
	end := n + int(size)
	return in[n:end:end], in[end:], true
}

// varint is binary.Varint, quicker where one byte is all.
func varint(in []byte) (v int64, n int) {
	if len(in) > 0 && in[0] < 0x80 {
		return int64(in[0]>>1) ^ -int64(in[0]&1), 1
	}
	return binary.Varint(in)
}

// abortMarker tells that the batch is the marker of a transaction that was aborted: the key of a control record, which is never
// compressed, is a version and a type, and 0 is abort.
func (b *recordBatch) abortMarker() (abort bool) {
	if !b.control() {
		return false
	}
	_ = b.each(b.body, func(r *record) {
		abort = abort || r.offset == b.first && len(r.key) >= 4 && binary.BigEndian.Uint16(r.key[2:]) == 0
	})
	return abort
}

// after is the position behind an offset.
func after(offset int64) int64 { return min(offset, math.MaxInt64-1) + 1 }
