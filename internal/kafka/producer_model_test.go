package kafka

import (
	"context"
	"fmt"
	"io"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/IBM/sarama"
	"github.com/stretchr/testify/require"

	"github.com/tarnstream/tarn/state"
)

// modelLog is a partition as a broker keeps it, with the check of sequences.
type modelLog struct {
	values    []string
	producers map[int64]*modelProducer
	limit     int
	strict    bool // about producers it does not know, as brokers before 2.5 are; later ones take any number from them
}

type modelProducer struct {
	epoch   int16
	next    int32
	batches []modelBatch // the last ones
}

// modelKeeps is how many batches of a producer Kafka knows again.
const modelKeeps = 5

type modelBatch struct {
	first, last int32
	offset      int64
}

// modelSent is a batch on the wire.
type modelSent struct {
	lane   *lane
	key    laneKey
	values []string
	size   int
	stamp  stamp
}

func (m *modelLog) append(b modelSent) (sarama.KError, int64) {
	if b.size > m.limit {
		return sarama.ErrMessageSizeTooLarge, -1
	}
	first, last := b.stamp.seq, advance(b.stamp.seq, len(b.values)-1)
	p := m.producers[b.stamp.id]
	switch {
	case p == nil && first != 0 && m.strict:
		return sarama.ErrUnknownProducerID, -1
	case p == nil:
		p = &modelProducer{epoch: b.stamp.epoch, next: first}
		m.producers[b.stamp.id] = p
	case b.stamp.epoch < p.epoch:
		return sarama.ErrInvalidProducerEpoch, -1
	case b.stamp.epoch > p.epoch && first != 0:
		return sarama.ErrOutOfOrderSequenceNumber, -1
	case b.stamp.epoch > p.epoch:
		*p = modelProducer{epoch: b.stamp.epoch}
	}
	for _, old := range p.batches {
		if old.first == first && old.last == last {
			return sarama.ErrNoError, old.offset
		}
	}
	if first != p.next {
		return sarama.ErrOutOfOrderSequenceNumber, -1
	}
	offset := int64(len(m.values))
	p.next = advance(last, 1)
	p.batches = append(p.batches, modelBatch{first, last, offset})
	p.batches = p.batches[max(0, len(p.batches)-modelKeeps):]
	m.values = append(m.values, b.values...)
	return sarama.ErrNoError, offset
}

// modelRequest is a command on its way.
type modelRequest struct {
	command
	sent   []modelSent
	answer *sarama.ProduceResponse // nil until the broker has worked on it
}

// model is a cluster of two brokers, the connections to them, and what goes wrong. What happens next is a matter of chance:
// requests are worked on and answered in the order of their connection, and in no other.
type model struct {
	rand    *rand.Rand
	now     time.Time
	logs    map[laneKey]*modelLog
	leaders []int32 // by partition
	pipes   map[int32][]*modelRequest
	late    [][]*modelRequest // what a broken connection had brought to its broker, not worked on yet
	asked   []*modelRequest   // other than sends
	faults  bool
	forgets bool // brokers forget producers
	nextID  int64
}

func newModel(seed uint64) *model {
	m := &model{rand: rand.New(rand.NewPCG(seed, 1)), now: time.Unix(0, 0), leaders: []int32{0, 1, 0}, pipes: map[int32][]*modelRequest{},
		logs: map[laneKey]*modelLog{}}
	for p, limit := range []int{4000, 600, math.MaxInt} {
		m.logs[laneKey{"t", int32(p)}] = &modelLog{producers: map[int64]*modelProducer{}, limit: limit}
	}
	return m
}

func (m *model) leader(k laneKey) (int32, bool) { return m.leaders[k.partition], true }

// issue puts commands on their way.
func (m *model) issue(commands []command) {
	for _, c := range commands {
		q := &modelRequest{command: c}
		for _, b := range c.batches {
			wire := new(arena).fill(b.records, b.size, b.stamp)
			s := modelSent{lane: b.lane, key: b.lane.key, size: b.size, stamp: stamp{wire.ProducerID, wire.ProducerEpoch, wire.FirstSequence}}
			for i := range b.records.n {
				s.values = append(s.values, string(b.records.row(i).Value))
			}
			q.sent = append(q.sent, s)
		}
		if c.kind == cmdSend {
			m.pipes[c.node] = append(m.pipes[c.node], q)
		} else {
			m.asked = append(m.asked, q)
		}
	}
}

// work makes a broker append, or not, and tell the truth, or what Kafka tells in its place.
func (m *model) work(q *modelRequest) {
	blocks := map[int32]*sarama.ProduceResponseBlock{}
	for _, s := range q.sent {
		if b := m.workOn(s, q.node); b != nil {
			blocks[s.key.partition] = b
		}
	}
	q.answer = &sarama.ProduceResponse{Blocks: map[string]map[int32]*sarama.ProduceResponseBlock{"t": blocks}}
}

