package kafka

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/IBM/sarama"
	"github.com/stretchr/testify/require"

	"github.com/tarnstream/tarn/state"
)

// modelLog is a partition as a broker keeps it: the check of sequences, strict about producers it does not know.
type modelLog struct {
	values    []string
	producers map[int64]*modelProducer
	limit     int
}

type modelProducer struct {
	epoch   int16
	next    int32
	batches []modelBatch // the last five
}

type modelBatch struct {
	first, last int32
	offset      int64
}

func newModelLog(limit int) *modelLog {
	return &modelLog{producers: map[int64]*modelProducer{}, limit: limit}
}

func (m *modelLog) append(records []OutRecord, b *sarama.RecordBatch) (sarama.KError, int64) {
	if _, size := cut(records, math.MaxInt); size > m.limit {
		return sarama.ErrMessageSizeTooLarge, -1
	}
	p := m.producers[b.ProducerID]
	switch {
	case p == nil && b.FirstSequence != 0:
		return sarama.ErrUnknownProducerID, -1
	case p == nil:
		p = &modelProducer{epoch: b.ProducerEpoch}
		m.producers[b.ProducerID] = p
	case b.ProducerEpoch < p.epoch:
		return sarama.ErrInvalidProducerEpoch, -1
	case b.ProducerEpoch > p.epoch && b.FirstSequence != 0:
		return sarama.ErrOutOfOrderSequenceNumber, -1
	case b.ProducerEpoch > p.epoch:
		*p = modelProducer{epoch: b.ProducerEpoch}
	}
	last := b.FirstSequence + int32(len(records)) - 1
	for _, old := range p.batches {
		if old.first == b.FirstSequence && old.last == last {
			return sarama.ErrNoError, old.offset
		}
	}
	if b.FirstSequence != p.next {
		return sarama.ErrOutOfOrderSequenceNumber, -1
	}
	offset := int64(len(m.values))
	p.next = last + 1
	p.batches = append(p.batches, modelBatch{b.FirstSequence, last, offset})
	p.batches = p.batches[max(0, len(p.batches)-5):]
	for i := range records {
		m.values = append(m.values, string(records[i].Value))
	}
	return sarama.ErrNoError, offset
}

// model is a cluster of two brokers and the faults it makes.
type model struct {
	logs   map[laneKey]*modelLog
	rand   *rand.Rand
	faults bool
	forget bool // producers' state gets lost now and then
	nextID int64
}

func (m *model) perform(c command) event {
	e := event{command: c}
	switch c.kind {
	case cmdInit:
		m.nextID++
		e.id = m.nextID
		if m.faults && m.rand.IntN(4) == 0 {
			e.err = codeError(sarama.ErrOffsetsLoadInProgress, "InitProducerID", "", -1)
		}
	case cmdRefresh:
		e.topics = map[string]Topic{"t": {Name: "t", Partitions: []Partition{{Leader: 0}, {Leader: 1}, {Leader: 0}}}}
		if m.faults && m.rand.IntN(4) == 0 {
			e.err = io.EOF
		}
	case cmdSend:
		e.sent = true
		e.answer = &sarama.ProduceResponse{Blocks: map[string]map[int32]*sarama.ProduceResponseBlock{"t": {}}}
		broken := m.faults && m.rand.IntN(5) == 0
		for _, l := range c.lanes {
			if b := m.answer(l); b != nil {
				e.answer.Blocks["t"][l.key.partition] = b
			}
		}
		if broken {
			e.err = io.EOF
		}
	}
	return e
}

