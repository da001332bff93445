package kafka

import (
	"bufio"
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/tarnstream/tarn/state"
)

// fill is what a broker answers to a plan when there is more than enough of every partition: batches of records with values
// of size bytes, up to what was asked for, at least one record of the first.
func (s *script) fill(p fetchPlan, size int) parts {
	encoded := size + 8
	out, left := parts{}, int(p.bytes)
	for i, k := range p.asks {
		n := min(int(k.bytes), left) / encoded
		if i == 0 {
			n = max(n, 1)
		}
		left -= n * encoded
		b := partWith(k.position, 0, 1<<40)
		if n > 0 {
			b.log = encodeBatch(kmsg.RecordBatch{FirstOffset: k.position}, valuesOf(n, size)...)
		}
		out[k.flow.partition] = b
	}
	return out
}

// Whatever the size of the records and whoever takes them when: the reader holds no more than its bytes, and every partition
// goes on.
func TestHoldsItsBytes(t *testing.T) {
	const budget = 1 << 20
	for name, size := range map[string]int{"tiny": 2, "small": 100, "large": 10_000} {
		t.Run(name, func(t *testing.T) {
			seed := uint64(time.Now().UnixNano())
			t.Logf("seed %d", seed)
			draw := rand.New(rand.NewPCG(seed, 0))
			s := newScript(t)
			s.x.cfg.Bytes = budget
			var flows []*flow
			for p := range int32(9) {
				flows = append(flows, s.open(p, 0))
			}
			// a part may be passed by a record, and by the first answer, which cannot know how much its bytes unfold to
			slack := int64(9 * 2 * (size + 200))
			if size == 2 {
				slack += budget / 4
			}
			for range 3000 {
				s.pass(time.Millisecond)
				p, asked := s.plan()
				require.LessOrEqual(t, s.x.held()+s.x.flying, budget+slack)
				if len(asked) > 0 {
					s.answer(p, s.fill(p, size))
				}
				require.LessOrEqual(t, s.x.held(), budget/2+slack)
				if f := flows[draw.IntN(len(flows))]; f.partition != 0 { // nobody takes what partition 0 brings
					_, _, err := f.pop()
					require.NoError(t, err)
				}
			}
			require.Zero(t, s.x.flying)
			for _, f := range flows[1:] {
				require.Greater(t, f.position, flows[0].position)
			}
			require.Positive(t, flows[0].position)
		})
	}
}

// whole is what a broker answers to a plan when there is more than enough of every partition, in batches of n records with values of
// 100 bytes: of the first one batch at least, of the others as many as what was asked for has room for (KIP-74).
func (s *script) whole(p fetchPlan, n func() int) (out parts, batches int) {
	out = parts{}
	left := int(p.bytes)
	for _, k := range p.asks {
		b, at := partWith(k.position, 0, 1<<40), k.position
		for room := min(int(k.bytes), left); ; {
			log := encodeBatch(kmsg.RecordBatch{FirstOffset: at}, valuesOf(n(), 100)...)
			if len(log) > room && batches > 0 {
				break
			}
			b.log = append(b.log, log...)
			batches++
			room, left = room-len(log), left-len(log)
			at = readHead(log).last + 1
		}
		out[k.flow.partition] = b
	}
	return out, batches
}

// coming is what the answers under way may bring.
func (s *script) coming() (sum int64) {
	for _, f := range s.x.flows {
		sum += f.coming
	}
	return sum
}

