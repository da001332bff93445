package processor

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tarnstream/tarn/codec"
	"github.com/tarnstream/tarn/internal/scope"
	"github.com/tarnstream/tarn/state"
	"github.com/tarnstream/tarn/topology"
)

func newStore(t *testing.T) state.Store {
	s, err := state.Open(t.TempDir(), state.Options{})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return s
}

func checkpointOf(t *testing.T, s state.Store) state.Checkpoint {
	cp, ok := s.Checkpoint()
	require.True(t, ok)
	return cp
}

// A store that is closed under a reader is none of the reader's errors.
func TestR55_ReadOfAStoreThatIsClosed(t *testing.T) {
	table := topology.NewTable("table", codec.Int64)
	g, err := topology.Define("g", topology.Persist(table), topology.Input(topology.NewStream("in", codec.Int64), func(*topology.Context, int64) error { return nil }))
	require.NoError(t, err)
	env := newEnv(t)
	env.group, env.taskCount = g.Description(), 1
	s := newStore(t)
	runningTask(env, 0, newCell("table", 0, s))
	p := &Processor{group: g, running: env.tasks}
	_, ok, err := Get(p, table, "a")
	require.NoError(t, err)
	require.False(t, ok)
	require.NoError(t, s.Close())
	_, _, err = Get(p, table, "a")
	require.ErrorIs(t, err, ErrNotReady)
}

// A log start above the position is of records that a commit under way has written: their rows are not there to be swept yet.
func TestR59_SweepWaitsForACommitUnderWay(t *testing.T) {
	s := newStore(t)
	c := newCell("table", 0, s)
	c.promote([]scope.Change{placed("a", 0), placed("b", 1)}, nil, time.Now())
	third := []scope.Change{placed("a", 2)}
	c.seal(third)
	risen, _ := c.heard(state.Bounds{Start: 3, End: 3}, time.Now(), 2)
	require.True(t, risen)
	rows, err := c.sweep(t.Context(), 3)
	require.NoError(t, err)
	require.Zero(t, rows)
	c.promote(third, nil, time.Now())
	risen, _ = c.heard(state.Bounds{Start: 3, End: 3}, time.Now(), 3)
	require.True(t, risen, "it is heard of again")
	rows, err = c.sweep(t.Context(), 3)
	require.NoError(t, err)
	require.Equal(t, 2, rows, "what was in memory only is on disk first")
	risen, _ = c.heard(state.Bounds{Start: 3, End: 3}, time.Now(), 3)
	require.False(t, risen)
	c.promote([]scope.Change{placed("c", 3)}, nil, time.Now())
	require.NoError(t, flushOne(t, c))
	require.Equal(t, int64(3), checkpointOf(t, s).LogStart, "the next flush does not take it back")
}

// The retention on disk is the smallest that was seen since the table was known to be current.
func TestR35_RetentionChangesUnderAnOwner(t *testing.T) {
	now := time.UnixMilli(1e12)
	c := newCell("table", 0, newMemory())
	c.check.DeleteRetention = 24 * time.Hour
	c.promote([]scope.Change{placed("a", 0)}, nil, now)
	require.NoError(t, flushOne(t, c))
	for _, step := range []struct {
		end             int64
		retention, want time.Duration
		dirty           bool
	}{
		{2, time.Hour, time.Hour, true}, // there is more in the log than was applied
		{2, 48 * time.Hour, time.Hour, false},
		{1, 48 * time.Hour, 48 * time.Hour, true}, // known to be current under it
		{1, 48 * time.Hour, 48 * time.Hour, false},
		{1, -1, -1, true},
	} {
		now = now.Add(tendEvery)
		c.heard(state.Bounds{End: step.end, DeleteRetention: step.retention}, now, 1)
		require.Equal(t, step.want, c.check.DeleteRetention)
		require.Equal(t, step.dirty, c.dirty())
		require.NoError(t, flushOne(t, c))
	}
}

