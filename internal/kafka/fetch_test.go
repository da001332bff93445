package kafka

import (
	"errors"
	"io"
	"log/slog"
	"slices"
	"testing"
	"time"

	"github.com/IBM/sarama"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/tarnstream/tarn/state"
)

// script drives a fetcher by hand: broker 0 leads every partition of topic "t" until moved.
type script struct {
	t   *testing.T
	x   *fetcher
	now time.Time
	id  byte
}

func newScript(t *testing.T) *script {
	cfg := ReaderConfig{Logger: slog.New(slog.DiscardHandler)}.withDefaults()
	return &script{t: t, x: newFetcher(cfg), now: time.Unix(1_700_000_000, 0), id: 1}
}

// open adds a partition that is known from metadata and stands at position.
func (s *script) open(partition int32, position int64) *flow {
	f := newFlow("t", partition, nil)
	s.x.add(f, s.now)
	s.lead(0)
	s.x.seek(f, position, s.now)
	s.now = s.now.Add(time.Minute) // nothing is hurried
	return f
}

// lead is a metadata refresh.
func (s *script) lead(node int32) {
	t := Topic{Name: "t", ID: state.TopicID{s.id}, Partitions: make([]Partition, 9)}
	for i := range t.Partitions {
		t.Partitions[i] = Partition{Leader: node, Epoch: 3}
	}
	s.x.metadata(map[string]Topic{"t": t}, s.now)
}

func (s *script) pass(d time.Duration) { s.now = s.now.Add(d) }

// plan gives the next plan of broker 0, with the partitions it asks for.
func (s *script) plan() (fetchPlan, []int32) {
	p := s.x.plan(0, s.now)
	var asked []int32
	for _, k := range p.asks {
		asked = append(asked, k.flow.partition)
	}
	return p, asked
}

// parts are what an answer has, by partition.
type parts map[int32]*part

func (b parts) answer(throttled bool) fetchAnswer {
	res := &fetched{parts: map[partOf]*part{}}
	if throttled {
		res.throttle = time.Second
	}
	for p, got := range b {
		res.parts[partOf{"t", p}] = got
	}
	return fetchAnswer{sent: true, res: res}
}

func (s *script) answer(p fetchPlan, b parts) { s.x.answer(p, b.answer(false), s.now) }

func (s *script) fail(p fetchPlan, err error) {
	s.x.answer(p, fetchAnswer{sent: true, err: err}, s.now)
}

// partWith is an answer with one batch of n records from first; the log ends at end.
func partWith(first int64, n int, end int64) *part {
	p := &part{ends: logEnds{0, end, end}}
	if n > 0 {
		p.log = encodeBatch(kmsg.RecordBatch{FirstOffset: first, ProducerID: -1, PartitionLeaderEpoch: 3}, valuesOf(n, 1)...)
	}
	return p
}

// emptied puts a batch that compaction has emptied behind what a part has, up to next.
func emptied(p *part, next int64) *part {
	p.log = append(p.log, encodeBatch(kmsg.RecordBatch{FirstOffset: next - 1, ProducerID: -1, PartitionLeaderEpoch: 4})...)
	return p
}

// cutOff is a part with nothing but the beginning of a batch.
func cutOff(first, end int64) *part {
	p := partWith(first, 5, end)
	p.log = p.log[:len(p.log)-1]
	return p
}

func refusal(code sarama.KError) *part { return &part{code: code, ends: unknownEnds} }

var errDamaged = errAnswer

