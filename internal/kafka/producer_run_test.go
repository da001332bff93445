package kafka

import (
	"context"
	"errors"
	"io"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/IBM/sarama"
	"github.com/stretchr/testify/require"

	"github.com/tarnstream/tarn/state"
)

// TestR25_ProduceCodes is the table of codes and what each does to a batch that was sent for the first time, and to one
// that may be in the log.
func TestR25_ProduceCodes(t *testing.T) {
	const done, retry, fail, unsure = "done", "retry", "fail", "fail, unknown"
	for _, tt := range []struct {
		code          sarama.KError
		first, second string
	}{
		{sarama.ErrNoError, done, done},
		{sarama.ErrDuplicateSequenceNumber, retry, fail},
		{sarama.ErrNotEnoughReplicas, retry, retry},
		{sarama.ErrThrottlingQuotaExceeded, retry, retry},
		{sarama.ErrInvalidMessage, retry, retry},
		{sarama.ErrLeaderNotAvailable, retry, retry},
		{sarama.ErrUnknownTopicOrPartition, retry, retry},
		{sarama.ErrNotLeaderForPartition, retry, retry},
		{sarama.ErrRequestTimedOut, retry, retry},
		{sarama.ErrNotEnoughReplicasAfterAppend, retry, retry},
		{sarama.ErrNetworkException, retry, retry},
		{sarama.ErrKafkaStorageError, retry, retry},
		{sarama.ErrFencedLeaderEpoch, retry, retry},
		{sarama.ErrUnknownLeaderEpoch, retry, retry},
		{sarama.KError(100), retry, retry},
		{sarama.ErrMessageSizeTooLarge, retry, retry},
		{sarama.ErrMessageSetSizeTooLarge, retry, retry},
		{sarama.ErrOutOfOrderSequenceNumber, retry, unsure},
		{sarama.ErrUnknownProducerID, retry, unsure},
		{sarama.ErrInvalidProducerEpoch, retry, unsure},
		{sarama.ErrTopicAuthorizationFailed, fail, unsure},
		{sarama.ErrInvalidRecord, fail, unsure},
		{sarama.ErrInvalidTimestamp, fail, unsure},
		{sarama.ErrPolicyViolation, fail, unsure},
		{sarama.ErrUnsupportedCompressionType, fail, unsure},
		{sarama.ErrUnknown, unsure, unsure},
		{sarama.KError(120), unsure, unsure},
	} {
		for i, want := range []string{tt.first, tt.second} {
			p := modelProducerFor(t, 0)
			p.seqs.id = 7
			r := newRun(p, []OutBatch{{Topic: "t", Records: make([]OutRecord, 2)}})
			r.leader = func(laneKey) (int32, bool) { return 0, true }
			now := time.Unix(0, 0)
			l := r.lanes[0]
			if i == 1 {
				r.apply(event{command: r.next(now)[0], sent: true, err: io.EOF}, now)
				now = now.Add(time.Hour)
				r.apply(event{command: r.next(now)[0], topics: map[string]Topic{"t": {Partitions: []Partition{{Leader: 0}}}}}, now)
			}
			e := event{command: r.next(now)[0], sent: true, answer: &sarama.ProduceResponse{}}
			require.Equal(t, cmdSend, e.kind)
			e.answer.Blocks = map[string]map[int32]*sarama.ProduceResponseBlock{"t": {0: {Err: tt.code, Offset: 3}}}
			r.apply(e, now)
			got := retry
			switch {
			case l.failed != nil && l.failed.Unknown:
				got = unsure
				require.ErrorIs(t, r.err(), ErrOutcomeUnknown)
			case l.failed != nil:
				got = fail
				require.NotErrorIs(t, r.err(), ErrOutcomeUnknown)
			case l.done():
				got = done
			}
			require.Equal(t, want, got, "code %d, attempt %d", tt.code, i+1)
		}
	}
}

// TestR25_ProduceWaits: no attempt follows another without a wait, and waits grow.
func TestR25_ProduceWaits(t *testing.T) {
	p := modelProducerFor(t, 0)
	p.seqs.id = 7
	r := newRun(p, []OutBatch{{Topic: "t", Records: make([]OutRecord, 1)}})
	r.leader = func(laneKey) (int32, bool) { return 0, true }
	now := time.Unix(0, 0)
	var waits []time.Duration
	for range 8 {
		commands := r.next(now)
		require.Len(t, commands, 1)
		require.Empty(t, r.next(now), "a lane in flight is in no other command")
		r.apply(event{command: commands[0], err: io.EOF}, now)
		require.Empty(t, r.next(now))
		waits = append(waits, r.wait(now, 0))
		now = now.Add(waits[len(waits)-1])
	}
	ms := time.Millisecond
	require.Equal(t, []time.Duration{20 * ms, 40 * ms, 80 * ms, 160 * ms, 320 * ms, 640 * ms, 1000 * ms, 1000 * ms}, waits)
}

