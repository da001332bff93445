package processor

import (
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