// TestR50_OldVersionsAreDropped: seek, move, and close each make the answer under way void, errors too.
func TestR50_R38_OldVersionsAreDropped(t *testing.T) {
	for name, change := range map[string]func(*script, *flow){
		"seek":           func(s *script, f *flow) { s.x.seek(f, 50, s.now) },
		"seek, same":     func(s *script, f *flow) { s.x.seek(f, 10, s.now) },
		"leader moves":   func(s *script, _ *flow) { s.lead(1) },
		"closed":         func(s *script, f *flow) { s.x.remove(f) },
		"topic replaced": func(s *script, _ *flow) { s.id = 2; s.lead(0) },
	} {
		for what, block := range map[string]*part{"records": partWith(10, 5, 15), "error": refusal(sarama.ErrOffsetOutOfRange),
			"hidden": emptied(partWith(0, 0, 99), 60)} {
			t.Run(name+"/"+what, func(t *testing.T) {
				s := newScript(t)
				f := s.open(0, 10)
				p, asked := s.plan()
				require.Equal(t, []int32{0}, asked)
				change(s, f)
				position, err := f.position, f.err
				s.answer(p, parts{0: block})
				require.Equal(t, position, f.position)
				require.Equal(t, err, f.err)
				require.Empty(t, f.queue)
			})
		}
	}
}

func TestR02_NoFetchBetweenOutOfRangeAndSeek(t *testing.T) {
	s := newScript(t)
	f := s.open(0, 10)
	p, _ := s.plan()
	s.answer(p, parts{0: refusal(sarama.ErrOffsetOutOfRange)})
	for range 100 {
		s.pass(time.Second)
		s.lead(0)
		_, asked := s.plan()
		require.Empty(t, asked)
	}
	require.Equal(t, &state.OutOfRangeError{Topic: "t", Partition: 0, Position: 10}, f.err)
	s.x.seek(f, 20, s.now)
	p, asked := s.plan()
	require.Equal(t, []int32{0}, asked)
	require.Equal(t, int64(20), p.asks[0].position)
}

// TestBufferedComesBeforeTheError, and nothing is asked twice at a time.
func TestBufferedComesBeforeTheError(t *testing.T) {
	s := newScript(t)
	f := s.open(0, 0)
	p, _ := s.plan()
	_, asked := s.plan()
	require.Empty(t, asked)
	s.answer(p, parts{0: partWith(0, 5, 5)})
	p, _ = s.plan()
	s.answer(p, parts{0: refusal(sarama.ErrTopicAuthorizationFailed)})
	c, ok, err := f.pop()
	require.NoError(t, err)
	require.True(t, ok)
	require.Equal(t, int64(5), c.next)
	_, _, err = f.pop()
	e, ok := errors.AsType[*Error](err)
	require.True(t, ok)
	require.Equal(t, int16(29), e.Code)
}

// TestR56_DamagedPart: a part that is damaged is asked for alone, and named when it comes so three times; the others of its answer are good.
func TestR56_DamagedPart(t *testing.T) {
	s := newScript(t)
	bad, good := s.open(0, 7), s.open(1, 0)
	for range 10 {
		s.pass(time.Minute)
		p, _ := s.plan()
		b := parts{}
		for _, k := range p.asks {
			of := partWith(k.position, 1, k.position+1)
			if k.flow == bad {
				of.log[len(of.log)-1] ^= 1
			}
			b[k.flow.partition] = of
		}
		s.answer(p, b)
	}
	require.ErrorIs(t, bad.err, errChecksum)
	require.Equal(t, &BatchError{Topic: "t", Partition: 0, Position: 7, Err: errChecksum}, bad.err)
	require.NoError(t, good.err)
	require.Positive(t, good.position)
}

// A broker that throttles is left alone for as long as it says.
func TestThrottled(t *testing.T) {
	s := newScript(t)
	s.open(0, 0)
	p, _ := s.plan()
	s.x.answer(p, parts{0: partWith(0, 1, 9)}.answer(true), s.now)
	p, asked := s.plan()
	require.Empty(t, asked)
	require.Equal(t, time.Second, p.wait)
	s.pass(time.Second)
	_, asked = s.plan()
	require.Len(t, asked, 1)
}

