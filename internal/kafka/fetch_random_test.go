package kafka

import (
	"io"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/IBM/sarama"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// reading is what a test believes of a flow, without asking it.
type reading struct {
	f         *flow
	seeks     byte  // how many
	turn      int   // goes up with each seek and move: answers of an older one are void
	delivered int64 // next offset to be polled
	received  int64 // next offset to be asked for
	asked     bool  // under way in this turn
	refused   bool  // an error has come since the last seek
}

// randomReader plays a fetcher whose answers come late and in any order, under seeks, moves and topics that are made again.
type randomReader struct {
	*script
	rng   *rand.Rand
	all   []*reading
	under []randomAsk
	seen  map[string]int
}

// randomAsk is a plan under way, with what its partitions were told to read at the time.
type randomAsk struct {
	plan  fetchPlan
	turns []int
	seeks []byte
}

// Whatever happens in whatever order: no partition is asked for between an error and the next seek, none twice at a time,
// none elsewhere than where it stands; and what is polled are the records from the last seek on, each once and in order,
// none of what was asked for before it.
func TestR02_R50_R51_RandomReader(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 1))
	seen := map[string]int{}
	for range 200 {
		s := &randomReader{script: newScript(t), rng: rng, seen: seen}
		for p := range int32(3) {
			s.all = append(s.all, &reading{f: s.open(p, 0)})
		}
		for range 300 {
			s.pass(time.Duration(rng.IntN(300)) * time.Millisecond)
			s.step()
		}
	}
	t.Log(seen)
	for _, what := range []string{"late", "polled", "refused", "asked", "made again"} {
		require.NotZero(t, seen[what], what)
	}
}

func (s *randomReader) step() {
	switch r := s.all[s.rng.IntN(len(s.all))]; s.rng.IntN(16) {
	case 0:
		at := s.rng.Int64N(1000)
		s.x.seek(r.f, at, s.now)
		*r = reading{f: r.f, seeks: r.seeks + 1, turn: r.turn + 1, delivered: at, received: at}
		s.settle() // the topic may have been made again since the last one
	case 1:
		s.move(1)
	case 2, 3:
		s.move(0)
	case 4:
		if s.rng.IntN(10) == 0 {
			s.id++
			s.lead(0)
			s.settle()
			s.seen["made again"]++
		}
	case 5, 6, 7, 8:
		s.ask()
	case 9, 10, 11, 12:
		s.answerOne()
	default:
		s.poll(r)
	}
}

// move gives all partitions a leader: answers of the one before are void.
func (s *randomReader) move(node int32) {
	for _, r := range s.all {
		if r.f.leader != node {
			r.asked = false
			r.turn++
		}
	}
	s.lead(node)
	s.settle()
}

// settle takes note of the flows that metadata has ended.
func (s *randomReader) settle() {
	for _, r := range s.all {
		r.refused = r.refused || r.f.err != nil
	}
}

func (s *randomReader) ask() {
	for _, r := range s.all {
		require.True(s.t, r.asked || !r.f.asking(), "what is promised is under way")
	}
	p := s.x.plan(0, s.now)
	if len(p.asks) == 0 {
		return
	}
	a := randomAsk{plan: p}
	for _, k := range p.asks {
		r := s.all[k.flow.partition]
		require.False(s.t, r.refused, "asked for between an error and the next seek")
		require.False(s.t, r.asked, "asked for twice at a time")
		require.Equal(s.t, r.received, k.position)
		r.asked = true
		a.seeks, a.turns = append(a.seeks, r.seeks), append(a.turns, r.turn)
		s.seen["asked"]++
	}
	s.under = append(s.under, a)
}

// answerOne answers one of the plans under way, whichever.
func (s *randomReader) answerOne() {
	if len(s.under) == 0 {
		return
	}
	i := s.rng.IntN(len(s.under))
	a := s.under[i]
	s.under = append(s.under[:i], s.under[i+1:]...)
	if s.rng.IntN(10) == 0 {
		s.fail(a.plan, []error{io.ErrUnexpectedEOF, errDamaged}[s.rng.IntN(2)])
		for i, k := range a.plan.asks {
			s.answered(s.all[k.flow.partition], a.turns[i], 0)
		}
		return
	}
	b, came := parts{}, make([]int64, len(a.plan.asks))
	for i, k := range a.plan.asks {
		came[i] = s.fill(b, k, a.seeks[i])
	}
	s.answer(a.plan, b)
	for i, k := range a.plan.asks {
		s.answered(s.all[k.flow.partition], a.turns[i], came[i])
	}
}

// fill puts an answer to k into b, and tells how many records it has, or outOfRange.
func (s *randomReader) fill(b parts, k fetchAsk, tag byte) int64 {
	switch s.rng.IntN(12) {
	case 0:
		b[k.flow.partition] = refusal(sarama.ErrOffsetOutOfRange)
		return outOfRange
	case 1:
		b[k.flow.partition] = refusal(sarama.ErrNotLeaderForPartition)
		return 0
	case 2:
		return 0
	}
	n := s.rng.IntN(5)
	of := partWith(k.position, 0, k.position+int64(n))
	if n > 0 {
		of.log = encodeBatch(kmsg.RecordBatch{FirstOffset: k.position}, slices.Repeat([]kmsg.Record{{Value: []byte{tag}}}, n)...)
	}
	b[k.flow.partition] = of
	return int64(n)
}

const outOfRange = -1

// answered believes of an answer what it must do.
func (s *randomReader) answered(r *reading, turn int, came int64) {
	if r.turn != turn {
		s.seen["late"]++
		return
	}
	r.asked = false
	switch {
	case came == outOfRange:
		r.refused = true
		s.seen["refused"]++
	default:
		r.received += came
	}
	r.refused = r.refused || r.f.err != nil // damaged for good
}

func (s *randomReader) poll(r *reading) {
	c, ok, err := r.f.pop()
	if err != nil {
		require.True(s.t, r.refused)
		return
	}
	if !ok {
		return
	}
	s.seen["polled"]++
	require.Equal(s.t, r.delivered, c.position, "nothing is passed over, and nothing comes twice")
	at := c.position
	for _, rec := range c.records.Records {
		require.Equal(s.t, []byte{r.seeks}, rec.Value, "it was asked for before the last seek")
		require.Equal(s.t, at, rec.Offset)
		at = after(at)
	}
	r.delivered = c.next
}
