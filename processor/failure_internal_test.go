package processor

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tarnstream/tarn/internal/scope"
	"github.com/tarnstream/tarn/state"
)

var errDisk = errors.New("disk")

// broken is a store that cannot be read.
type broken struct{ *memory }

func (broken) Get([]byte) (state.Row, bool, error) { return state.Row{}, false, errDisk }

// Trouble with the disk ends the task, whatever the policy says and whatever the callback makes of the error.
func TestTrouble_IsNoMatterOfTheRecord(t *testing.T) {
	for name, make := range map[string]func(error) error{
		"passed on": func(err error) error { return err },
		"another":   func(error) error { return errors.New("something") },
		"swallowed": func(error) error { return nil },
		"panic":     func(err error) error { panic(err) },
	} {
		t.Run(name, func(t *testing.T) {
			task, in := countingTask(t, 1)
			task.cells[0].store = broken{newMemory()}
			in.onError = &scope.ErrorPolicy{Last: scope.Skip}
			call := in.call
			in.call = func(f *scope.Frame) error { return make(call(f)) }
			passed, err := task.handle(in)
			require.False(t, passed)
			require.ErrorIs(t, err, errDisk)
			require.NotErrorAs(t, err, new(*RecordError))
			require.True(t, in.more(), "the record stays where it is")
			require.Zero(t, task.env.count.skipped.Load())
		})
	}
}

// A callback that fails after the partition was lost, be it by the loss, is nothing for a policy that passes records.
func TestTrouble_LostPartition(t *testing.T) {
	task, in := countingTask(t, 1)
	in.onError = &scope.ErrorPolicy{Last: scope.Skip}
	in.call = func(*scope.Frame) error {
		task.endLease(errLost)
		return errors.New("no more")
	}
	passed, err := task.handle(in)
	require.False(t, passed)
	require.ErrorIs(t, err, errLost)
	require.Zero(t, task.env.count.skipped.Load())
}

// noRows is an empty walk over a store.
type noRows struct{ scope.Rows }

func (noRows) Next() bool { return false }
func (noRows) Err() error { return nil }
func (noRows) Close()     {}

// A visit that meets trouble with the disk is no matter of its caller alone: the task ends.
func TestTrouble_IsNoMatterOfTheVisit(t *testing.T) {
	task, _ := countingTask(t, 1)
	task.cells[0].store = broken{newMemory()}
	v := &visit{edge: &scope.Visit{}}
	v.ctx, v.giveUp = context.WithCancelCause(t.Context())
	w := &walk{visit: v, task: task, turn: make(chan struct{}, 1), keys: scope.Merge([]scope.Change{{Key: "a"}}, noRows{}), done: make(chan struct{})}
	task.walks.going = []*walk{w}
	_, err := task.visitSome(t.Context())
	require.ErrorIs(t, err, errDisk)
	require.Empty(t, task.walks.through)
	require.NoError(t, v.ctx.Err(), "not given up because of a row")
}

// Something may want the task's attention at the very moment when the wait is over. The record is still the next one then,
// though another input has an older one by now, and its attempts go on being counted.
func TestRetry_TheWaitingRecordStaysTheNext(t *testing.T) {
	task, in := countingTask(t, 2)
	_, other := countingTask(t, 1)
	other.chunk.Records[0].Timestamp = -1
	task.inputs = []*input{in, other}
	in.onError = &scope.ErrorPolicy{Backoff: &scope.Backoff{Attempts: 3, First: time.Nanosecond, Max: time.Nanosecond}}
	call, calls := in.call, 0
	in.call = func(f *scope.Frame) error {
		if calls++; calls < 3 {
			return errors.New("no")
		}
		return call(f)
	}
	passed, err := task.handle(in)
	require.NoError(t, err)
	require.False(t, passed)
	task.failed.until = time.Now()
	task.attention.Store(true)
	busy, err := task.step(t.Context())
	require.NoError(t, err)
	require.True(t, busy)
	require.Equal(t, 1, calls, "turned to what wanted attention")
	task.attention.Store(false)
	picked, err := task.pick(t.Context())
	require.NoError(t, err)
	require.Same(t, in, picked)
	_, err = task.handle(in)
	require.NoError(t, err)
	require.Equal(t, 2, task.failed.attempts)
	passed, err = task.handle(in)
	require.NoError(t, err)
	require.True(t, passed)
	picked, err = task.pick(t.Context())
	require.NoError(t, err)
	require.Same(t, other, picked)
}