// TestR56_DamageIsIsolated: an answer is none; each partition is asked alone, all but the damaged go on, and
// that one is named, without a fetch more.
func TestR56_DamageIsIsolated(t *testing.T) {
	s := newScript(t)
	flows := []*flow{s.open(0, 0), s.open(1, 0), s.open(2, 0)}
	tries := 0
	for range 200 {
		s.pass(10 * time.Millisecond)
		p, asked := s.plan()
		answer, damaged := parts{}, false
		for _, k := range p.asks {
			damaged = damaged || k.flow.partition == 1
			answer[k.flow.partition] = partWith(k.position, 1, k.position+1)
		}
		if len(asked) == 0 {
			continue
		}
		if damaged && p.alone {
			tries++
		}
		if damaged {
			s.fail(p, errDamaged)
		} else {
			s.answer(p, answer)
		}
		for _, f := range flows {
			_, _, _ = f.pop()
		}
	}
	require.Greater(t, flows[0].position, int64(50))
	require.Greater(t, flows[2].position, int64(50))
	bad, ok := errors.AsType[*BatchError](flows[1].err)
	require.True(t, ok, "%v", flows[1].err)
	require.Equal(t, BatchError{Topic: "t", Partition: 1, Position: 0, Err: errDamaged}, *bad)
	require.Equal(t, damageTries, tries, "named once that is certain, and not asked for again")
}

// TestR56_DamageThatPasses: one answer was damaged on the way; nothing is lost and all share one fetch again.
func TestR56_DamageThatPasses(t *testing.T) {
	s := newScript(t)
	a, b := s.open(0, 0), s.open(1, 0)
	p, asked := s.plan()
	require.Len(t, asked, 2)
	s.fail(p, errDamaged)
	s.pass(time.Second)
	for a.alone || b.alone {
		p, asked = s.plan()
		require.Len(t, asked, 1)
		k := p.asks[0]
		s.answer(p, parts{asked[0]: partWith(k.position, 4, k.position+4)})
	}
	require.GreaterOrEqual(t, min(a.position, b.position), int64(4))
	_, asked = s.plan()
	require.Len(t, asked, 2)
}

// TestR67_EmptyAnswer: an empty answer is taken for a compacted end only when asked for alone, without throttling.
func TestR67_EmptyAnswer(t *testing.T) {
	s := newScript(t)
	f, other := s.open(0, 10), s.open(1, 0)
	p, _ := s.plan()
	s.answer(p, parts{0: partWith(0, 0, 100), 1: partWith(0, 5, 99)}) // the other filled the answer
	require.Equal(t, int64(10), f.position)
	p, asked := s.plan()
	require.Equal(t, []int32{0}, asked)
	require.False(t, p.ample)

	_, asked = s.plan()
	require.Equal(t, []int32{1}, asked, "the other goes on between")
	s.x.answer(p, parts{0: partWith(0, 0, 100)}.answer(true), s.now)
	require.Equal(t, int64(10), f.position, "throttled")

	s.pass(time.Second)
	p, asked = s.plan()
	require.Equal(t, []int32{0}, asked)
	s.answer(p, parts{0: partWith(0, 0, 100)})
	require.Equal(t, int64(10), f.position, "not alone")
	p, _ = s.plan()
	require.True(t, p.alone)
	s.answer(p, parts{0: partWith(10, 90, 100)})
	require.Equal(t, int64(100), f.position, "the records were there")
	require.Equal(t, int64(5), other.position)

	began := s.now
	for f.position == 100 {
		p, asked = s.plan()
		require.Equal(t, p.ample, len(asked) > 0 && p.asks[0].bytes >= ampleBytes)
		require.False(t, p.ample && !p.alone)
		if len(asked) > 0 && asked[0] == 0 {
			s.answer(p, parts{0: partWith(0, 0, 120)})
		} else {
			s.answer(p, parts{1: partWith(0, 0, 0)})
		}
		s.pass(100 * time.Millisecond)
	}
	require.GreaterOrEqual(t, s.now.Sub(began), emptyTime, "tiered storage may be slow")
	require.Equal(t, int64(120), f.position, "alone and nothing there, for long: the log has a hole up to what the answer says")
	_, _, _ = f.pop()
	c, _, _ := f.pop()
	require.Equal(t, state.Records{Position: 100, Next: 120, FirstEpoch: -1, LastEpoch: -1, Stable: 120, End: 120, Records: []state.Record{}}, c.records)
}

