package state_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tarnstream/tarn/state"
	"github.com/tarnstream/tarn/state/statetest"
)

// turns counts what a restore's Admit is asked and what it gets back.
type turns struct {
	asked, done int
	refused     error
	given       time.Time // when the last was given back
}

func (tn *turns) admit(context.Context) (int, func(), error) {
	tn.asked++
	return 64 << 10, func() { tn.done, tn.given = tn.done+1, time.Now() }, tn.refused
}

// A rebuild has one turn, however often its log is reset under it, and gives it back however it ends. What needs no
// rebuild asks for none.
func TestTurn(t *testing.T) {
	inBubble("", t, func(t *testing.T, b *bench) {
		var tn turns
		b.o.Admit = tn.admit
		b.put(20, "k")
		calls := 0
		b.log.OnFetch(func(_ int64, rs state.Records, err error) (state.Records, error) {
			if calls++; calls == 2 {
				b.log.DeleteRecords(15) // out of range in the middle of the rebuild
			}
			require.Equal(t, 0, tn.done, "it is under way")
			return rs, err
		})
		b.log.MaxRecords = 5
		b.restore()
		require.Len(t, b.plans, 2)
		require.Equal(t, [2]int{1, 1}, [2]int{tn.asked, tn.done})

		b.log.OnFetch(nil)
		b.put(5, "tail")
		b.restore()
		require.Equal(t, [2]int{1, 1}, [2]int{tn.asked, tn.done}, "the tail was read into the generation there is")

		b.put(2, "x")
		b.log.DeleteRecords(b.log.End() - 1)
		tn.refused = errors.New("no room")
		_, err := state.Restore(t.Context(), b.s, b.log, b.o)
		require.ErrorIs(t, err, tn.refused)
		require.Equal(t, 1, tn.done, "there was nothing to give back")

		tn.refused = nil
		broken := errors.New("broken")
		b.log.OnFetch(func(position int64, rs state.Records, err error) (state.Records, error) {
			if tn.asked == 3 {
				return state.Records{}, broken
			}
			return rs, err
		})
		b.put(20, "y")
		_, err = state.Restore(t.Context(), b.s, b.log, b.o)
		require.ErrorIs(t, err, broken)
		require.Equal(t, [2]int{3, 2}, [2]int{tn.asked, tn.done})
	})
}

// awayLog is a log whose broker goes away at position 20, for a minute.
type awayLog struct {
	*statetest.FakeLog
	silent bool // it does not even tell bounds
	since  time.Time
}

func (l *awayLog) away() (time.Duration, bool) {
	d := time.Since(l.since)
	return d, !l.since.IsZero() && d < time.Minute
}

func (l *awayLog) Fetch(ctx context.Context, position int64) (state.Records, error) {
	if position == 20 && l.since.IsZero() {
		l.since = time.Now()
	}
	if _, away := l.away(); away {
		time.Sleep(500 * time.Millisecond)
		return state.Records{Position: position, Next: position, FirstEpoch: -1, LastEpoch: -1, LogStart: -1, Stable: -1, End: -1}, nil
	}
	return l.FakeLog.Fetch(ctx, position)
}

func (l *awayLog) Bounds(ctx context.Context) (state.Bounds, error) {
	if d, away := l.away(); away && l.silent {
		select {
		case <-time.After(time.Minute - d):
		case <-ctx.Done():
			return state.Bounds{}, ctx.Err()
		}
	}
	return l.FakeLog.Bounds(ctx)
}

// A rebuild that nothing comes for, or whose broker does not answer, gives its turn back after a few seconds, and goes on
// with another one.
func TestTurnIsGivenBackWhileNothingComes(t *testing.T) {
	for name, silent := range map[string]bool{"no records": false, "no answer": true} {
		inBubble(name, t, func(t *testing.T, b *bench) {
			var tn turns
			b.put(40, "k")
			b.log.MaxRecords = 5
			away := &awayLog{FakeLog: b.log, silent: silent}
			var first time.Time
			b.o.Admit = func(ctx context.Context) (int, func(), error) {
				if tn.done == 1 {
					first = tn.given
				}
				return tn.admit(ctx)
			}
			out, err := state.Restore(t.Context(), b.s, away, b.o)
			require.NoError(t, err)
			require.WithinDuration(t, away.since, first, 12*time.Second)
			b.requireEqual()
			require.Equal(t, int64(40), out.Records)
			require.Equal(t, [2]int{2, 2}, [2]int{tn.asked, tn.done})
		})
	}
}