func (m *model) workOn(s modelSent, node int32) *sarama.ProduceResponseBlock {
	log := m.logs[s.key]
	if m.leaders[s.key.partition] != node {
		return &sarama.ProduceResponseBlock{Err: sarama.ErrNotLeaderForPartition, Offset: -1}
	}
	if m.forgets && m.rand.IntN(15) == 0 {
		m.forget(s.lane)
	}
	before := []sarama.KError{sarama.ErrNotEnoughReplicas, sarama.ErrInvalidMessage, sarama.ErrNotLeaderForPartition, sarama.ErrThrottlingQuotaExceeded}
	after := []sarama.KError{sarama.ErrRequestTimedOut, sarama.ErrNotEnoughReplicasAfterAppend, sarama.ErrNotLeaderForPartition, sarama.ErrKafkaStorageError}
	pick := 0
	if m.faults {
		pick = m.rand.IntN(12)
	}
	switch pick {
	case 1:
		return &sarama.ProduceResponseBlock{Err: before[m.rand.IntN(len(before))], Offset: -1}
	case 2:
		log.append(s)
		return &sarama.ProduceResponseBlock{Err: after[m.rand.IntN(len(after))], Offset: -1}
	case 3:
		log.append(s)
		return nil
	}
	code, offset := log.append(s)
	return &sarama.ProduceResponseBlock{Err: code, Offset: offset}
}

// cut breaks a connection: nothing more is answered, and what the broker has not worked on it may work on at any time later.
func (m *model) cut(r *run, node int32, ended bool) {
	var late []*modelRequest
	for _, q := range m.pipes[node] {
		if q.answer == nil {
			late = append(late, q)
		}
		r.apply(event{command: q.command, err: io.EOF, sent: true, ended: ended}, m.now)
	}
	m.pipes[node] = nil
	if len(late) > 0 {
		m.late = append(m.late, late)
	}
}

// workLate does some of what broken connections have left.
func (m *model) workLate() {
	i := m.rand.IntN(len(m.late))
	m.work(m.late[i][0])
	if m.late[i] = m.late[i][1:]; len(m.late[i]) == 0 {
		m.late = slices.Delete(m.late, i, i+1)
	}
}

// reply answers what was asked besides sends.
func (m *model) reply(r *run) {
	q := m.asked[0]
	m.asked = m.asked[1:]
	e := event{command: q.command}
	fails := m.faults && m.rand.IntN(4) == 0
	switch q.kind {
	case cmdInit:
		m.nextID++
		if e.id = m.nextID; fails {
			e.err = codeError(sarama.ErrOffsetsLoadInProgress, "InitProducerID", "", -1)
		}
	case cmdRefresh:
		partitions := make([]Partition, len(m.leaders))
		for p, node := range m.leaders {
			partitions[p].Leader = node
		}
		if e.topics = map[string]Topic{"t": {Name: "t", Partitions: partitions}}; fails {
			e.err = io.EOF
		}
	}
	r.apply(e, m.now)
}

// step lets one thing happen, of those that can.
func (m *model) step(t *testing.T, r *run) {
	if m.issue(r.next(m.now)); r.finished() {
		return
	}
	var can []func()
	for _, node := range slices.Sorted(maps.Keys(m.pipes)) {
		pipe := m.pipes[node]
		if i := slices.IndexFunc(pipe, func(q *modelRequest) bool { return q.answer == nil }); i >= 0 {
			can = append(can, func() { m.work(pipe[i]) })
		}
		if len(pipe) > 0 && pipe[0].answer != nil {
			can = append(can, func() {
				m.pipes[node] = pipe[1:]
				r.apply(event{command: pipe[0].command, sent: true, answer: pipe[0].answer}, m.now)
			})
		}
		if m.faults && len(pipe) > 0 && m.rand.IntN(10) == 0 {
			can = append(can, func() { m.cut(r, node, false) })
		}
	}
	if len(m.asked) > 0 {
		can = append(can, func() { m.reply(r) })
	}
	if len(m.late) > 0 {
		can = append(can, m.workLate)
	}
	if m.faults && m.rand.IntN(20) == 0 {
		can = append(can, func() { m.leaders[m.rand.IntN(len(m.leaders))] ^= 1 })
	}
	if wait := r.wait(m.now, m.flying()); len(can) == 0 || m.rand.IntN(5) == 0 && wait < time.Minute {
		require.Less(t, wait, time.Minute, "neither a command nor a wait")
		can = append(can, func() { m.now = m.now.Add(wait) })
	}
	can[m.rand.IntN(len(can))]()
}

func (m *model) flying() (n int) {
	for _, pipe := range m.pipes {
		n += len(pipe)
	}
	return n + len(m.asked)
}

// call is one Produce, given up after some steps where that is not negative.
func (m *model) call(t *testing.T, p *Producer, batches []OutBatch, steps int) error {
	for _, b := range batches {
		for i := range b.Records {
			b.Records[i].Offset = state.UnknownOffset
		}
	}
	r := newRun(p, batches)
	r.leader = m.leader
	for step := 0; !r.finished(); step++ {
		if step == steps {
			for node := range int32(2) {
				m.cut(r, node, true)
			}
			for _, q := range m.asked {
				r.apply(event{command: q.command, err: context.Canceled, ended: true}, m.now)
			}
			m.asked = nil
			r.expire(context.DeadlineExceeded)
			break
		}
		require.Less(t, step, 100_000, "no progress")
		m.step(t, r)
		requireWindows(t, r)
	}
	return r.err()
}