// answer appends, or not, and tells the truth, or what Kafka tells in its place.
func (m *model) answer(l *lane) *sarama.ProduceResponseBlock {
	records := l.rest[0][:l.n]
	b := *l.arena.fill(records, l.stamp, None)
	log := m.logs[l.key]
	// What a broker has forgotten of a batch in doubt that begins at 0 it takes again: no client can help that.
	if m.forget && (!l.uncertain || l.stamp.seq != 0) && m.rand.IntN(15) == 0 {
		clear(log.producers)
	}
	pick := 0
	if m.faults {
		pick = m.rand.IntN(10)
	}
	before := []sarama.KError{sarama.ErrNotEnoughReplicas, sarama.ErrInvalidMessage, sarama.ErrNotLeaderForPartition, sarama.ErrThrottlingQuotaExceeded}
	after := []sarama.KError{sarama.ErrRequestTimedOut, sarama.ErrNotEnoughReplicasAfterAppend, sarama.ErrNotLeaderForPartition, sarama.ErrKafkaStorageError}
	switch pick {
	case 7:
		return &sarama.ProduceResponseBlock{Err: before[m.rand.IntN(len(before))], Offset: -1}
	case 8:
		log.append(records, &b)
		return &sarama.ProduceResponseBlock{Err: after[m.rand.IntN(len(after))], Offset: -1}
	case 9:
		log.append(records, &b)
		return nil
	}
	code, offset := log.append(records, &b)
	return &sarama.ProduceResponseBlock{Err: code, Offset: offset}
}

// call is one Produce; give, where not nil, ends it early.
func (m *model) call(t *testing.T, p *Producer, batches []OutBatch, steps int) error {
	for _, b := range batches {
		for i := range b.Records {
			b.Records[i].Offset = state.UnknownOffset
		}
	}
	r := newRun(p, batches)
	defer r.close()
	r.leader = func(k laneKey) (int32, bool) { return k.partition % 2, true }
	now := time.Unix(0, 0)
	for step := 0; !r.finished(); step++ {
		if step == steps {
			r.expire(context.DeadlineExceeded)
			break
		}
		require.Less(t, step, 100_000, "no progress")
		commands := r.next(now)
		if len(commands) == 0 {
			wait := r.wait(now, 0)
			require.Positive(t, wait, "neither a command nor a wait")
			require.Less(t, wait, time.Minute)
			now = now.Add(wait)
		}
		m.rand.Shuffle(len(commands), func(i, j int) { commands[i], commands[j] = commands[j], commands[i] })
		for _, c := range commands {
			r.apply(m.perform(c), now)
		}
	}
	return r.err()
}

func newModel(seed uint64) *model {
	return &model{rand: rand.New(rand.NewPCG(seed, 1)), logs: map[laneKey]*modelLog{
		{"t", 0}: newModelLog(4000), {"t", 1}: newModelLog(600), {"t", 2}: newModelLog(math.MaxInt)}}
}

func modelProducerFor(t testing.TB, batchBytes int) *Producer {
	c, err := NewClient(Config{Brokers: []string{"nowhere.invalid:1"}})
	require.NoError(t, err)
	p := c.NewProducer(ProducerConfig{MaxBatchBytes: batchBytes})
	t.Cleanup(p.Close)
	return p
}

// some makes batches with values that name themselves.
func (m *model) some(call int) []OutBatch {
	var out []OutBatch
	for i := range 1 + m.rand.IntN(4) {
		b := OutBatch{Topic: "t", Partition: int32(m.rand.IntN(3))}
		for j := range m.rand.IntN(60) {
			b.Records = append(b.Records, OutRecord{Key: []byte("k"), Value: fmt.Appendf(nil, "%d/%d/%d", call, i, j), Timestamp: int64(j)})
		}
		out = append(out, b)
	}
	return out
}

// TestR25_ProduceExactlyOnceUnderRetries: whatever retriable fault meets a request, before or after the append, each
// record is in the log once, in order, at the offset told.
func TestR25_ProduceExactlyOnceUnderRetries(t *testing.T) {
	for seed := range uint64(300) {
		m := newModel(seed)
		m.faults = true
		p := modelProducerFor(t, 200+m.rand.IntN(2000))
		want := map[laneKey][]string{}
		for call := range 5 {
			batches := m.some(call)
			require.NoError(t, m.call(t, p, batches, -1), "seed %d", seed)
			for _, b := range batches {
				k := laneKey{b.Topic, b.Partition}
				for _, rec := range b.Records {
					want[k] = append(want[k], string(rec.Value))
					require.Equal(t, string(rec.Value), m.logs[k].values[rec.Offset], "seed %d", seed)
				}
			}
		}
		for k, values := range want {
			require.Equal(t, values, m.logs[k].values, "seed %d: %v", seed, k)
		}
	}
}

