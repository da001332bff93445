package state_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tarnstream/tarn/internal/bubbletest"
	"github.com/tarnstream/tarn/internal/ldb"
	"github.com/tarnstream/tarn/state"
	"github.com/tarnstream/tarn/state/statetest"
)

// bench is a log, a store that can be crashed and opened again, and what the observer was told.
type bench struct {
	t      *testing.T
	fs     *ldb.MemFS
	s      state.Store
	log    *statetest.FakeLog
	o      state.RestoreOptions
	plans  []state.Plan
	resets []error
	swept  int
	ready  chan state.Outcome
}

func newBench(t *testing.T) *bench {
	b := &bench{t: t, fs: ldb.NewMemFS(), log: statetest.NewFakeLog(), ready: make(chan state.Outcome, 16)}
	b.s = openMem(t, b.fs)
	t.Cleanup(func() {
		require.NoError(t, b.s.Close())
		time.Sleep(2 * time.Second) // LevelDB's last goroutine ends a second after the close
	})
	b.o = state.RestoreOptions{Topic: "table", Observer: state.Observer{
		Planned: func(p state.Plan) { b.plans = append(b.plans, p) },
		Reset:   func(err error) { b.resets = append(b.resets, err) },
		Swept:   func(n int) { b.swept += n },
		Ready:   func(o state.Outcome) { b.ready <- o },
	}}
	return b
}

func (b *bench) put(n int, prefix string) {
	for i := range n {
		b.log.Put(fmt.Sprintf("%s%d", prefix, i), fmt.Sprintf("%s-%d", prefix, b.log.End()))
	}
}

// restore restores and requires the table to equal the log.
func (b *bench) restore() state.Outcome {
	b.t.Helper()
	out, err := state.Restore(b.t.Context(), b.s, b.log, b.o)
	require.NoError(b.t, err)
	b.requireEqual()
	require.Equal(b.t, b.log.End(), out.Position)
	return out
}

func (b *bench) requireEqual() {
	b.t.Helper()
	require.Equal(b.t, b.log.Fold(), statetest.Rows(b.t, b.s))
	_, stale := b.s.Stale()
	require.False(b.t, stale)
}

// reopen closes the store and opens it again.
func (b *bench) reopen() {
	b.t.Helper()
	require.NoError(b.t, b.s.Close())
	b.s = openMem(b.t, b.fs)
}

func (b *bench) requireReset(cause string) {
	b.t.Helper()
	for _, err := range b.resets {
		if reset, ok := errors.AsType[*state.LogResetError](err); ok {
			require.Contains(b.t, reset.Cause, cause)
			require.Equal(b.t, "table", reset.Topic)
			return
		}
	}
	b.t.Fatalf("no LogResetError in %v", b.resets)
}

func inBubble(name string, t *testing.T, f func(t *testing.T, b *bench)) {
	t.Helper()
	t.Run(name, func(t *testing.T) {
		bubbletest.Run(t, func(t *testing.T) { f(t, newBench(t)) })
	})
}
