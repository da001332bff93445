package kafka

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"slices"
	"testing"
	"time"

	"github.com/IBM/sarama"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/snappy/xerial"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/tarnstream/tarn/internal/benchtest"
	"github.com/tarnstream/tarn/state"
)

// encodeBatch gives a batch as a log has it. Its records follow each other; without any it ends with its first offset.
func encodeBatch(b kmsg.RecordBatch, records ...kmsg.Record) []byte {
	return encodeWith(b, func(b []byte) []byte { return b }, records...)
}

func encodeWith(b kmsg.RecordBatch, compress func([]byte) []byte, records ...kmsg.Record) []byte {
	var all []byte
	for i, r := range records {
		r.OffsetDelta = int32(i)
		r.Length = int32(len(r.AppendTo(nil)) - 1)
		all = r.AppendTo(all)
	}
	b.Magic, b.NumRecords, b.LastOffsetDelta, b.Records = 2, int32(len(records)), int32(max(len(records)-1, 0)), compress(all)
	return sealed(b.AppendTo(nil))
}

// sealed fills in a batch's size and checksum.
func sealed(log []byte) []byte {
	binary.BigEndian.PutUint32(log[8:], uint32(len(log)-lengthEnd))
	binary.BigEndian.PutUint32(log[crcAt:], crc32.Checksum(log[sumFrom:], castagnoli()))
	return slices.Clip(log)
}

// valuesOf are records with values of size bytes.
func valuesOf(n, size int) []kmsg.Record {
	return slices.Repeat([]kmsg.Record{{Value: bytes.Repeat([]byte("v"), size)}}, n)
}

// oldFormat is a message as before Kafka 0.11.
func oldFormat() []byte { return make([]byte, 40) }

func values(r state.Records) (out []string) {
	for i := range r.Records {
		out = append(out, string(r.Records[i].Value))
	}
	return out
}

// TestR09_EmptiedBatches: what compaction has emptied is passed, wherever it lies, and has an epoch like any other.
func TestR09_EmptiedBatches(t *testing.T) {
	u := new(unfolder)
	c := u.chunk(emptied(partWith(10, 5, 99), 20), 10)
	require.Equal(t, [2]int64{20, 5}, [2]int64{c.next, int64(len(c.records.Records))})
	require.Equal(t, [2]int32{3, 4}, [2]int32{c.records.FirstEpoch, c.records.LastEpoch})
	require.Equal(t, int64(5), c.records.Present)
	c = u.chunk(emptied(&part{}, 20), 10)
	require.Equal(t, int64(20), c.next)
	require.Equal(t, [2]int32{4, 4}, [2]int32{c.records.FirstEpoch, c.records.LastEpoch})
	require.Zero(t, c.bytes)
	require.False(t, c.short)
	zipped := encodeBatch(kmsg.RecordBatch{FirstOffset: 19, Attributes: 1})
	require.Equal(t, int64(20), u.chunk(&part{log: zipped}, 10).next, "nothing is left to unfold")
}

// TestR56_DamagedBatch: a batch that is not what it says is an error, once those before it have been given.
func TestR56_DamagedBatch(t *testing.T) {
	good := func(first int64) []byte {
		return encodeBatch(kmsg.RecordBatch{FirstOffset: first}, kmsg.Record{Key: []byte("k"), Value: []byte("v"), Headers: []kmsg.Header{{Key: "h", Value: []byte("x")}}})
	}
	for name, damage := range map[string]func(log []byte) []byte{
		"a bit":                  func(b []byte) []byte { b[len(b)-1] ^= 1; return b },
		"size":                   func(b []byte) []byte { b[11] = 1; return b },
		"format":                 func(b []byte) []byte { b[magicAt] = 3; return b },
		"fewer records":          func(b []byte) []byte { b[60] = 2; return sealed(b) },
		"more records":           func(b []byte) []byte { b[60] = 0; return sealed(append(b[:61], b[61:]...)) },
		"record's size":          func(b []byte) []byte { b[61] = 0x7e; return sealed(b) },
		"key's size":             func(b []byte) []byte { b[65] = 0x7e; return sealed(b) },
		"header's size":          func(b []byte) []byte { b[70] = 0x7e; return sealed(b) },
		"header's key is null":   func(b []byte) []byte { b[70] = 1; return sealed(b) },
		"compression, not known": func(b []byte) []byte { b[22] = 5; return sealed(b) },
		"compression, not used":  func(b []byte) []byte { b[22] = 4; return sealed(b) },
	} {
		t.Run(name, func(t *testing.T) {
			c := new(unfolder).chunk(&part{log: damage(good(7))}, 7)
			if name == "more records" {
				require.Equal(t, int64(8), c.next, "it counts as emptied")
				return
			}
			require.Error(t, c.err)
			require.Equal(t, int64(7), c.next)
			c = new(unfolder).chunk(&part{log: append(good(6), damage(good(7))...)}, 6)
			require.NoError(t, c.err)
			require.Equal(t, int64(7), c.next)
			require.Equal(t, int64(1), c.records.Present)
			require.Equal(t, []string{"v"}, values(c.records))
		})
	}
	require.ErrorIs(t, new(unfolder).chunk(&part{log: oldFormat()}, 0).err, errOldFormat)
	for _, attributes := range []int16{0, 1} { // a count that there cannot be makes no room
		log := encodeBatch(kmsg.RecordBatch{Attributes: attributes}, kmsg.Record{})
		binary.BigEndian.PutUint32(log[57:], 1<<31-1)
		c := new(unfolder).chunk(&part{log: sealed(log)}, 0)
		require.Error(t, c.err)
		require.LessOrEqual(t, cap(c.records.Records), mostGuessed)
	}
}

