package observe_test

import (
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tarnstream/tarn/observe"
)

func TestRestoreStats(t *testing.T) {
	r := observe.RestoreStats{Decision: "rebuild", From: 1000, Position: 1400, End: 2000, Records: 300, Rate: 200, Took: 2 * time.Second}
	require.InDelta(t, 0.4, r.Fraction(), 1e-9)
	left, known := r.Remaining()
	require.True(t, known)
	require.Equal(t, 3*time.Second, left, "600 offsets at 200 a second")

	_, known = observe.RestoreStats{Decision: "resume", From: 5, Position: 5, End: 9, Took: time.Second}.Remaining()
	require.False(t, known, "nothing came yet")
	require.Zero(t, observe.RestoreStats{}.Fraction(), "no plan yet")
	require.EqualValues(t, 1, observe.RestoreStats{Decision: "ready", From: 9, Position: 9, End: 9}.Fraction())
	require.EqualValues(t, 1, observe.RestoreStats{Decision: "resume", From: 5, Position: 7, End: 9, Done: true}.Fraction())
}

// A lag of which a part is not known is not known.
func TestStats_Lag(t *testing.T) {
	inputs := func(lags ...int64) observe.TaskStats {
		var t observe.TaskStats
		for _, lag := range lags {
			t.Inputs = append(t.Inputs, observe.InputStats{Lag: lag})
		}
		return t
	}
	for name, c := range map[string]struct {
		state string
		tasks []observe.TaskStats
		lag   int64
		known bool
	}{
		"sum":                {observe.StateRunning, []observe.TaskStats{inputs(3, 4), inputs(0, 1)}, 8, true},
		"nothing to do":      {observe.StateRunning, nil, 0, true},
		"end not known":      {observe.StateRunning, []observe.TaskStats{inputs(3), inputs(observe.Unknown)}, 0, false},
		"a task restores":    {observe.StateRunning, []observe.TaskStats{inputs(3), {}}, 0, false},
		"not in the group":   {observe.StateJoining, nil, 0, false},
		"not running at all": {observe.StateStopped, nil, 0, false},
	} {
		s := observe.Stats{Kind: observe.KindProcessor, State: c.state, Tasks: map[int32]observe.TaskStats{}}
		for p, task := range c.tasks {
			s.Tasks[int32(p)] = task
		}
		lag, known := s.Lag()
		require.Equal(t, c.known, known, name)
		require.Equal(t, c.lag, lag, name)
	}
	view := observe.Stats{Kind: observe.KindView, State: observe.StateRunning, Tasks: map[int32]observe.TaskStats{
		0: {Tables: []observe.TableStats{{Lag: 2}}}, 1: {Tables: []observe.TableStats{{Lag: 5}}}}}
	lag, known := view.Lag()
	require.True(t, known)
	require.EqualValues(t, 7, lag)
}

func TestStats_String(t *testing.T) {
	table := func(s observe.TableStats) []observe.TableStats { s.Topic = "counts"; return []observe.TableStats{s} }
	s := observe.Stats{Group: "clicker", Kind: observe.KindProcessor, State: observe.StateRunning, Records: 20, Commits: 2, Skipped: 1,
		Tasks: map[int32]observe.TaskStats{
			1: {State: observe.TaskRestoring, Tables: table(observe.TableStats{Restore: observe.RestoreStats{Decision: "resume", Position: 4, End: 10}})},
			0: {State: observe.TaskRunning, Inputs: []observe.InputStats{{Lag: 2}}, Tables: table(observe.TableStats{Restore: observe.RestoreStats{Decision: "ready", Done: true}})},
		}}
	require.Equal(t, "records 20, skipped 1, commits 2, running, tasks [0 running, 1 restoring counts 40 %]", s.String())
	delete(s.Tasks, 1)
	require.Equal(t, "records 20, skipped 1, commits 2, lag 2, running, tasks [0 running]", s.String())
	require.Equal(t, "restored 0, stopped (no), tasks []",
		observe.Stats{Group: "v", Kind: observe.KindView, State: observe.StateStopped, Err: errors.New("no")}.String())
	require.Equal(t, "running counts stale: made again",
		observe.TaskStats{State: observe.TaskRunning, Tables: table(observe.TableStats{Stale: true, Cause: "made again"})}.String())
}