// requireWindows requires what lane promises.
func requireWindows(t *testing.T, r *run) {
	for _, l := range r.lanes {
		flew, n := true, 0
		for i, b := range l.window {
			if b.state == flying {
				n++
				require.True(t, flew || l.held, "a batch flies and one before it does not")
				require.Less(t, i, maxWindow)
				require.Equal(t, l.window[0].stamp.epoch, b.stamp.epoch, "two epochs in flight")
			}
			flew = flew && b.state != ready
		}
		require.Equal(t, l.flying, n)
	}
	for _, n := range r.flying {
		require.LessOrEqual(t, n, maxRequests)
	}
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
		for j := range m.rand.IntN(120) {
			b.Records = append(b.Records, OutRecord{Key: []byte("k"), Value: fmt.Appendf(nil, "%d/%d/%d", call, i, j), Timestamp: int64(j)})
		}
		out = append(out, b)
	}
	return out
}

// seeds runs a test with seeds, other ones each time. A subtest's name has its seed.
func seeds(t *testing.T, n int, fn func(t *testing.T, seed uint64)) {
	for range n {
		seed := rand.Uint64()
		if !t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) { fn(t, seed) }) {
			return
		}
	}
}

// TestR25_ProduceExactlyOnceUnderRetries: whatever retriable fault meets a request, before or after the append, with others
// in flight behind it, wherever leaders move and connections break, and requests of broken connections arrive late: each
// record is in the log once, in order, at the offset told.
func TestR25_ProduceExactlyOnceUnderRetries(t *testing.T) {
	seeds(t, 400, func(t *testing.T, seed uint64) {
		m := newModel(seed)
		m.faults = true
		p := modelProducerFor(t, 200+m.rand.IntN(2000))
		want := map[laneKey][]string{}
		for call := range 5 {
			batches := m.some(call)
			require.NoError(t, m.call(t, p, batches, -1))
			for _, b := range batches {
				k := laneKey{b.Topic, b.Partition}
				for _, rec := range b.Records {
					want[k] = append(want[k], string(rec.Value))
					require.Equal(t, string(rec.Value), m.logs[k].values[rec.Offset])
				}
			}
		}
		for len(m.late) > 0 {
			m.workLate()
		}
		for k, values := range want {
			require.Equal(t, values, m.logs[k].values, "%v", k)
		}
	})
}

// forget makes a partition's brokers lose what they know of producers, unless there is a batch in doubt that they would then
// take again, or out of order, which no client can help.
func (m *model) forget(l *lane) {
	log := m.logs[l.key]
	for _, b := range l.window {
		inLog := b.state != acknowledged && slices.Contains(log.values, string(b.records.row(0).Value))
		if (b.uncertain || inLog) && !(log.strict && b.stamp.seq != 0) {
			return
		}
	}
	if len(m.late) == 0 {
		clear(log.producers)
	}
}

// TestR25_ProduceNeverTwice: calls that are given up, and brokers that forget their producers, may leave records
// out, and then say so; never is one there twice, what is acknowledged is there in order, and what is said not to be there
// is not.
func TestR25_ProduceNeverTwice(t *testing.T) {
	seeds(t, 400, func(t *testing.T, seed uint64) {
		m := newModel(seed)
		m.faults, m.forgets = true, true
		for _, log := range m.logs {
			log.strict = m.rand.IntN(2) == 0
		}
		p := modelProducerFor(t, 200+m.rand.IntN(2000))
		acked := map[laneKey][]int64{}
		var absent []string
		for call := range 8 {
			batches := m.some(call)
			steps := -1
			if m.rand.IntN(2) == 0 {
				steps = m.rand.IntN(60)
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
					require.Equal(t, string(rec.Value), m.logs[k].values[rec.Offset])
					acked[k] = append(acked[k], rec.Offset)
				}
			}
			require.Equal(t, missing, err != nil, "%v", err)
			absent = append(absent, m.absent(p, batches)...)
		}
		for len(m.late) > 0 {
			m.workLate()
		}
		for k, log := range m.logs {
			unique := slices.Compact(slices.Sorted(slices.Values(log.values)))
			require.Len(t, log.values, len(unique), "%v has a record twice", k)
			require.True(t, slices.IsSorted(acked[k]), "%v is out of order", k)
			for _, value := range absent {
				require.NotContains(t, log.values, value)
			}
		}
	})
}

// absent gives the records of a call that are said not to be in the log.
func (m *model) absent(p *Producer, batches []OutBatch) (values []string) {
	for _, b := range batches {
		q := p.seqs.parts[laneKey{b.Topic, b.Partition}]
		for _, rec := range b.Records {
			if rec.Offset == state.UnknownOffset && (q == nil || !q.unresolved) {
				values = append(values, string(rec.Value))
			}
		}
	}
	return values
}
