package observe_test

import (
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tarnstream/tarn/observe"
)

func current(topic string) observe.TableStats {
	return observe.TableStats{Topic: topic, Restore: observe.RestoreStats{Decision: "ready", Done: true}}
}

func TestStats_Unready(t *testing.T) {
	restoring := current("counts")
	restoring.Restore = observe.RestoreStats{Decision: "resume", Cause: "young", From: 1000, Position: 1400, End: 2000, Rate: 200, Took: 2 * time.Second}
	rebuilding := current("counts")
	rebuilding.Stale, rebuilding.Cause = true, "made again"
	rebuilding.Restore = observe.RestoreStats{Decision: "rebuild", Cause: "made again", Position: 0, End: 50, Took: time.Second}
	doubted := current("names")
	doubted.Stale, doubted.Cause = true, "out of range"
	for name, c := range map[string]struct {
		kind, state string
		err         error
		tasks       map[int32]observe.TaskStats
		lookups     []observe.TableStats
		want        []string
	}{
		"new":            {state: observe.StateNew, want: []string{"processor g: not started"}},
		"starting":       {state: observe.StateStarting, want: []string{"processor g: looks for a broker and the topics"}},
		"joining":        {state: observe.StateJoining, want: []string{"processor g: not in its group"}},
		"stopped":        {state: observe.StateStopped, want: []string{"processor g: stopped"}},
		"stopped by":     {state: observe.StateStopped, err: errors.New("no"), want: []string{"processor g: stopped: no"}},
		"spare":          {state: observe.StateRunning},
		"empty view":     {kind: observe.KindView, state: observe.StateRunning, want: []string{"view g: its partitions are not known yet"}},
		"all is current": {state: observe.StateRunning, tasks: map[int32]observe.TaskStats{0: {State: observe.TaskRunning, Tables: []observe.TableStats{current("counts")}}}},
		"held by a record": {state: observe.StateRunning, tasks: map[int32]observe.TaskStats{
			0: {State: observe.TaskRunning, Held: "a record waits", Tables: []observe.TableStats{current("counts")}}}},
		"restoring, in order": {state: observe.StateRunning, tasks: map[int32]observe.TaskStats{
			4: {State: observe.TaskWaiting},
			3: {State: observe.TaskRestoring, Tables: []observe.TableStats{restoring, {Topic: "more"}}},
			5: {State: observe.TaskRestoring, Tables: []observe.TableStats{current("counts")}},
			6: {State: observe.TaskClosing, Tables: []observe.TableStats{current("counts")}},
		}, want: []string{
			"processor g, task 3, table counts: resume (young): 40 % of 1000 offsets, 3s left", "processor g, task 3, table more: not restored yet",
			"processor g, task 4: waits for an older task of the partition to close", "processor g, task 5: looks for its place in the inputs",
			"processor g, task 6: ends"}},
		"stale": {kind: observe.KindView, state: observe.StateRunning, tasks: map[int32]observe.TaskStats{
			2: {State: observe.TaskRunning, Tables: []observe.TableStats{rebuilding}}},
			want: []string{"view g, partition 2, table counts: stale, rebuild (made again): 0 % of 50 offsets"}},
		"lookup in doubt": {state: observe.StateRunning, lookups: []observe.TableStats{doubted},
			want: []string{"processor g, looked-up table names/0: stale: out of range"}},
	} {
		if c.kind == "" {
			c.kind = observe.KindProcessor
		}
		s := observe.Stats{Group: "g", Kind: c.kind, State: c.state, Err: c.err, Tasks: c.tasks, Lookups: c.lookups}
		var got []string
		for _, r := range s.Unready() {
			got = append(got, r.String())
		}
		require.Equal(t, c.want, got, name)
	}
}
