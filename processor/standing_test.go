package processor

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tarnstream/tarn/internal/scope"
	"github.com/tarnstream/tarn/state"
)

const unknown = state.UnknownOffset

var (
	thisTopic = state.TopicID{1}
	oldTopic  = state.TopicID{2}
)

// Each row is one place in a log [10, 20) and what each policy makes of it: careful, earliest, latest, checkpoint, fail.
func TestR37_R57_R58_WhereAnInputGoesOn(t *testing.T) {
	at := func(p int64) mark { return mark{thisTopic, p} }
	none := mark{position: unknown}
	for name, c := range map[string]struct {
		s    standing
		next [5]int64
		lost [5][2]int64 // the offsets that go unread
		says string
	}{
		"in the log":   {s: standing{committed: at(15), counted: none}, next: [5]int64{15, 15, 15, 15, 15}},
		"at its start": {s: standing{committed: at(10), counted: none}, next: [5]int64{10, 10, 10, 10, 10}},
		"at its end":   {s: standing{committed: at(20), counted: at(20)}, next: [5]int64{20, 20, 20, 20, 20}},
		"in the log, the topic not known": {s: standing{committed: mark{position: 15}, counted: mark{oldTopic, 19}},
			next: [5]int64{15, 15, 15, 15, 15}},
		"set back by an operator": {s: standing{committed: mark{position: 12}, counted: at(19)}, next: [5]int64{12, 12, 12, 12, 12}},
		"never read":              {s: standing{committed: none, counted: none, begins: true}, next: [5]int64{10, 10, 10, 10, 10}},
		"below the start": {s: standing{committed: at(4), counted: none}, next: [5]int64{10, 10, 20, 10, unknown},
			lost: [5][2]int64{{4, 10}, {4, 10}, {4, 20}, {4, 10}, {4, 10}}, says: "below the log start"},
		"below the start, the tables no newer": {s: standing{committed: at(4), counted: at(3)}, next: [5]int64{10, 10, 20, 10, unknown},
			lost: [5][2]int64{{4, 10}, {4, 10}, {4, 20}, {4, 10}, {4, 10}}, says: "below the log start"},
		"below the start, the tables newer": {s: standing{committed: at(4), counted: at(8)}, next: [5]int64{10, 10, 20, 10, unknown},
			lost: [5][2]int64{{8, 10}, {8, 10}, {8, 20}, {8, 10}, {8, 10}}, says: "below the log start"},
		"below the start, the tables above it": {s: standing{committed: at(4), counted: at(14)}, next: [5]int64{unknown, 10, 20, 14, unknown},
			lost: [5][2]int64{{10, 10}, {10, 10}, {14, 20}, {14, 14}, {10, 10}}, says: "below the log start"},
		"beyond the end": {s: standing{committed: at(30), counted: none}, next: [5]int64{unknown, 10, 20, unknown, unknown},
			lost: [5][2]int64{{10, 10}, {10, 10}, {20, 20}, {10, 10}, {10, 10}}, says: "beyond the log end"},
		"beyond the end, the tables too": {s: standing{committed: at(30), counted: at(30)}, next: [5]int64{unknown, 10, 20, unknown, unknown},
			lost: [5][2]int64{{10, 10}, {10, 10}, {20, 20}, {10, 10}, {10, 10}}, says: "beyond the log end"},
		"no offset": {s: standing{committed: none, counted: none}, next: [5]int64{unknown, 10, 20, unknown, unknown},
			lost: [5][2]int64{{10, 10}, {10, 10}, {20, 20}, {10, 10}, {10, 10}}, says: "no committed offset"},
		"no offset, the tables know": {s: standing{committed: none, counted: at(14)}, next: [5]int64{unknown, 10, 20, 14, unknown},
			lost: [5][2]int64{{10, 10}, {10, 10}, {14, 20}, {14, 14}, {10, 10}}, says: "no committed offset"},
		"no offset, the tables below the start": {s: standing{committed: none, counted: at(7)}, next: [5]int64{unknown, 10, 20, 10, unknown},
			lost: [5][2]int64{{7, 10}, {7, 10}, {7, 20}, {7, 10}, {7, 10}}, says: "no committed offset"},
		"another topic": {s: standing{committed: mark{oldTopic, 15}, counted: mark{oldTopic, 15}}, next: [5]int64{10, 10, 20, 10, unknown},
			lost: [5][2]int64{{10, 10}, {10, 10}, {10, 20}, {10, 10}, {10, 10}}, says: "deleted and created again"},
		"another topic, and the offset went with it": {s: standing{committed: none, counted: mark{oldTopic, 15}}, next: [5]int64{10, 10, 20, 10, unknown},
			lost: [5][2]int64{{10, 10}, {10, 10}, {10, 20}, {10, 10}, {10, 10}}, says: "deleted and created again"},
	} {
		t.Run(name, func(t *testing.T) {
			b := state.Bounds{Start: 10, End: 20, TopicID: thisTopic}
			for i, lost := range []scope.Lost{scope.LostCareful, scope.LostEarliest, scope.LostLatest, scope.LostCheckpoint, scope.LostFail} {
				got := c.s.decide(b, scope.BeginEarliest, lost)
				require.Equal(t, c.next[i], got.next, "policy %d", lost)
				require.Equal(t, c.says != "", got.loss != nil)
				if got.loss == nil {
					continue
				}
				require.Contains(t, got.loss.Cause, c.says)
				require.Equal(t, got.next, got.loss.Next)
				require.Equal(t, c.lost[i], [2]int64{got.loss.From, got.loss.To}, "policy %d", lost)
			}
		})
	}
}