func compressions(t testing.TB) map[string]func([]byte) []byte {
	t.Helper()
	streamed := func(w interface {
		Write([]byte) (int, error)
		Close() error
	}, in []byte) {
		_, err := w.Write(in)
		require.NoError(t, err)
		require.NoError(t, w.Close())
	}
	return map[string]func([]byte) []byte{
		"1 gzip":          func(in []byte) []byte { var b bytes.Buffer; streamed(gzip.NewWriter(&b), in); return b.Bytes() },
		"2 snappy":        func(in []byte) []byte { return s2.EncodeSnappy(nil, in) },
		"2 snappy xerial": func(in []byte) []byte { return xerial.Encode(nil, in) },
		"3 lz4":           func(in []byte) []byte { var b bytes.Buffer; streamed(lz4.NewWriter(&b), in); return b.Bytes() },
		"4 zstd": func(in []byte) []byte {
			w, err := zstd.NewWriter(nil)
			require.NoError(t, err)
			defer func() { require.NoError(t, w.Close()) }()
			return w.EncodeAll(in, nil)
		},
	}
}

// Whatever a batch was compressed with, its records are the same, also where many are alike; and they are counted as they unfold.
func TestCompressedBatches(t *testing.T) {
	for name, compress := range compressions(t) {
		t.Run(name, func(t *testing.T) {
			u, codec := new(unfolder), int16(name[0]-'0')
			for _, n := range []int{1, 3, 5000} {
				log := encodeWith(kmsg.RecordBatch{Attributes: codec}, compress, valuesOf(n, 100)...)
				c := u.chunk(&part{log: log}, 0)
				require.NoError(t, c.err)
				require.Equal(t, values(u.chunk(&part{log: encodeBatch(kmsg.RecordBatch{}, valuesOf(n, 100)...)}, 0).records), values(c.records))
				require.Greater(t, c.bytes, int64(n)*(recordBytes+100))
			}
			sarama.MaxDecompressedBatchSize = 10_000
			defer func() { sarama.MaxDecompressedBatchSize = 0 }()
			c := new(unfolder).chunk(&part{log: encodeWith(kmsg.RecordBatch{Attributes: codec}, compress, valuesOf(5000, 100)...)}, 0)
			require.ErrorIs(t, c.err, errTooLarge)
		})
	}
}

// FuzzRecordBatch: whatever a log has, what is given lies at or behind the position, and is no more than what is there.
func FuzzRecordBatch(f *testing.F) {
	for name, compress := range compressions(f) {
		f.Add(encodeWith(kmsg.RecordBatch{FirstOffset: 5, Attributes: int16(name[0] - '0')}, compress, valuesOf(3, 10)...), int64(6))
	}
	f.Add(append(encodeBatch(kmsg.RecordBatch{}, valuesOf(2, 3)...), encodeBatch(kmsg.RecordBatch{FirstOffset: 9, Attributes: transactionalBit | controlBit},
		kmsg.Record{Key: make([]byte, 4)})...), int64(0))
	f.Fuzz(func(t *testing.T, log []byte, position int64) {
		for from := log; len(from) > magicAt; { // so that more than heads are tried
			size := int64(int32(binary.BigEndian.Uint32(from[8:]))) + lengthEnd
			if size < batchOverhead || size > int64(len(from)) {
				break
			}
			binary.BigEndian.PutUint32(from[crcAt:], crc32.Checksum(from[sumFrom:size], castagnoli()))
			from = from[size:]
		}
		c := new(unfolder).chunk(&part{log: log}, position)
		if c.next < position || c.err != nil && c.next > position {
			t.Fatalf("at %d: next %d, error %v", position, c.next, c.err)
		}
		for i := range c.records.Records {
			if o := c.records.Records[i].Offset; o < position {
				t.Fatalf("offset %d below %d", o, position)
			}
		}
		if n := int64(len(c.records.Records)); n > c.records.Present {
			t.Fatalf("%d records of %d", n, c.records.Present)
		}
	})
}

