package state

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"maps"
	"slices"
	"time"

	"github.com/tarnstream/tarn/internal/digest"
)

// Checkpoint is what a store knows of itself. It is written in the same batch as the rows it speaks of.
//
// The encoding, version 3; integers are uvarints, "signed" ones zig-zag varints, strings a uvarint length and the bytes:
//
//	version            1 byte, 3
//	topic id           16 bytes, zero for unknown
//	cluster id         string
//	partition          signed
//	position           signed
//	last applied       signed, -1 for none
//	its batch's epoch  signed, -1 for unknown, -2 for a batch without one
//	known current      signed, milliseconds since 1970, 0 for unknown
//	log start          signed, -1 for unknown
//	delete retention   signed, milliseconds, -1 for unknown
//	inputs             count, then topic (string), offset (signed) and topic id (16 bytes, zero for unknown) each, in
//	                   ascending order of topics
//	flush              uvarint
//	digest known       1 byte, 0 or 1
//	digest             8 bytes, big endian, only if known
//	CRC-32C            4 bytes, big endian, over everything before
//
// Version 2, which is read as well, is the same without a digest: its byte is 0.
type Checkpoint struct {
	TopicID   TopicID
	ClusterID string
	Partition int32
	// Position is the next offset to apply: the rows are the fold of the log before it.
	Position int64
	// LastApplied is the last offset that a batch was met at, UnknownOffset for none: one of aborted records, or a marker,
	// counts as one of data does, since a log that is truncated below it and grows again has other records there. It is below
	// Position. LastAppliedEpoch is its batch's leader epoch as read back from the log, UnknownEpoch where it was not;
	// ReadBack sets it.
	LastApplied      int64
	LastAppliedEpoch int32
	// KnownCurrent is the latest time at which the log's end was seen at or below Position; zero when never.
	// It is kept in milliseconds.
	KnownCurrent time.Time
	// LogStart is the log start seen at that time: no row has a lower offset. UnknownOffset when not known.
	LogStart int64
	// DeleteRetention is the delete.retention.ms seen, negative when not known.
	DeleteRetention time.Duration
	// Inputs are the input positions of the commit this checkpoint belongs to, by topic; nil when not known.
	Inputs map[string]int64
	// InputTopics are the ids of the topics in Inputs, as far as they are known.
	InputTopics map[string]TopicID
	// Flush numbers the writes of a generation. The store sets it.
	Flush uint64
	// Digest is that of the rows, as far as it is known. The store sets it too.
	Digest digest.Sum
}

const (
	checkpointVersion = 3
	undigested        = 2 // the version before
)

// noEpoch is the LastAppliedEpoch of a record whose batch has none (older brokers): its log cannot be checked by epochs.
const noEpoch int32 = -2

// ReadBack notes the leader epoch of the last applied record's batch as the log has it, negative where the batch has none.
func (c *Checkpoint) ReadBack(epoch int32) {
	if c.LastAppliedEpoch = epoch; epoch < 0 {
		c.LastAppliedEpoch = noEpoch
	}
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// AppendBinary appends the encoding to dst. The error is always nil.
func (c Checkpoint) AppendBinary(dst []byte) ([]byte, error) {
	begin := len(dst)
	dst = append(dst, checkpointVersion)
	dst = append(dst, c.TopicID[:]...)
	dst = appendString(dst, c.ClusterID)
	for _, v := range []int64{int64(c.Partition), c.Position, c.LastApplied, int64(c.LastAppliedEpoch),
		millis(c.KnownCurrent), c.LogStart, retentionMillis(c.DeleteRetention)} {
		dst = binary.AppendVarint(dst, v)
	}
	dst = binary.AppendUvarint(dst, uint64(len(c.Inputs)))
	for _, topic := range slices.Sorted(maps.Keys(c.Inputs)) {
		dst = appendString(dst, topic)
		dst = binary.AppendVarint(dst, c.Inputs[topic])
		id := c.InputTopics[topic]
		dst = append(dst, id[:]...)
	}
	dst = binary.AppendUvarint(dst, c.Flush)
	if bits, known := c.Digest.Bits(); known {
		dst = binary.BigEndian.AppendUint64(append(dst, 1), bits)
	} else {
		dst = append(dst, 0)
	}
	return binary.BigEndian.AppendUint32(dst, crc32.Checksum(dst[begin:], castagnoli)), nil
}

// UnmarshalBinary reads the encoding. An unknown version, a wrong checksum or anything but one whole checkpoint is an
// error; c is then left as it was. The store that holds it is to be rebuilt.
func (c *Checkpoint) UnmarshalBinary(data []byte) error {
	if len(data) < 5 {
		return errors.New("state: checkpoint is cut off")
	}
	body, sum := data[:len(data)-4], binary.BigEndian.Uint32(data[len(data)-4:])
	if crc32.Checksum(body, castagnoli) != sum {
		return errors.New("state: checkpoint has a wrong checksum")
	}
	if v := body[0]; v != checkpointVersion && v != undigested {
		return fmt.Errorf("state: checkpoint has version %d, this program knows %d and %d", v, undigested, checkpointVersion)
	}
	var out Checkpoint
	d := decoder{buf: body[1:]}
	out.decode(&d, body[0])
	if d.bad || len(d.buf) != 0 {
		return errors.New("state: checkpoint is malformed")
	}
	*c = out
	return nil
}

func (c *Checkpoint) decode(d *decoder, version byte) {
	copy(c.TopicID[:], d.bytes(16))
	c.ClusterID = d.string()
	c.Partition = d.int32()
	c.Position = d.varint()
	c.LastApplied = d.varint()
	c.LastAppliedEpoch = d.int32()
	if ms := d.varint(); ms != 0 {
		c.KnownCurrent = time.UnixMilli(ms)
	}
	c.LogStart = d.varint()
	c.DeleteRetention = retention(d.varint())
	c.decodeInputs(d)
	c.Flush = d.uvarint()
	c.Digest = d.digest(version)
}

func (c *Checkpoint) decodeInputs(d *decoder) {
	n := d.uvarint()
	if n > uint64(len(d.buf)) {
		d.bad = true
		return
	}
	for range n {
		if c.Inputs == nil {
			c.Inputs = make(map[string]int64, n)
		}
		topic := d.string()
		c.Inputs[topic] = d.varint()
		var id TopicID
		if copy(id[:], d.bytes(16)); id == (TopicID{}) {
			continue
		}
		if c.InputTopics == nil {
			c.InputTopics = make(map[string]TopicID, n)
		}
		c.InputTopics[topic] = id
	}
}

func millis(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

func retentionMillis(d time.Duration) int64 {
	if d < 0 {
		return -1
	}
	return d.Milliseconds()
}

// retention is the inverse. A topic may be configured with more milliseconds than a Duration holds.
func retention(ms int64) time.Duration {
	const most = int64(1<<63-1) / int64(time.Millisecond)
	if ms < 0 {
		return -1
	}
	return time.Duration(min(ms, most)) * time.Millisecond
}

func appendString(dst []byte, s string) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(s))), s...)
}