// TestEmptyAnswersThatSayNothing move no position: open transaction, no block, throttle.
func TestR12_EmptyAnswersThatSayNothing(t *testing.T) {
	s := newScript(t)
	f := s.open(0, 10)
	for _, b := range []parts{{0: {ends: logEnds{0, 10, 500}}}, {}, {1: partWith(10, 5, 15)}, {0: refusal(sarama.ErrOffsetNotAvailable)}} {
		s.pass(time.Second)
		p, asked := s.plan()
		require.Equal(t, []int32{0}, asked)
		require.False(t, p.alone)
		s.answer(p, b)
		require.Equal(t, int64(10), f.position)
		require.NoError(t, f.err)
		require.Empty(t, f.queue)
	}
}

// TestIncompleteBatch: a batch that was cut off is not passed.
func TestIncompleteBatch(t *testing.T) {
	s := newScript(t)
	f := s.open(0, 10)
	p, _ := s.plan()
	both := partWith(10, 5, 99)
	both.log = append(both.log, cutOff(15, 99).log...)
	s.answer(p, parts{0: both}) // five records, and a batch up to 20 that was cut off
	require.Equal(t, int64(15), f.position)
	p, _ = s.plan()
	s.answer(p, parts{0: cutOff(15, 99)})
	require.Equal(t, int64(15), f.position)
	p, _ = s.plan()
	require.True(t, p.alone)
	s.answer(p, parts{0: cutOff(15, 99)})
	require.NoError(t, f.err, "it may only have been too large")
	p, _ = s.plan()
	require.True(t, p.ample)
	require.GreaterOrEqual(t, p.asks[0].bytes, int32(ampleBytes))
	s.answer(p, parts{0: cutOff(15, 99)})
	bad, ok := errors.AsType[*BatchError](f.err)
	require.True(t, ok, "%v", f.err)
	require.Equal(t, int64(15), bad.Position)
	_, asked := s.plan()
	require.Empty(t, asked)

	s.x.seek(f, 30, s.now)
	p, _ = s.plan()
	s.answer(p, parts{0: {log: oldFormat()}})
	require.ErrorIs(t, f.err, errOldFormat)
}

// TestR53_BackOff: trouble waits longer each time, delays nobody else, and is forgotten after a good answer.
func TestR53_BackOff(t *testing.T) {
	s := newScript(t)
	bad, good := s.open(0, 0), s.open(1, 0)
	var waits []time.Duration
	for range 8 {
		for bad.notBefore.After(s.now) {
			p, asked := s.plan()
			require.NotContains(t, asked, int32(0))
			require.LessOrEqual(t, p.maxWait, max(bad.notBefore.Sub(s.now), time.Millisecond), "the long poll ends when it may come back")
			if len(asked) > 0 {
				s.answer(p, parts{1: partWith(good.position, 1, good.position+1)})
			}
			s.pass(10 * time.Millisecond)
			_, _, _ = good.pop()
		}
		p, _ := s.plan()
		require.NotEmpty(t, p.asks)
		s.answer(p, parts{0: refusal(sarama.ErrNotLeaderForPartition), 1: partWith(good.position, 1, good.position+1)})
		require.True(t, s.x.urgent, "fresh metadata is wanted")
		waits = append(waits, bad.notBefore.Sub(s.now))
	}
	ms := time.Millisecond
	require.Equal(t, []time.Duration{20 * ms, 40 * ms, 80 * ms, 160 * ms, 320 * ms, 640 * ms, 1000 * ms, 1000 * ms}, waits)
	require.Greater(t, good.position, int64(100))
	s.pass(time.Second)
	p, _ := s.plan()
	s.answer(p, parts{0: partWith(0, 1, 1), 1: partWith(good.position, 0, good.position)})
	p, _ = s.plan()
	require.Len(t, p.asks, 2)
	require.Equal(t, s.x.cfg.MaxWait, p.maxWait)
}

