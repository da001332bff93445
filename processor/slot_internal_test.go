package processor

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tarnstream/tarn/state"
)

// answers is a log that answers as it is told.
type answers struct {
	state.Log
	next []state.Records
}

func (a *answers) Bounds(context.Context) (state.Bounds, error) { return state.Bounds{}, nil }

func (a *answers) Fetch(_ context.Context, position int64) (state.Records, error) {
	if len(a.next) == 0 {
		return state.Records{Position: position, Next: position}, nil
	}
	rs := a.next[0]
	a.next = a.next[1:]
	return rs, nil
}

// A restore keeps its slot from the store's opening to the log's end, and lets others have it while it waits for a broker.
func TestSlot(t *testing.T) {
	env := &environment{restoring: make(chan struct{}, 1)}
	one, other := newSlot(env), newSlot(env)
	one.Log = &answers{next: []state.Records{{Position: 0, Next: 5}, {Position: 5, Next: 9}}}
	other.Log = &answers{next: []state.Records{{Position: 0, Next: 1}, {Position: 1, Next: 2}}}
	full := errors.New("none is free")
	refused := func(s *slot) {
		ctx, cancel := context.WithCancelCause(t.Context())
		cancel(full)
		for range 20 { // the choice among what is ready is random
			require.ErrorIs(t, s.take(ctx), full)
		}
	}
	fetch := func(s *slot, position int64) {
		_, err := s.Fetch(t.Context(), position)
		require.NoError(t, err)
	}
	require.NoError(t, one.take(t.Context()))
	refused(other)
	_, err := one.Bounds(t.Context())
	require.NoError(t, err)
	fetch(other, 0)
	refused(one)
	other.end()
	fetch(one, 0)
	fetch(one, 5)
	require.Len(t, env.restoring, 1)
	fetch(other, 1) // it follows, and needs none
	fetch(one, 9)   // nothing comes
	require.Empty(t, env.restoring)
	one.end()
	require.Empty(t, env.restoring)
}
