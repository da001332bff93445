package processor

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tarnstream/tarn/internal/bubbletest"
	"github.com/tarnstream/tarn/observe"
	"github.com/tarnstream/tarn/state"
)

// whole is a store that shows a log up to 10.
type whole struct{ state.Store }

func (whole) Checkpoint() (state.Checkpoint, bool) { return state.Checkpoint{Position: 10}, true }
func (whole) Stale() (string, bool)                { return "", false }

// A rebuilt store shows the log a moment before reads are told that it is current: Sync is not over before that.
func TestSync_WaitsUntilReadsAreTold(t *testing.T) {
	bubbletest.Run(t, func(t *testing.T) {
		p := newPart(observe.Place{}, whole{}, nil)
		p.ready()
		p.setDoubt("the log was reset")
		began := time.Now()
		time.AfterFunc(time.Second, func() { p.ready() })
		require.NoError(t, p.reached(t.Context(), 10))
		require.GreaterOrEqual(t, time.Since(began), time.Second)

		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		require.Error(t, p.reached(ctx, 11))
	})
}

// telling is a log with one answer.
type telling struct {
	state.Log
	end    int64
	bounds state.Bounds
}

func (l *telling) Bounds(context.Context) (state.Bounds, error) { return l.bounds, nil }

func (l *telling) Fetch(_ context.Context, position int64) (state.Records, error) {
	return state.Records{Position: position, Next: position, End: l.end}, nil
}

// A leader that is new may tell a lower end for a moment: what was heard of above the position is not shown for that. A listing may.
func TestListened_ALowerEndIsNone(t *testing.T) {
	bubbletest.Run(t, func(t *testing.T) {
		p, log := newPart(observe.Place{}, whole{}, nil), &telling{}
		p.ready()
		l := &listened{Log: log, part: p}
		age := func() time.Duration {
			s, _ := p.staleness()
			return s.Age
		}
		fetch := func(end int64) {
			time.Sleep(time.Second)
			log.end = end
			_, err := l.Fetch(t.Context(), 10)
			require.NoError(t, err)
		}
		list := func(b state.Bounds) {
			log.bounds = b
			_, err := l.Bounds(t.Context())
			require.NoError(t, err)
		}
		fetch(10)
		require.Zero(t, age())
		fetch(12)
		require.Equal(t, time.Second, age())
		fetch(9)
		require.Equal(t, 2*time.Second, age(), "10 and 11 are not shown")
		fetch(state.UnknownOffset)
		require.Equal(t, 3*time.Second, age())
		list(state.Bounds{End: 10}) // they were truncated
		require.Zero(t, age())
		fetch(12)
		list(state.Bounds{End: 3, TopicID: state.TopicID{1}})
		require.Equal(t, time.Second, age(), "of another log")
		fetch(10)
		require.Zero(t, age())
	})
}