// A request is what Kafka's schema says, its topics and partitions in the order in which they are asked for.
func TestFetchRequestIsKafkas(t *testing.T) {
	r := fetchRequest{maxWait: 500e6, bytes: 7_000_000, committed: true, asks: []partAsk{
		{partOf{"b", 3}, 1 << 40, 5, 1000}, {partOf{"a", 0}, 0, -1, 2000}, {partOf{"b", 1}, 9, 6, 3000}}}
	frame := r.appendTo(nil, 77, "client")
	require.Equal(t, len(frame)-4, int(binary.BigEndian.Uint32(frame)))
	require.Equal(t, []byte{0, 1, 0, 12, 0, 0, 0, 77, 0, 6, 'c', 'l', 'i', 'e', 'n', 't', 0}, frame[4:21])
	got, want := kmsg.NewFetchRequest(), kmsg.NewFetchRequest()
	got.Version, want.Version = 12, 12
	require.NoError(t, got.ReadFrom(frame[21:]))
	want.ReplicaID, want.MaxWaitMillis, want.MinBytes, want.MaxBytes, want.IsolationLevel, want.SessionEpoch = -1, 500, 1, 7_000_000, 1, -1
	for _, name := range []string{"b", "a"} {
		topic := kmsg.NewFetchRequestTopic()
		topic.Topic = name
		for _, a := range r.asks {
			if a.topic == name {
				p := kmsg.NewFetchRequestTopicPartition()
				p.Partition, p.FetchOffset, p.CurrentLeaderEpoch, p.PartitionMaxBytes = a.partition, a.position, a.epoch, a.bytes
				topic.Partitions = append(topic.Partitions, p)
			}
		}
		want.Topics = append(want.Topics, topic)
	}
	require.Equal(t, want.AppendTo(nil), got.AppendTo(nil))
}

// answerOf is an answer with everything in it, as Kafka's schema has it.
func answerOf() []byte {
	res := kmsg.NewFetchResponse()
	res.Version, res.ThrottleMillis, res.ErrorCode = 12, 5, 70
	for i, name := range []string{"a", "b"} {
		topic := kmsg.NewFetchResponseTopic()
		topic.Topic = name
		for p := range int32(3) {
			part := kmsg.NewFetchResponseTopicPartition()
			part.Partition, part.ErrorCode, part.HighWatermark, part.LastStableOffset, part.LogStartOffset = p, int16(i), 30, 20, 10
			part.CurrentLeader.LeaderID, part.CurrentLeader.LeaderEpoch = 4, 9 // a tag
			if p > 0 {
				part.RecordBatches = fmt.Appendf(nil, "log of %s/%d", name, p)
				a := kmsg.NewFetchResponseTopicPartitionAbortedTransaction()
				a.ProducerID, a.FirstOffset = 8, 15
				part.AbortedTransactions = append(part.AbortedTransactions, a)
			}
			topic.Partitions = append(topic.Partitions, part)
		}
		res.Topics = append(res.Topics, topic)
	}
	return res.AppendTo(nil)
}

func readAnswer(data []byte, size int) (*fetched, error) {
	return readFetched(&answerReader{from: bufio.NewReaderSize(bytes.NewReader(data), 16), left: size}, nil)
}

func TestFetchAnswerIsKafkas(t *testing.T) {
	data := answerOf()
	f, err := readAnswer(data, len(data))
	require.NoError(t, err)
	require.Equal(t, 5*time.Millisecond, f.throttle)
	require.Equal(t, sarama.KError(70), f.code)
	require.Len(t, f.parts, 6)
	require.Equal(t, &part{code: 1, ends: logEnds{10, 20, 30}, log: []byte("log of b/2"), aborted: []abortedTxn{{8, 15}}}, f.parts[partOf{"b", 2}])
	require.Equal(t, &part{ends: logEnds{10, 20, 30}}, f.parts[partOf{"a", 0}])

	_, err = readAnswer(append(data, 0), len(data)+1)
	require.ErrorIs(t, err, errAnswer, "there is more than there should be")
	for n := range data {
		_, err = readAnswer(data[:n], n)
		require.ErrorIs(t, err, errAnswer, "it says that it is shorter")
		_, err = readAnswer(data[:n], len(data))
		require.True(t, transport(err), "the connection ends: %v", err)
	}
}

// FuzzFetchAnswer: whatever comes, the parts of an answer are no larger than it.
func FuzzFetchAnswer(f *testing.F) {
	f.Add(answerOf())
	f.Fuzz(func(t *testing.T, data []byte) {
		res, err := readAnswer(data, len(data))
		if (err == nil) != (res != nil) {
			t.Fatal(res, err)
		}
		if err != nil {
			return
		}
		size := 0
		for _, p := range res.parts {
			size += len(p.log)
		}
		if size > len(data) {
			t.Fatalf("parts of %d bytes in an answer of %d", size, len(data))
		}
	})
}

// BenchmarkUnfold makes records of a part of an answer: 100 batches of 500 records of 110 bytes, checksums included.
func BenchmarkUnfold(b *testing.B) {
	const batches, size = 100, 500
	records := slices.Repeat([]kmsg.Record{{Key: []byte("0123456789"), Value: make([]byte, 100)}}, size)
	p := new(part)
	for i := range int64(batches) {
		p.log = append(p.log, encodeBatch(kmsg.RecordBatch{FirstOffset: i * size}, records...)...)
	}
	u := new(unfolder)
	done := benchtest.Records(b)
	for b.Loop() {
		c := u.chunk(p, 0)
		require.Len(b, c.records.Records, batches*size)
		u.lists.put(c.records.Records)
	}
	done(batches * size * b.N)
}
