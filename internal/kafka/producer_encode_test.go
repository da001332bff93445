package kafka

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/IBM/sarama"
	"github.com/stretchr/testify/require"

	"github.com/tarnstream/tarn/internal/benchtest"
	"github.com/tarnstream/tarn/state"
)

// BenchmarkProduceEncode is the producer's own part: cut, stamp, build and encode batches, without a broker.
func BenchmarkProduceEncode(b *testing.B) {
	p := modelProducerFor(b, DefaultBatchBytes)
	p.seqs.id = 1
	records := make([]OutRecord, 10_000)
	for i := range records {
		records[i] = OutRecord{Key: []byte("key-00000"), Value: make([]byte, 100), Timestamp: int64(1_700_000_000_000 + i)}
	}
	w := &countingConn{}
	broker, err := w.open()
	require.NoError(b, err)
	defer func() { _ = broker.Close() }()
	sent, done := 0, benchtest.Records(b)
	for b.Loop() {
		r := newRun(p, []OutBatch{{Topic: "t", Records: records}})
		r.leader = func(laneKey) (int32, bool) { return 0, true }
		for now := time.Now(); !r.finished(); {
			for _, c := range r.next(now) {
				req, used := p.request(c.batches)
				require.NoError(b, measureOn(broker, req))
				for _, a := range used {
					p.arenas.put(a)
				}
				sent += c.batches[0].records.n
				r.apply(event{command: c, sent: true, answer: &sarama.ProduceResponse{
					Blocks: map[string]map[int32]*sarama.ProduceResponseBlock{"t": {0: {Offset: 0}}}}}, now)
			}
		}
	}
	done(sent)
}

// TestArena: what is encoded is what sarama makes of the same records, in a batch of any size, and one arena serves for all.
func TestArena(t *testing.T) {
	a := &arena{}
	require.NotZero(t, encodedAt, "this version of sarama has another place for what is encoded")
	rnd := rand.New(rand.NewPCG(1, 2))
	for _, n := range []int{3, 1, 700, 2} {
		records := make([]OutRecord, n)
		for i := range records {
			records[i] = someRecord(rnd)
		}
		all := series{recordRows(records), 0, n}
		p := all.cut(math.MaxInt, math.MaxInt)
		st := stamp{id: 5, epoch: 6, seq: 7}
		wire := requestBytes(t, a.fill(all, p.size, st))
		require.Len(t, a.raw, p.size-batchOverhead)
		a.clear()
		require.Equal(t, sarama.RecordBatch{}, a.batch)
		require.Equal(t, requestBytes(t, (&arena{plain: true}).fill(all, p.size, st)), wire)
	}
}

// requestBytes is a request with the batch, as it goes out.
func requestBytes(t *testing.T, batch *sarama.RecordBatch) []byte {
	req := &sarama.ProduceRequest{Version: 8, RequiredAcks: sarama.WaitForAll}
	req.AddBatch("t", 0, batch)
	w := &countingConn{keep: true}
	require.NoError(t, w.measure(req))
	return w.sent
}

// TestProduceOffsetUnknown: a broker that has the records and tells no offset is believed, and the caller is told.
func TestProduceOffsetUnknown(t *testing.T) {
	p := modelProducerFor(t, 0)
	p.seqs.id = 7
	batches := []OutBatch{{Topic: "t", Records: []OutRecord{{Offset: state.UnknownOffset}}}}
	r := newRun(p, batches)
	r.leader = func(laneKey) (int32, bool) { return 0, true }
	e := event{command: r.next(time.Unix(0, 0))[0], sent: true, answer: &sarama.ProduceResponse{
		Blocks: map[string]map[int32]*sarama.ProduceResponseBlock{"t": {0: {Offset: -1}}}}}
	r.apply(e, time.Unix(0, 0))
	require.True(t, r.finished())
	require.ErrorIs(t, r.err(), ErrOffsetUnknown)
	require.NotErrorIs(t, r.err(), ErrOutcomeUnknown)
	require.Equal(t, state.UnknownOffset, batches[0].Records[0].Offset)
	next, _ := p.seqs.take(laneKey{"t", 0}, 1)
	require.Equal(t, stamp{id: 7, seq: 1}, next, "its number is used")
}