// TestR25_ProduceNeverTwice: calls that are given up, and brokers that lose their producers' state, may leave records
// out, and then say so; never is one there twice, and what is acknowledged is there in order.
func TestR25_ProduceNeverTwice(t *testing.T) {
	for seed := range uint64(300) {
		m := newModel(seed)
		m.faults, m.forget = true, true
		p := modelProducerFor(t, 200+m.rand.IntN(2000))
		acked := map[laneKey][]int64{}
		for call := range 8 {
			batches := m.some(call)
			steps := -1
			if m.rand.IntN(2) == 0 {
				steps = m.rand.IntN(12)
			}
			err := m.call(t, p, batches, steps)
			missing := false
			for _, b := range batches {
				k := laneKey{b.Topic, b.Partition}
				for _, rec := range b.Records {
					if rec.Offset == state.UnknownOffset {
						missing = true
						continue
					}
					require.Equal(t, string(rec.Value), m.logs[k].values[rec.Offset], "seed %d", seed)
					acked[k] = append(acked[k], rec.Offset)
				}
			}
			require.Equal(t, missing, err != nil, "seed %d: %v", seed, err)
		}
		for k, log := range m.logs {
			unique := slices.Compact(slices.Sorted(slices.Values(log.values)))
			require.Len(t, log.values, len(unique), "seed %d: %v has a record twice", seed, k)
			require.True(t, slices.IsSorted(acked[k]), "seed %d: %v is out of order", seed, k)
		}
	}
}

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
	s.abandon(k, s.stamp(k))
	s.stamp(k)
	require.False(t, s.known(), "after the last epoch comes a new id")

	s.id, s.epoch = 2, 0
	st := s.stamp(k)
	require.Equal(t, stamp{id: 2}, st)
	s.acked(k, st, 3)
	require.Equal(t, stamp{id: 2, seq: 3}, s.stamp(k))
	s.bump(stamp{id: 1})
	require.Equal(t, stamp{id: 2, seq: 3}, s.stamp(k), "a bump for an older id does nothing")
}

// TestEncodedSize: the size is what sarama puts on the wire and the broker counts.
func TestEncodedSize(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 0))
	blob := func() []byte {
		switch rnd.IntN(4) {
		case 0:
			return nil
		case 1:
			return []byte{}
		}
		return make([]byte, rnd.IntN(1<<rnd.IntN(18)))
	}
	for range 200 {
		records := make([]OutRecord, 1+rnd.IntN(5))
		for i := range records {
			records[i] = OutRecord{Key: blob(), Value: blob(), Timestamp: rnd.Int64N(maxTimestamp)}
			for range rnd.IntN(3) {
				records[i].Headers = append(records[i].Headers, state.Header{Key: blob(), Value: blob()})
			}
		}
		n, size := cut(records, math.MaxInt)
		require.Equal(t, len(records), n)
		require.Equal(t, encodedBatch(t, records), size)
		_, one := cut(records[:1], 0)
		require.Equal(t, EncodedSize(&records[0]), one)
	}
}

// encodedBatch is the length of the batch in a request, found by the difference to a request with a known one.
func encodedBatch(t *testing.T, records []OutRecord) int {
	length := func(records []OutRecord) int {
		req := &sarama.ProduceRequest{Version: 8, RequiredAcks: sarama.WaitForAll}
		req.AddBatch("t", 0, new(arena).fill(records, stamp{}, None))
		w := &countingConn{}
		require.NoError(t, w.measure(req))
		return w.n
	}
	empty := []OutRecord{{}}
	return length(records) - length(empty) + batchOverhead + 7 // a record of nulls: length, attributes, two deltas, two nulls, no headers
}

var errCounted = errors.New("counted")