// Where there is nothing to be read, nothing can count twice: an operator is not asked.
func TestR57_AnEmptyInputIsNoMatterForAnOperator(t *testing.T) {
	b := state.Bounds{Start: 10, End: 10, TopicID: thisTopic}
	for _, at := range []int64{unknown, 4, 30} {
		got := standing{committed: mark{thisTopic, at}, counted: mark{position: unknown}}.decide(b, scope.BeginEarliest, scope.LostCareful)
		require.EqualValues(t, 10, got.next)
		require.NotNil(t, got.loss)
	}
}

func TestStanding_Begins(t *testing.T) {
	s := standing{committed: mark{position: unknown}, counted: mark{position: unknown}, begins: true}
	b := state.Bounds{Start: 10, End: 20}
	require.Equal(t, course{next: 20}, s.decide(b, scope.BeginLatest, scope.LostFail))
	require.Equal(t, course{next: 10}, s.decide(b, scope.BeginEarliest, scope.LostFail))
}

// Whatever is known, reading goes on within the log or not at all, and what is said to be unread lies before it.
func TestStanding_StaysWithinTheLog(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	some := func() mark {
		return mark{[]state.TopicID{{}, thisTopic, oldTopic}[r.IntN(3)], r.Int64N(13) - 1}
	}
	for range 100_000 {
		start := r.Int64N(8)
		b := state.Bounds{Start: start, End: start + r.Int64N(4), TopicID: thisTopic}
		s := standing{committed: some(), counted: some(), begins: r.IntN(2) == 0}
		lost := scope.Lost(r.IntN(5)) + scope.LostCareful
		got := s.decide(b, scope.BeginEarliest, lost)
		if got.next == unknown {
			require.NotNil(t, got.loss, "%+v %+v", s, b)
			continue
		}
		require.True(t, b.Start <= got.next && got.next <= b.End, "%+v %+v: %d", s, b, got.next)
		if e := got.loss; e != nil {
			require.True(t, e.From <= e.To && e.To <= got.next, "%+v %+v: %+v", s, b, e)
			require.False(t, lost == scope.LostFail, "%+v %+v", s, b)
		}
	}
}
