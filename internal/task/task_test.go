package task_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/tarnstream/tarn/internal/bubbletest"
	"github.com/tarnstream/tarn/internal/task"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var errBroken = errors.New("broken")

func untilDone(ctx context.Context) error {
	<-ctx.Done()
	return nil
}

func TestFirstErrorEndsAll(t *testing.T) {
	g := task.New(t.Context())
	for range 3 {
		g.Go("follower", untilDone)
	}
	g.Go("reader", func(context.Context) error { return errBroken })
	err := g.Wait()
	require.ErrorIs(t, err, errBroken)
	require.EqualError(t, err, "reader: broken")
	require.ErrorIs(t, context.Cause(g.Context()), errBroken)
}

func TestFirstErrorWins(t *testing.T) {
	g := task.New(t.Context())
	g.Go("second", func(ctx context.Context) error {
		<-ctx.Done()
		return errors.New("while stopping")
	})
	g.Go("first", func(context.Context) error { return errBroken })
	require.EqualError(t, g.Wait(), "first: broken")
	require.EqualError(t, g.Wait(), "first: broken", "a second Wait tells the same")
}

func TestPanicBecomesAnErrorThatNamesTheGoroutine(t *testing.T) {
	g := task.New(t.Context())
	g.Go("follower", untilDone)
	g.Go("flusher", func(context.Context) error { panic("lost my way") })
	err := g.Wait()
	e, ok := errors.AsType[*task.PanicError](err)
	require.True(t, ok, "%v", err)
	require.Equal(t, "flusher", e.Name)
	require.Equal(t, "lost my way", e.Value)
	require.Contains(t, string(e.Stack), "task_test.go")
	require.Contains(t, err.Error(), "task: panic in flusher: lost my way")
	require.NoError(t, e.Unwrap())
}

func TestPanicWithAnErrorKeepsIt(t *testing.T) {
	g := task.New(t.Context())
	g.Go("flusher", func(context.Context) error { panic(errBroken) })
	require.ErrorIs(t, g.Wait(), errBroken)
}

func TestStopIsIdempotentAndNoError(t *testing.T) {
	g := task.New(t.Context())
	g.Go("follower", untilDone)
	g.Stop(errBroken)
	g.Stop(errors.New("too late"))
	require.NoError(t, g.Wait())
	require.ErrorIs(t, context.Cause(g.Context()), errBroken)
	g.Stop(nil)
}

func TestParentEndsTheGroup(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	g := task.New(ctx)
	g.Go("follower", untilDone)
	cancel(errBroken)
	require.NoError(t, g.Wait())
	require.ErrorIs(t, context.Cause(g.Context()), errBroken)
}

func TestWaitWaitsForAll(t *testing.T) {
	bubbletest.Run(t, func(t *testing.T) {
		g := task.New(t.Context())
		var ended atomic.Int32
		for i := range 5 {
			g.Go("slow", func(context.Context) error {
				time.Sleep(time.Duration(i) * time.Second)
				ended.Add(1)
				return nil
			})
		}
		g.Stop(nil)
		require.NoError(t, g.Wait())
		require.EqualValues(t, 5, ended.Load())
	})
}

func TestGoroutineStartsAnother(t *testing.T) {
	g := task.New(t.Context())
	g.Go("outer", func(context.Context) error {
		g.Go("inner", func(context.Context) error { return errBroken })
		return nil
	})
	require.EqualError(t, g.Wait(), "inner: broken")
}

func TestWaitWithoutGoroutines(t *testing.T) {
	g := task.New(t.Context())
	require.NoError(t, g.Wait())
	require.Error(t, g.Context().Err(), "nothing of an ended group goes on")
}
