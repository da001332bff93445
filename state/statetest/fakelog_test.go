package statetest_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/tarnstream/tarn/state"
	"github.com/tarnstream/tarn/state/statetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestFakeLog(t *testing.T) {
	statetest.TestLog(t, func(*testing.T) (state.Log, statetest.LogWriter) {
		l := statetest.NewFakeLog()
		l.MaxRecords, l.LongPoll = 7, time.Millisecond
		return l, l
	})
}

func TestFakeLogFold(t *testing.T) {
	l := statetest.NewFakeLog()
	l.Put("a", "1")
	l.Put("b", "1")
	l.PutOpen(1, "a", "2")
	require.Equal(t, map[string]string{"a": "1", "b": "1"}, l.Fold())
	l.EndTransaction(1, true)
	l.Tombstone("b")
	l.PutAborted("c", "1")
	require.Equal(t, map[string]string{"a": "2"}, l.Fold())
	before := l.Fold()
	l.Compact(true)
	require.Equal(t, before, l.Fold())
	l.Truncate(1)
	require.Empty(t, l.Fold(), "what superseded the rest is gone with the tail")
}