// Batches that are larger than a partition's part: a request brings as many of them as there is memory for, not the first one's alone.
func TestBatchesLargerThanParts(t *testing.T) {
	const budget, partitions = 1 << 20, 9 // a part is 57 KiB: a batch's records take more
	for name, spread := range map[string]int{"equal": 0, "unequal": 100} {
		t.Run(name, func(t *testing.T) {
			draw := rand.New(rand.NewPCG(1, 0))
			size := func() int { return 300 + draw.IntN(spread+1) } // 33 KiB and more
			s := newScript(t)
			s.x.cfg.Bytes = budget
			var flows []*flow
			for p := range int32(partitions) {
				flows = append(flows, s.open(p, 0))
			}
			requests, batches := 0, 0
			for i := range 400 {
				taken := i%100 >= 50 // for a while nobody takes anything, and there is no room
				s.pass(time.Millisecond)
				empty := s.x.held() == 0
				p, asked := s.plan()
				if empty {
					require.LessOrEqual(t, s.coming(), int64(budget/2))
				}
				if len(asked) > 0 {
					answer, n := s.whole(p, size)
					s.answer(p, answer)
					if taken {
						requests, batches = requests+1, batches+n
					}
				}
				for _, f := range flows {
					for ok := taken; ok; {
						var err error
						_, ok, err = f.pop()
						require.NoError(t, err)
					}
				}
			}
			t.Logf("%d requests, %d batches", requests, batches)
			require.Greater(t, batches, 3*requests)
			for _, f := range flows {
				require.Greater(t, f.position, int64(300*requests/4), "every partition goes on")
			}
		})
	}
}

// A batch that is as large as what is asked for at most, or somewhat less, is asked for whole; a larger one cannot be.
func TestSaw_LargestBatch(t *testing.T) {
	f := newFlow("t", 0, nil)
	f.position, f.seen.stable = 0, 10
	for _, size := range []int{mostPartition, mostPartition - mostPartition/20} {
		f.saw(size)
		require.EqualValues(t, mostPartition, f.batch)
		require.True(t, f.tooFew(mostPartition-1))
	}
	f.saw(mostPartition + 1)
	require.False(t, f.tooFew(mostPartition-1))
}

// An empty answer to a partition whose batch is larger than what was asked for teaches its size; one that others of another topic
// have filled before it, as a request has them, teaches nothing.
func TestOutgrown(t *testing.T) {
	s := newScript(t)
	s.x.cfg.Bytes = 1 << 20
	order := func(p fetchPlan) (of []partOf) {
		for _, k := range p.asks {
			of = append(of, k.flow.of())
		}
		return of
	}
	first, second := s.open(0, 0), s.open(1, 0)
	other := newFlow("u", 0, nil)
	s.x.add(other, s.now)
	s.x.metadata(map[string]Topic{"u": {Name: "u", Partitions: []Partition{{Leader: 0, Epoch: 3}}}}, s.now)
	s.x.seek(other, 0, s.now)
	first.lastAsked, other.lastAsked, second.lastAsked, s.x.asked = 1, 2, 3, 3

	p, _ := s.plan()
	require.Equal(t, []partOf{first.of(), second.of(), other.of()}, order(p), "the oldest first, and its topic behind it")
	filled := partWith(0, 0, 1000)
	filled.log = encodeBatch(kmsg.RecordBatch{}, valuesOf(1, int(p.bytes))...)
	s.x.answer(p, fetchAnswer{sent: true, res: &fetched{parts: map[partOf]*part{first.of(): filled, second.of(): partWith(0, 0, 1000), other.of(): partWith(0, 0, 1000)}}}, s.now)
	require.Equal(t, [2]int32{}, [2]int32{second.batch, other.batch})

	p, _ = s.plan()
	require.Equal(t, []partOf{other.of(), second.of(), first.of()}, order(p))
	asked := p.asks[1].bytes
	s.x.answer(p, fetchAnswer{sent: true, res: &fetched{parts: map[partOf]*part{first.of(): partWith(1, 0, 1000), second.of(): partWith(0, 0, 1000), other.of(): partWith(0, 1, 1000)}}}, s.now)
	require.Equal(t, asked+asked/2, second.batch)

	p, _ = s.plan()
	require.Equal(t, second.of(), order(p)[0])
	require.Equal(t, asked+asked/2, p.asks[0].bytes)
}

