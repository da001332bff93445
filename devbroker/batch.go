package devbroker

import (
	"fmt"
	"hash/crc32"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
)

const (
	attrCompression   = 0x07
	attrTransactional = 0x10
	attrControl       = 0x20

	batchHead  = 61      // bytes of a batch before its records
	leastBytes = 7       // of a record
	mostPacked = 1 << 22 // records of a compressed batch that we are ready to decode
	lengthTail = 12      // bytes of a batch that its length does not count
	crcFrom    = 21      // the checksum covers everything from here
)

// A Record is one record of a partition.
type Record struct {
	Offset    int64 // where Records found it; Produce ignores it
	Key       []byte
	Value     []byte // nil is a tombstone
	Timestamp time.Time
	Headers   []Header
}

// A Header is a header of a record.
type Header struct {
	Key   string
	Value []byte
}

// A place is a partition of a topic.
type place struct {
	topic     string
	partition int32
}

// producer is who writes a batch.
type producer struct {
	id       int64
	epoch    int16
	sequence int32
	txn      *string // its transactional id, where it is in a transaction
}

var anonymous = producer{id: -1, epoch: -1, sequence: -1}

// newBatch makes one batch of records for a produce request.
func newBatch(p producer, records []Record, now time.Time) []byte {
	first := stamp(records[0], now)
	b := kmsg.RecordBatch{
		PartitionLeaderEpoch: -1, Magic: 2, FirstTimestamp: first, MaxTimestamp: first,
		ProducerID: p.id, ProducerEpoch: p.epoch, FirstSequence: p.sequence,
		LastOffsetDelta: int32(len(records) - 1), NumRecords: int32(len(records)),
	}
	if p.txn != nil {
		b.Attributes = attrTransactional
	}
	for i, r := range records {
		at := stamp(r, now)
		b.MaxTimestamp = max(b.MaxTimestamp, at)
		kr := kmsg.Record{TimestampDelta64: at - first, OffsetDelta: int32(i), Key: r.Key, Value: r.Value}
		for _, h := range r.Headers {
			kr.Headers = append(kr.Headers, kmsg.Header{Key: h.Key, Value: h.Value})
		}
		b.Records = appendRecord(b.Records, kr)
	}
	return seal(b)
}

func stamp(r Record, now time.Time) int64 {
	if r.Timestamp.IsZero() {
		return now.UnixMilli()
	}
	return r.Timestamp.UnixMilli()
}

func appendRecord(dst []byte, r kmsg.Record) []byte {
	r.Length = 0
	r.Length = int32(len(r.AppendTo(nil)) - 1) // a length of 0 is one byte
	return r.AppendTo(dst)
}

// seal sets a batch's length and checksum and encodes it.
func seal(b kmsg.RecordBatch) []byte {
	b.Length = int32(batchHead - lengthTail + len(b.Records))
	raw := b.AppendTo(nil)
	b.CRC = int32(crc32.Checksum(raw[crcFrom:], crc32.MakeTable(crc32.Castagnoli)))
	return b.AppendTo(nil)
}

// next cuts the first whole batch off an answer; false at its end.
func nextBatch(raw []byte) (b kmsg.RecordBatch, own, rest []byte, ok bool) {
	if len(raw) < batchHead {
		return b, nil, nil, false
	}
	size := int(uint32(raw[8])<<24|uint32(raw[9])<<16|uint32(raw[10])<<8|uint32(raw[11])) + lengthTail
	if size < batchHead || size > len(raw) || b.ReadFrom(raw[:size]) != nil {
		return b, nil, nil, false
	}
	return b, raw[:size], raw[size:], true
}

// decode decodes a batch's records. The cluster's decoder panics on some that are damaged, and on others goes round in
// place as often as the batch claims to have records; a client can bring them into the log, since nobody looks at
// records when they are produced.
func decode(b kmsg.RecordBatch) (records []kmsg.Record, err error) {
	defer func() {
		if v := recover(); v != nil {
			records, err = nil, fmt.Errorf("devbroker: batch at %d: %v", b.FirstOffset, v)
		}
	}()
	most := len(b.Records) / leastBytes
	if b.Attributes&attrCompression != 0 {
		most = mostPacked
	}
	if int(b.NumRecords) > most {
		return nil, fmt.Errorf("devbroker: batch at %d: %d records in %d bytes", b.FirstOffset, b.NumRecords, len(b.Records))
	}
	records, err = kfake.BatchRecords(b)
	if err != nil {
		return nil, fmt.Errorf("devbroker: batch at %d: %w", b.FirstOffset, err)
	}
	return records, nil
}

// openBatch gives a batch's records as a user knows them.
func openBatch(b kmsg.RecordBatch) ([]Record, error) {
	raw, err := decode(b)
	if err != nil {
		return nil, err
	}
	records := make([]Record, 0, len(raw))
	for _, r := range raw {
		rec := Record{
			Offset: b.FirstOffset + int64(r.OffsetDelta), Key: r.Key, Value: r.Value,
			Timestamp: time.UnixMilli(b.FirstTimestamp + r.TimestampDelta64),
		}
		for _, h := range r.Headers {
			rec.Headers = append(rec.Headers, Header{Key: h.Key, Value: h.Value})
		}
		records = append(records, rec)
	}
	return records, nil
}