// TestR25_ProduceWhenOneAtATime: while the broker may not know the producer, and after trouble, the first batch goes alone; what
// goes to a new leader waits for the old one's answers.
func TestR25_ProduceWhenOneAtATime(t *testing.T) {
	p := modelProducerFor(t, 1)
	p.seqs.id = 7
	r := newRun(p, []OutBatch{{Topic: "t", Records: make([]OutRecord, 20)}}) // a batch each
	node, now := int32(0), time.Unix(0, 0)
	r.leader = func(laneKey) (int32, bool) { return node, true }
	answer := func(c command, code sarama.KError) {
		offset := int64(c.batches[0].stamp.seq)
		r.apply(event{command: c, sent: true, answer: &sarama.ProduceResponse{
			Blocks: map[string]map[int32]*sarama.ProduceResponseBlock{"t": {0: {Err: code, Offset: offset}}}}}, now)
	}
	next := func(seqs ...int32) []command {
		var got []int32
		commands := r.next(now)
		for _, c := range commands {
			require.Equal(t, node, c.node)
			got = append(got, c.batches[0].stamp.seq)
		}
		require.Equal(t, seqs, got)
		return commands
	}
	answer(next(0)[0], sarama.ErrNoError)
	flight := next(1, 2, 3, 4, 5)
	answer(flight[0], sarama.ErrNotEnoughReplicas)
	for _, c := range flight[1:] {
		next()
		answer(c, sarama.ErrOutOfOrderSequenceNumber)
	}
	next()
	now = now.Add(r.wait(now, 0))
	answer(next(1)[0], sarama.ErrNoError)
	flight = next(2, 3, 4, 5, 6)
	answer(flight[0], sarama.ErrNoError)
	node = 1
	for _, c := range flight[1:] {
		next()
		answer(c, sarama.ErrNoError)
	}
	next(7, 8, 9, 10, 11)
}

// TestProduceExpiryNamesTheCause: a call that ran out of time says what stood in its way.
func TestProduceExpiryNamesTheCause(t *testing.T) {
	p := modelProducerFor(t, 0)
	p.seqs.id = 7
	r := newRun(p, []OutBatch{{Topic: "t", Partition: 4, Records: make([]OutRecord, 1)}})
	e := event{command: r.next(time.Unix(0, 0))[0], topics: map[string]Topic{"t": {Err: &state.TopicMissingError{Topic: "t"}}}}
	r.apply(e, time.Unix(0, 0))
	r.expire(context.DeadlineExceeded)
	var gone *state.TopicMissingError
	var produce *ProduceError
	require.ErrorAs(t, r.err(), &gone)
	require.ErrorAs(t, r.err(), &produce)
	require.Equal(t, "t", produce.Topic)
	require.Equal(t, int32(4), produce.Partition)
	require.False(t, produce.Unknown)
	require.ErrorIs(t, r.err(), context.DeadlineExceeded)
}

// TestSequencesWrap: numbers and epochs at their ends.
func TestSequencesWrap(t *testing.T) {
	require.Equal(t, int32(0), advance(math.MaxInt32, 1))
	require.Equal(t, int32(4), advance(math.MaxInt32-5, 10))
	require.Equal(t, int32(10), advance(5, 5))

	s := newSequences()
	s.id, s.epoch = 1, math.MaxInt16
	k := laneKey{"t", 0}
	take := func(n int) stamp {
		st, ok := s.take(k, n)
		require.Equal(t, s.known(), ok)
		return st
	}
	s.abandon(k, take(1))
	take(1)
	require.False(t, s.known(), "after the last epoch comes a new id")

	s.id, s.epoch = 2, 0
	first := take(3)
	require.Equal(t, stamp{id: 2}, first)
	require.Equal(t, stamp{id: 2, seq: 3}, take(1))
	s.bump(stamp{id: 1})
	require.Equal(t, stamp{id: 2, seq: 4}, take(1), "a bump for an older id does nothing")
	s.rewind(k, first)
	require.Equal(t, first, take(1))
}

// TestEncodedSize: the size is what sarama puts on the wire and the broker counts.
func TestEncodedSize(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 0))
	for range 200 {
		records := make([]OutRecord, 1+rnd.IntN(5))
		for i := range records {
			records[i] = someRecord(rnd)
		}
		all, one := series{recordRows(records), 0, len(records)}, series{recordRows(records), 0, 1}
		p := all.cut(math.MaxInt, math.MaxInt)
		require.Equal(t, len(records), p.n)
		require.Equal(t, encodedBatch(t, records), p.size)
		require.Equal(t, EncodedSize(&records[0]), one.cut(0, 0).size)
	}
}

// someRecord is one of nulls, empty and other bytes of many lengths.
func someRecord(rnd *rand.Rand) OutRecord {
	blob := func() []byte {
		switch rnd.IntN(4) {
		case 0:
			return nil
		case 1:
			return []byte{}
		}
		b := make([]byte, rnd.IntN(1<<rnd.IntN(18)))
		for i := range b {
			b[i] = byte(i)
		}
		return b
	}
	r := OutRecord{Key: blob(), Value: blob(), Timestamp: rnd.Int64N(maxTimestamp)}
	for range rnd.IntN(3) {
		r.Headers = append(r.Headers, state.Header{Key: blob(), Value: blob()})
	}
	return r
}

// encodedBatch is the length of the batch in a request, found by the difference to a request with a known one.
func encodedBatch(t *testing.T, records []OutRecord) int {
	length := func(records []OutRecord) int {
		req := &sarama.ProduceRequest{Version: 8, RequiredAcks: sarama.WaitForAll}
		req.AddBatch("t", 0, new(arena).fill(series{recordRows(records), 0, len(records)}, 0, stamp{}))
		w := &countingConn{}
		require.NoError(t, w.measure(req))
		return w.n
	}
	empty := []OutRecord{{}}
	return length(records) - length(empty) + batchOverhead + 7 // a record of nulls: length, attributes, two deltas, two nulls, no headers
}

var errCounted = errors.New("counted")