// Batches need not be acknowledged in the order of the log: what is told as the last record is the log's last.
func TestProduce_LastIsTheLastOfTheLog(t *testing.T) {
	p := modelProducerFor(t, 1) // a record a batch
	p.seqs.id = 7
	k, now := laneKey{"t", 0}, time.Unix(0, 0)
	p.seqs.acked(k, func() stamp { st, _ := p.seqs.take(k, 1); return st }(), now) // the broker knows the producer
	batches := []OutBatch{{Topic: "t", Records: make([]OutRecord, 2)}}
	r := newRun(p, batches)
	r.leader = func(laneKey) (int32, bool) { return 0, true }
	answer := func(c command, err sarama.KError, offset int64) {
		r.apply(event{command: c, sent: true, answer: &sarama.ProduceResponse{
			Blocks: map[string]map[int32]*sarama.ProduceResponseBlock{"t": {0: {Err: err, Offset: offset}}}}}, now)
	}
	sends := r.next(now)
	require.Len(t, sends, 2)
	answer(sends[0], sarama.ErrRequestTimedOut, -1)
	answer(sends[1], sarama.ErrNoError, 11)
	for now = now.Add(time.Minute); !r.finished(); now = now.Add(time.Minute) {
		for _, c := range r.next(now) {
			switch c.kind {
			case cmdSend:
				answer(c, sarama.ErrNoError, 10)
			default:
				r.apply(event{command: c, topics: map[string]Topic{"t": {Partitions: make([]Partition, 1)}}}, now)
			}
		}
	}
	last, err := r.outcome(k)
	require.NoError(t, err)
	require.Equal(t, []int64{10, 11}, []int64{batches[0].Records[0].Offset, batches[0].Records[1].Offset})
	require.Equal(t, RecordID{Producer: 7, Sequence: 2}, last)
}

// A request takes no more memory than its part of the producer's bytes, however small the records; one that is larger alone
// goes alone. Brokers share what there is, and what is kept for later is bounded, too.
func TestProduceHoldsItsBytes(t *testing.T) {
	const budget = 1 << 20
	p := modelProducerFor(t, DefaultBatchBytes)
	p.conf.Bytes, p.seqs.id, p.arenas.most = budget, 1, budget/arenaShare
	var batches []OutBatch
	for partition := range int32(12) {
		b := OutBatch{Topic: "t", Partition: partition, Records: make([]OutRecord, 20_000)}
		for i := range b.Records {
			b.Records[i] = OutRecord{Key: []byte{byte(i)}, Timestamp: 1}
			if i%10 == 0 {
				b.Records[i].Headers = []state.Header{{Key: []byte("h"), Value: []byte("v")}}
			}
		}
		batches = append(batches, b)
	}
	batches[3].Records[7].Value = make([]byte, budget/2)
	r := newRun(p, batches)
	r.leader = func(k laneKey) (int32, bool) { return k.partition % 2, true }
	room := p.room(r.brokers())
	require.Equal(t, budget*3/8, room)
	r.room = room
	sent, requests := 0, 0
	for now := time.Unix(0, 0); !r.finished(); now = now.Add(time.Millisecond) {
		for _, c := range r.next(now) {
			require.True(t, c.memory <= room || len(c.batches) == 1 && c.batches[0].records.n == 1, "%d records", c.batches[0].records.n)
			answer := &sarama.ProduceResponse{Blocks: map[string]map[int32]*sarama.ProduceResponseBlock{"t": {}}}
			_, used := p.request(c.batches)
			for i, b := range c.batches {
				sent += b.records.n
				answer.Blocks["t"][b.lane.key.partition] = &sarama.ProduceResponseBlock{}
				p.arenas.put(used[i])
			}
			require.LessOrEqual(t, p.Held(), int64(budget/arenaShare))
			requests++
			r.apply(event{command: c, sent: true, answer: answer}, now)
		}
	}
	require.NoError(t, r.err())
	require.Equal(t, 12*20_000, sent)
	require.Greater(t, requests, 12*20_000*sendBytes(1, 7)/room)
}
