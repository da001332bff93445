package processor

import (
	"context"
	"errors"
	"testing"

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