// TestR53_CutsIsolate: one partition's answer breaks the connection each time; the others get theirs.
func TestR53_CutsIsolate(t *testing.T) {
	s := newScript(t)
	bad, good := s.open(0, 0), s.open(1, 0)
	for range 1000 {
		s.pass(10 * time.Millisecond)
		p, asked := s.plan()
		switch {
		case len(asked) == 0:
		case asked[0] == 0 || len(asked) > 1:
			s.fail(p, io.ErrUnexpectedEOF)
		default:
			s.answer(p, parts{1: partWith(good.position, 1, good.position+1)})
			_, _, _ = good.pop()
		}
	}
	require.Greater(t, good.position, int64(100))
	require.Equal(t, int64(0), bad.position)
	require.NoError(t, bad.err, "a connection may come back")
}

func TestPlanLeavesOut(t *testing.T) {
	s := newScript(t)
	f, other := s.open(0, 0), s.open(1, 0)
	f.push(chunk{position: 0, next: 9, bytes: s.x.part()})
	p, asked := s.plan()
	require.Equal(t, []int32{1}, asked)
	require.Equal(t, shortWait, p.maxWait, "it may come back any moment")
	s.answer(p, parts{1: partWith(0, 0, 0)})
	_, _, _ = f.pop()
	p, asked = s.plan()
	require.Equal(t, []int32{1}, asked, "what was taken is in use")
	s.answer(p, parts{1: partWith(0, 0, 0)})
	_, _, _ = f.pop()
	p, asked = s.plan()
	require.Equal(t, []int32{0, 1}, asked, "the one that waited longest first")
	require.Equal(t, s.x.cfg.MaxWait, p.maxWait)
	s.answer(p, parts{0: partWith(9, 0, 9), 1: partWith(0, 0, 0)})
	s.x.seek(other, 3, s.now)
	p, _ = s.plan()
	require.Equal(t, shortWait, p.maxWait, "seeks come in swarms")

	twin := newFlow("t", 0, nil)
	s.x.add(twin, s.now)
	s.x.seek(twin, 4, s.now)
	p, asked = s.plan()
	require.Equal(t, []int32{0}, asked, "the twin goes into another fetch than its partition's")
	require.Equal(t, int64(4), p.asks[0].position)
}

// TestMetadataDue: stale ones at once but never without a wait between, all of them now and then.
func TestR53_MetadataDue(t *testing.T) {
	s := newScript(t)
	_, wait := s.x.metadataDue(s.now)
	require.Equal(t, forever, wait, "nothing is read")
	f := newFlow("t", 0, nil)
	s.x.add(f, s.now)
	names, _ := s.x.metadataDue(s.now)
	require.Equal(t, []string{"t"}, names)
	var waits []time.Duration
	for range 8 {
		s.x.metadata(nil, s.now) // it failed
		s.x.refreshed(s.now)
		names, wait = s.x.metadataDue(s.now)
		require.Empty(t, names)
		waits = append(waits, wait)
		s.pass(wait)
		names, _ = s.x.metadataDue(s.now)
		require.Equal(t, []string{"t"}, names)
	}
	require.Equal(t, 20*time.Millisecond, waits[0])
	require.Equal(t, time.Second, waits[7])
	s.lead(0)
	names, wait = s.x.metadataDue(s.now)
	require.Empty(t, names)
	require.Equal(t, s.x.cfg.MetadataInterval, wait)
	s.pass(wait)
	names, _ = s.x.metadataDue(s.now)
	require.Equal(t, []string{"t"}, names)
}

// TestMissingIsConfirmed: a broker that does not know a topic for a moment is not believed.
func TestMissingIsConfirmed(t *testing.T) {
	s := newScript(t)
	f := s.open(0, 5)
	gone := map[string]Topic{"t": {Name: "t", Err: &state.TopicMissingError{Topic: "t"}}}
	for range 10 {
		s.x.metadata(gone, s.now)
		s.pass(40 * time.Millisecond)
	}
	require.NoError(t, f.err)
	s.lead(0)
	for range 3 {
		s.x.metadata(gone, s.now)
		s.pass(200 * time.Millisecond)
	}
	require.NoError(t, f.err, "it was there between")
	s.x.metadata(gone, s.now)
	require.Equal(t, &state.TopicMissingError{Topic: "t"}, f.err)
}