// What one broker has been asked for leaves room for batches of the others.
func TestBatchesOfSeveralBrokers(t *testing.T) {
	const budget = 4 << 20
	s := newScript(t)
	s.x.cfg.Bytes = budget
	var flows []*flow
	for p := range int32(9) {
		flows = append(flows, s.open(p, 0))
	}
	halves := Topic{Name: "t", ID: state.TopicID{s.id}, Partitions: make([]Partition, 9)}
	for p := range halves.Partitions {
		halves.Partitions[p] = Partition{Leader: int32(p % 2), Epoch: 4}
	}
	s.x.metadata(map[string]Topic{"t": halves}, s.now)
	size := func() int { return 300 }
	for range 9 {
		for node := range int32(2) {
			p := s.x.plan(node, s.now)
			answer, _ := s.whole(p, size)
			s.answer(p, answer)
		}
		for _, f := range flows {
			for ok := true; ok; {
				_, ok, _ = f.pop()
			}
		}
		s.pass(time.Second)
	}
	for _, f := range flows {
		f.swell = 12 // as if they were compressed: there is room for few
	}
	for node := range int32(2) {
		batches := 0
		for _, k := range s.x.plan(node, s.now).asks {
			if k.bytes >= k.flow.batch {
				batches++
			}
		}
		require.Positive(t, batches, "of broker %d", node)
		require.LessOrEqual(t, s.coming(), int64(budget/2))
	}
}

// TestR67_FilledAnswer: partitions that others left no room for come first in the next answer, and need not be asked alone, whether
// the broker has them without records or leaves them out.
func TestR67_FilledAnswer(t *testing.T) {
	for _, without := range []bool{false, true} {
		s := newScript(t)
		flows := []*flow{s.open(0, 0), s.open(1, 0), s.open(2, 0)}
		for range 9 {
			p, asked := s.plan()
			require.Len(t, asked, 3)
			answer := parts{}
			for i, k := range p.asks {
				switch {
				case i == 0:
					answer[k.flow.partition] = partWith(k.position, 5, 1000)
				case !without:
					answer[k.flow.partition] = partWith(k.position, 0, 1000)
				}
			}
			s.answer(p, answer)
		}
		for _, f := range flows {
			require.Equal(t, int64(15), f.position)
		}
	}
}

// What a chunk refers to is what it counts.
func TestChunkCountsItsBytes(t *testing.T) {
	log := encodeBatch(kmsg.RecordBatch{}, kmsg.Record{Key: []byte("key"), Value: []byte("value"), Headers: []kmsg.Header{{Key: "name"}}},
		kmsg.Record{Value: []byte{}})
	c := new(unfolder).chunk(&part{log: log}, 0)
	r := c.records.Records
	require.Equal(t, "key", string(r[0].Key))
	require.Equal(t, "value", string(r[0].Value))
	require.Equal(t, "name", string(r[0].Headers[0].Key))
	require.Nil(t, r[0].Headers[0].Value, "null stays null")
	require.Nil(t, r[1].Key)
	require.NotNil(t, r[1].Value, "and empty empty")
	require.Equal(t, 2*recordBytes+256*headerBytes+int64(len(log)), c.bytes)
	require.Equal(t, [2]int{3, 5}, [2]int{cap(r[0].Key), cap(r[0].Value)}, "to append to one leaves the others")
	require.Zero(t, new(unfolder).chunk(&part{log: log}, 2).bytes, "nothing is kept of what was read before")
}

// A list that was used before takes the place of one that is nearly as long, and all of it is counted.
func TestSpare(t *testing.T) {
	var p spare[state.Record]
	require.Empty(t, p.take(0))
	p.put(make([]state.Record, 5, 1000))
	for range 100 {
		require.LessOrEqual(t, cap(p.take(10)), 20)
	}
	u := new(unfolder)
	u.lists.put(make([]state.Record, 5, 110))
	log := encodeBatch(kmsg.RecordBatch{}, valuesOf(100, 0)...)
	c := u.chunk(&part{log: log}, 50)
	require.Len(t, c.records.Records, 50)
	require.EqualValues(t, int64(cap(c.records.Records))*recordBytes+int64(len(log)), c.bytes)
}

// What was given back is read into again: who refers to it all the same would see that.
func TestReuse(t *testing.T) {
	logs := new(spare[byte])
	data := answerOf()
	for range 100 {
		f, err := readFetched(&answerReader{from: bufio.NewReader(bytes.NewReader(data)), left: len(data)}, logs)
		require.NoError(t, err)
		for of, p := range f.parts {
			if of.partition > 0 {
				require.Equal(t, fmt.Sprintf("log of %s/%d", of.topic, of.partition), string(p.log))
				logs.put(p.log)
			}
		}
	}
}
