package devbroker

import (
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"
)

func TestR09_EmptiedBatchesAtTheTail(t *testing.T) {
	b := start(t)
	topic(t, b, "t", 2)
	for _, v := range []string{"0", "2", "4"} {
		require.NoError(t, b.Produce("t", 0, rec("a", v, "b", v)...))
	}
	require.NoError(t, b.Produce("t", 1, rec("k", "other")...))
	require.NoError(t, b.Hollow("t", 0, 1, 6))

	require.Equal(t, []string{"0"}, values(t, b, "t", 0))
	bounds, err := b.Bounds("t", 0)
	require.NoError(t, err)
	require.Equal(t, int64(6), bounds.End)
	in := wire(t, b, 0)
	p := fetch(t, in, place{"t", 0}, 0)
	require.Equal(t, int64(6), p.HighWatermark)
	all := batches(p.RecordBatches)
	require.Len(t, all, 3)
	require.Equal(t, []int32{1, 0, 0}, []int32{all[0].NumRecords, all[1].NumRecords, all[2].NumRecords})
	require.Equal(t, int32(1), all[1].LastOffsetDelta)
	require.Len(t, batches(fetch(t, in, place{"t", 1}, 0).RecordBatches), 1, "another partition is untouched")
	all = batches(fetch(t, in, place{"t", 0}, 2).RecordBatches)
	require.Len(t, all, 2, "a tail of emptied batches")
	require.Zero(t, all[0].NumRecords+all[1].NumRecords)
}

func TestR09_AnswerEndsBehindLeadingEmptiedBatches(t *testing.T) {
	b := start(t)
	topic(t, b, "t", 1)
	for _, v := range []string{"0", "1", "2", "3"} {
		require.NoError(t, b.Produce("t", 0, rec("k", v)...))
	}
	require.NoError(t, b.Hollow("t", 0, 0, 2))
	require.NoError(t, b.Hollow("t", 0, 2, 3))
	require.Len(t, batches(fetch(t, wire(t, b, 0), place{"t", 0}, 0).RecordBatches), 3)
	require.Equal(t, []string{"3"}, values(t, b, "t", 0))

	c := client(t, b, kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{"t": {0: kgo.NewOffset().AtStart()}}))
	f := c.PollRecords(short(t), 1)
	require.NoError(t, f.Err())
	require.Equal(t, "3", string(f.Records()[0].Value), "a client that fetches by topic id, in a session, reads on")
}

func TestCleanKeepsOffsetsAsKafkaDoes(t *testing.T) {
	b := start(t)
	topic(t, b, "t", 1)
	c := client(t, b, kgo.ProducerBatchCompression(kgo.ZstdCompression()))
	for _, v := range []string{"1", "2", "3"} {
		for _, k := range []string{"a", "b"} {
			if k+v != "b3" {
				require.NoError(t, c.ProduceSync(short(t), &kgo.Record{Key: []byte(k), Value: []byte(k + v)}).FirstErr())
			}
		}
	}
	open := begin(t, b, "open")
	require.NoError(t, open.Produce("t", 0, rec("a", "open")...))
	require.NoError(t, b.Clean("t", 0))
	records, err := b.Records("t", 0)
	require.NoError(t, err)
	require.Len(t, records, 2)
	require.Equal(t, []int64{3, 4}, []int64{records[0].Offset, records[1].Offset})
	require.NoError(t, open.Commit())
	require.Equal(t, []string{"b2", "a3", "open"}, values(t, b, "t", 0), "an open transaction removes nothing")
	require.NoError(t, b.Clean("t", 0))
	require.Equal(t, []string{"b2", "open"}, values(t, b, "t", 0))
	require.Error(t, b.Clean("missing", 0))
	require.Error(t, b.Hollow("missing", 0, 0, 1))
}

func TestSpansMerge(t *testing.T) {
	var h hollow
	at := place{"t", 0}
	h.add(at, []span{{5, 7, 8}, {1, 2, -1}})
	h.add(at, []span{{2, 4, -1}, {6, 9, 8}, {6, 7, 8}})
	require.Equal(t, []span{{1, 4, -1}, {5, 9, 8}}, h.of("t", 0))
	for o, want := range []bool{false, true, true, true, false, true, true, true, true, false} {
		require.Equal(t, want, covers(h.of("t", 0), int64(o)), o)
	}
	h.forget("t")
	require.Nil(t, h.of("t", 0))
}

func FuzzNextBatch(f *testing.F) {
	whole := newBatch(anonymous, rec("k", "v"), now())
	f.Add(whole)
	f.Add(whole[:40])
	f.Add(append(append([]byte{}, whole...), whole[:70]...))
	f.Fuzz(func(t *testing.T, raw []byte) {
		for {
			b, own, rest, ok := nextBatch(raw)
			if !ok {
				return
			}
			require.Less(t, len(rest), len(raw))
			require.Len(t, raw, len(own)+len(rest))
			openBatch(b) // may fail, must not panic
			raw = rest
		}
	})
}