// The time on disk gets no older than restampAfter, and is not written more often.
func TestCell_KnownCurrentWhileIdle(t *testing.T) {
	now := time.UnixMilli(1e12)
	c := newCell("table", 0, newMemory())
	c.promote([]scope.Change{placed("a", 0)}, nil, now)
	require.NoError(t, flushOne(t, c))
	wrote := 0
	for range 8 {
		now = now.Add(tendEvery)
		position, due := c.due(now)
		require.True(t, due)
		c.heard(state.Bounds{End: 1}, now, position)
		_, due = c.due(now.Add(time.Second))
		require.False(t, due)
		require.LessOrEqual(t, now.Sub(c.check.KnownCurrent), tendEvery)
		if c.dirty() {
			wrote++
			require.NoError(t, flushOne(t, c))
		}
	}
	require.Equal(t, 4, wrote)
	c.heard(state.Bounds{End: state.UnknownOffset}, now.Add(time.Hour), 1)
	require.Equal(t, now, c.check.KnownCurrent, "an end that is not known is none")
	c.heard(state.Bounds{End: 1}, now.Add(-time.Hour), 1)
	require.Equal(t, now.Add(-time.Hour), c.check.KnownCurrent, "a time after the clock is none")
}

// The epoch that is read back belongs to what was frozen; what was committed meanwhile has none yet.
func TestR05_EpochOfAFlush(t *testing.T) {
	s := newStore(t)
	c := newCell("table", 0, s)
	var asked []int64
	meanwhile := func() {}
	c.epochAt = func(_ context.Context, offset int64, _ tail) (int32, bool) {
		asked = append(asked, offset)
		meanwhile()
		return 7, true
	}
	c.promote([]scope.Change{placed("a", 0)}, nil, time.Now())
	require.NoError(t, flushOne(t, c))
	require.Equal(t, int32(7), checkpointOf(t, s).LastAppliedEpoch)
	require.NoError(t, flushOne(t, c))
	require.Equal(t, []int64{0}, asked, "it is known")
	c.promote([]scope.Change{placed("b", 1)}, nil, time.Now())
	meanwhile = func() { c.promote([]scope.Change{placed("c", 2)}, nil, time.Now()) }
	require.NoError(t, flushOne(t, c))
	cp := checkpointOf(t, s)
	require.Equal(t, []any{int64(1), int32(7)}, []any{cp.LastApplied, cp.LastAppliedEpoch})
	require.Equal(t, []any{int64(2), state.UnknownEpoch}, []any{c.check.LastApplied, c.check.LastAppliedEpoch})
}

// The log's end above an idle table's position is another writer's, unless the table was written to while it was asked for.
func TestR45_AnotherWriterUnderAnIdleTable(t *testing.T) {
	began := time.Now()
	for name, tt := range map[string]struct {
		end       int64
		meanwhile func(c *cell)
		other     bool
		current   bool
	}{
		"as it was":          {end: 1, current: true},
		"unknown":            {end: state.UnknownOffset},
		"longer":             {end: 2, other: true},
		"being written to":   {end: 2, meanwhile: func(c *cell) { c.seal([]scope.Change{placed("b", 0)}) }},
		"written to":         {end: 2, meanwhile: func(c *cell) { c.promote([]scope.Change{placed("b", 1)}, nil, began) }, current: true},
		"written to, behind": {end: 3, meanwhile: func(c *cell) { c.promote([]scope.Change{placed("b", 1)}, nil, began) }},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCell("table", 0, newMemory())
			c.promote([]scope.Change{placed("a", 0)}, nil, began)
			asked := began.Add(2 * restampAfter)
			position, _ := c.due(asked)
			if tt.meanwhile != nil {
				tt.meanwhile(c)
			}
			_, outrun := c.heard(state.Bounds{End: tt.end, Stable: tt.end}, asked, position)
			require.Equal(t, tt.other, outrun != nil)
			require.Equal(t, tt.current, c.check.KnownCurrent.Equal(asked))
		})
	}
}

// A position that has passed what was another writer's, while a flush reads an epoch back, does not go back with that.
func TestFlush_ThePositionMovesOnMeanwhile(t *testing.T) {
	c := newCell("table", 0, newStore(t))
	c.promote([]scope.Change{placed("a", 0)}, nil, time.Now())
	c.epochAt = func(context.Context, int64, tail) (int32, bool) {
		c.judged(&stretch{to: 3}, &verdict{end: state.UnknownOffset})
		return 7, true
	}
	require.NoError(t, flushOne(t, c))
	require.Equal(t, int64(3), c.position())
}