// TestR11_AbortFilter follows Kafka's client: ids come back, lists are unordered, a marker ends its own producer's only.
func TestR11_AbortFilter(t *testing.T) {
	of := func(first, id int64, attributes int16, r kmsg.Record) []byte {
		return encodeBatch(kmsg.RecordBatch{FirstOffset: first, ProducerID: id, Attributes: attributes}, r)
	}
	data := func(first, id int64) []byte { return of(first, id, transactionalBit, kmsg.Record{}) }
	marker := func(first, id int64, commit byte) []byte {
		return of(first, id, transactionalBit|controlBit, kmsg.Record{Key: []byte{0, 0, 0, commit}, Value: make([]byte, 6)})
	}
	log := slices.Concat(data(0, 1), data(1, 2), data(2, 1), marker(3, 1, 0), data(4, 1), data(5, 2), marker(6, 2, 1),
		marker(7, 1, 1), data(8, 1), data(9, 2), marker(10, 1, 0), of(11, 1, 0, kmsg.Record{}), marker(12, 2, 1))
	p := &part{log: log, aborted: []abortedTxn{{producer: 1, first: 8}, {producer: 1, first: 0}}}
	offsets := func(r state.Records) (out []int64) {
		for _, rec := range r.Records {
			out = append(out, rec.Offset)
		}
		return out
	}
	got := new(unfolder).chunk(p, 0).records
	require.Equal(t, []int64{1, 4, 5, 9, 11}, offsets(got))
	require.Equal(t, int64(13), got.Present)
	got = new(unfolder).chunk(p, 5).records
	require.Equal(t, []int64{5, 9, 11}, offsets(got))
	require.Equal(t, int64(8), got.Present)
}

func TestUnpackTimes(t *testing.T) {
	head := kmsg.RecordBatch{FirstTimestamp: 1000, MaxTimestamp: 3_601_000}
	times := func() [2]int64 {
		r := new(unfolder).chunk(&part{log: encodeBatch(head, kmsg.Record{}, kmsg.Record{TimestampDelta64: 5})}, 0).records.Records
		return [2]int64{r[0].Timestamp, r[1].Timestamp}
	}
	require.Equal(t, [2]int64{1000, 1005}, times())
	head.Attributes = logAppendTimeBit
	require.Equal(t, [2]int64{3_601_000, 3_601_000}, times())
	head.Attributes, head.FirstTimestamp = 0, -1
	require.Equal(t, [2]int64{-1, -1}, times())
}

// TestStop: what ends the reader is every Cursor's error, also of one that is opened later.
func TestStop(t *testing.T) {
	s := newScript(t)
	f := s.open(0, 0)
	why := &VersionError{Addr: "a:1", Request: "Fetch", Need: 12, Has: 11}
	s.x.stop(why)
	for _, f := range []*flow{f, s.open(1, 5)} {
		_, _, err := f.pop()
		require.Equal(t, error(why), err)
		_, asked := s.plan()
		require.Empty(t, asked)
	}
}

// A partition that was left out for what it holds is asked for again when that is taken, also where it would not be left out any
// more by then, since another one has been closed: nobody else makes the loop look again.
func TestLeftOutUntilAnotherIsClosed(t *testing.T) {
	s := newScript(t)
	a, b := s.open(0, 0), s.open(1, 0)
	r := &Reader{cfg: s.x.cfg, fetcher: s.x, kicks: map[int32]chan struct{}{0: make(chan struct{}, 1)}, keeper: make(chan struct{}, 1)}
	c := &Cursor{reader: r, flow: a}
	s.plan()
	a.coming = 0 // answered
	a.push(chunk{position: 0, next: 1, bytes: s.x.part() * 13 / 16})
	_, asked := s.plan()
	require.Empty(t, asked)
	s.x.remove(b)

	_, ok, err := c.Poll()
	require.NoError(t, err)
	require.True(t, ok)
	require.Len(t, r.kicks[0], 1)
	<-r.kicks[0]
	_, asked = s.plan()
	require.Equal(t, []int32{0}, asked)
	_, _, err = c.Poll()
	require.NoError(t, err)
	require.Empty(t, r.kicks[0], "it was not left out")
}
