package observe_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tarnstream/tarn/observe"
)

// restores are the stats of a processor with a task for each list of restores.
func restores(tasks ...[]observe.RestoreStats) observe.Stats {
	s := observe.Stats{Kind: observe.KindProcessor, State: observe.StateRunning, Tasks: map[int32]observe.TaskStats{}}
	for p, list := range tasks {
		t := observe.TaskStats{State: observe.TaskRestoring}
		for i, r := range list {
			t.Tables = append(t.Tables, observe.TableStats{Topic: fmt.Sprint("table-", i), Partition: int32(p), Role: observe.RoleKept, Restore: r})
		}
		s.Tasks[int32(p)] = t
	}
	return s
}

var (
	rebuilt  = observe.RestoreStats{Decision: "rebuild", End: 1000, Position: 1000, Records: 900, Bytes: 9000, Rate: 100, Took: 10 * time.Second, Done: true}
	underWay = observe.RestoreStats{Decision: "resume", From: 5000, Position: 6000, End: 8000, Records: 800, Bytes: 8000, Rate: 250, Took: 4 * time.Second}
	other    = observe.RestoreStats{Decision: "verify", From: 100, Position: 100, End: 1100, Took: time.Second}
	ready    = observe.RestoreStats{Decision: "ready", From: 70, Position: 70, End: 70, Done: true}
	waiting  observe.RestoreStats
)

func TestProgress(t *testing.T) {
	p := restores([]observe.RestoreStats{rebuilt, underWay}, []observe.RestoreStats{ready, other}).Progress()
	require.Equal(t, observe.TableProgress{Topic: "table-1", Partition: 0, Role: observe.RoleKept, RestoreStats: underWay}, p.Tables[1])
	require.Len(t, p.Tables, 4)
	require.Equal(t, observe.RestoreStats{Position: 2000, End: 5000, Records: 1700, Bytes: 17000, Rate: 250, Took: 10 * time.Second}, p.Sum)
	require.Equal(t, 2, p.Current)
	require.Zero(t, p.Waiting)
	left, known := p.Remaining()
	require.True(t, known)
	require.Equal(t, 12*time.Second, left, "3000 offsets at 250 a second")
	require.Equal(t, "2 of 4 table partitions current, 40 % of 5000 offsets, 250/s, 12s left", p.String())
}

// Of a partition that waits nobody knows how long it takes.
func TestProgress_Waiting(t *testing.T) {
	p := restores([]observe.RestoreStats{underWay, waiting}).Progress()
	require.Equal(t, 1, p.Waiting)
	_, known := p.Remaining()
	require.False(t, known)
	require.Equal(t, "0 of 2 table partitions current, 33 % of 3000 offsets, 250/s", p.String())
}

// A restore that has come to a stand would take longer than a Duration can tell.
func TestRemaining_AtAStand(t *testing.T) {
	for _, rate := range []float64{1e-9, 0.01} {
		left, known := observe.RestoreStats{Decision: "rebuild", End: 1e9, Rate: rate}.Remaining()
		require.False(t, known)
		require.Zero(t, left)
	}
}

func TestProgress_Done(t *testing.T) {
	done := restores([]observe.RestoreStats{rebuilt}, []observe.RestoreStats{ready})
	p := done.Progress()
	require.True(t, p.Sum.Done)
	require.InDelta(t, 100, p.Sum.Rate, 1e-9)
	require.EqualValues(t, 1, p.Sum.Fraction())
	require.Equal(t, "2 of 2 table partitions current, 100 % of 1000 offsets", p.String())

	done.State = observe.StateJoining
	require.False(t, done.Progress().Sum.Done, "others may have been given the partitions")
	require.True(t, restores().Progress().Sum.Done, "a spare member")
	require.False(t, observe.Stats{Kind: observe.KindView, State: observe.StateRunning}.Progress().Sum.Done, "a view always has partitions")

	stale := restores([]observe.RestoreStats{rebuilt})
	stale.Lookups = []observe.TableStats{{Topic: "names", Role: observe.RoleLookedUp, Restore: ready, Stale: true, Cause: "out of range"}}
	p = stale.Progress()
	require.False(t, p.Sum.Done)
	require.Equal(t, "names", p.Tables[1].Topic)
	require.False(t, p.Tables[1].Done, "its log is in doubt")
}

func ExampleStats_Progress() {
	s := restores([]observe.RestoreStats{rebuilt, underWay}) // of a Processor or a View: p.Progress()
	fmt.Println(s.Progress())
	for _, t := range s.Progress().Tables {
		fmt.Printf("%s/%d: %s, %.0f %%\n", t.Topic, t.Partition, t.Decision, 100*t.Fraction())
	}
	// Output:
	// 1 of 2 table partitions current, 50 % of 4000 offsets, 250/s, 8s left
	// table-0/0: rebuild, 100 %
	// table-1/0: resume, 33 %
}
