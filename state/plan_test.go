package state_test

import (
	"slices"
	"testing"
	"time"
	"unsafe"

	"github.com/stretchr/testify/require"

	"github.com/tarnstream/tarn/state"
	"github.com/tarnstream/tarn/state/statetest"
)

const day = 24 * time.Hour

// planGiven is what a plan is made of: a store in the middle of a compacted log, where a case changes nothing.
type planGiven struct {
	now  time.Time
	cp   state.Checkpoint
	none bool
	b    state.Bounds
}

func newPlanGiven() *planGiven {
	now := time.UnixMilli(1_700_000_000_000)
	return &planGiven{
		now: now,
		cp: state.Checkpoint{TopicID: state.TopicID{1}, Position: 150, LastApplied: 140, LastAppliedEpoch: statetest.NoEpoch,
			KnownCurrent: now.Add(-day + 1), LogStart: 100, DeleteRetention: day},
		b: state.Bounds{Start: 100, End: 200, Stable: 200, TopicID: state.TopicID{1}, Compacted: true, DeleteRetention: day},
	}
}

type planCase struct {
	name   string
	change func(*planGiven)
	want   state.Plan
	reset  bool
}

// planHistories are cases of whose log the checkpoint is of.
func planHistories() []planCase {
	return []planCase{
		{"no checkpoint", func(g *planGiven) { g.none = true },
			state.Plan{Decision: state.Rebuild, Cause: "no checkpoint", Position: 100, End: 200, Sweep: -1}, false},
		{"R04 topic id differs", func(g *planGiven) { g.b.TopicID[0]++ },
			state.Plan{Decision: state.Rebuild, Cause: "topic was deleted and created again", Position: 100, End: 200, Sweep: -1, Quarantine: true}, true},
		{"topic id differs comes before the position", func(g *planGiven) { g.b.TopicID[0]++; g.cp.Position = 5 },
			state.Plan{Decision: state.Rebuild, Cause: "topic was deleted and created again", Position: 100, End: 200, Sweep: -1, Quarantine: true}, true},
		{"a topic id that is not known is no other one", func(g *planGiven) { g.b.TopicID = state.TopicID{} },
			state.Plan{Decision: state.Resume, Cause: "the tail is younger than delete.retention.ms", Position: 150, End: 200, Sweep: -1}, false},
	}
}

// planPositions are cases of where in the log the checkpoint stands.
func planPositions() []planCase {
	return []planCase{
		{"R01 below the log start", func(g *planGiven) { g.cp.Position = 99 },
			state.Plan{Decision: state.Rebuild, Cause: "checkpoint 99 is below the log start 100", Position: 100, End: 200, Sweep: -1}, false},
		{"at the log start", func(g *planGiven) { g.cp.Position = 100 },
			state.Plan{Decision: state.Resume, Cause: "the tail is younger than delete.retention.ms", Position: 100, End: 200, Sweep: -1}, false},
		{"R03 beyond the end", func(g *planGiven) { g.cp.Position = 201 },
			state.Plan{Decision: state.Rebuild, Cause: "checkpoint 201 is beyond the log end 200", Position: 100, End: 200, Sweep: -1}, true},
		{"ready", func(g *planGiven) { g.cp.Position = 200 },
			state.Plan{Decision: state.Ready, Cause: "checkpoint is at the log end", Position: 200, End: 200, Sweep: -1}, false},
		{"ready, however old", func(g *planGiven) { g.cp.Position = 200; g.cp.KnownCurrent = time.Time{} },
			state.Plan{Decision: state.Ready, Cause: "checkpoint is at the log end", Position: 200, End: 200, Sweep: -1}, false},
		{"R10 start is end is position", func(g *planGiven) { g.cp.Position = 200; g.b.Start = 200 },
			state.Plan{Decision: state.Ready, Cause: "checkpoint is at the log end", Position: 200, End: 200, Sweep: 200}, false},
		{"R20 end unknown", func(g *planGiven) { g.b.End = state.UnknownOffset },
			state.Plan{Cause: "the broker does not tell the log's bounds yet", Sweep: -1}, false},
		{"R20 start unknown", func(g *planGiven) { g.b.Start = state.UnknownOffset; g.none = true },
			state.Plan{Cause: "the broker does not tell the log's bounds yet", Sweep: -1}, false},
	}
}

// planAges are cases of how old the tail is.
func planAges() []planCase {
	return []planCase{
		{"young", func(*planGiven) {},
			state.Plan{Decision: state.Resume, Cause: "the tail is younger than delete.retention.ms", Position: 150, End: 200, Sweep: -1}, false},
		{"not compacted", func(g *planGiven) { g.b.Compacted = false; g.cp.KnownCurrent = time.Time{} },
			state.Plan{Decision: state.Resume, Cause: "the topic is not compacted", Position: 150, End: 200, Sweep: -1}, false},
		{"R06 as old as the live retention", func(g *planGiven) { g.cp.KnownCurrent = g.now.Add(-day) },
			state.Plan{Decision: state.Verify, Cause: "the tail may be older than delete.retention.ms", Position: 150, End: 200, Sweep: -1}, false},
		{"R35 as old as the stored retention", func(g *planGiven) { g.cp.KnownCurrent = g.now.Add(-time.Hour); g.cp.DeleteRetention = time.Hour },
			state.Plan{Decision: state.Verify, Cause: "the tail may be older than delete.retention.ms", Position: 150, End: 200, Sweep: -1}, false},
		{"R44 a time after our clock", func(g *planGiven) { g.cp.KnownCurrent = g.now.Add(time.Second) },
			state.Plan{Decision: state.Verify, Cause: "the tail may be older than delete.retention.ms", Position: 150, End: 200, Sweep: -1}, false},
		{"R40 no time", func(g *planGiven) { g.cp.KnownCurrent = time.Time{} },
			state.Plan{Decision: state.Verify, Cause: "the tail may be older than delete.retention.ms", Position: 150, End: 200, Sweep: -1}, false},
		{"retention not known", func(g *planGiven) { g.b.DeleteRetention = -1 },
			state.Plan{Decision: state.Verify, Cause: "the tail may be older than delete.retention.ms", Position: 150, End: 200, Sweep: -1}, false},
	}
}

// planChanges are cases of what changed in the log below the position.
func planChanges() []planCase {
	return []planCase{
		{"R59 the log start rose", func(g *planGiven) { g.cp.LogStart = 50 },
			state.Plan{Decision: state.Resume, Cause: "the tail is younger than delete.retention.ms", Position: 150, End: 200, Sweep: 100}, false},
		{"R05 the epoch is known", func(g *planGiven) { g.cp.LastAppliedEpoch = 3 },
			state.Plan{Decision: state.Resume, Cause: "the tail is younger than delete.retention.ms", Position: 150, End: 200, Sweep: -1, CheckEpoch: true}, false},
		{"R05 the epoch was not read back", func(g *planGiven) { g.cp.LastAppliedEpoch = state.UnknownEpoch },
			state.Plan{Decision: state.Rebuild, Cause: "the leader epoch of offset 140 was not read back: the log cannot be checked by it", Position: 100, End: 200, Sweep: -1}, false},
		{"R05 nothing in the log was applied", func(g *planGiven) { g.cp.LastAppliedEpoch = 3; g.cp.LastApplied = 99 },
			state.Plan{Decision: state.Rebuild, Cause: "no applied record is left in [100, 150) to check the log by", Position: 100, End: 200, Sweep: -1}, false},
		{"R05 nothing of what is left of the log was read", func(g *planGiven) {
			g.cp.LastApplied = 99
			g.cp.Position = 100
			g.cp.LastAppliedEpoch = state.UnknownEpoch
		},
			state.Plan{Decision: state.Resume, Cause: "the tail is younger than delete.retention.ms", Position: 100, End: 200, Sweep: -1}, false},
	}
}

func TestR01_R03_R04_R06_PlanEveryRow(t *testing.T) {
	for _, c := range slices.Concat(planHistories(), planPositions(), planAges(), planChanges()) {
		t.Run(c.name, func(t *testing.T) {
			g := newPlanGiven()
			c.change(g)
			got := g.b.Plan(g.cp, !g.none, g.now)
			var reset *state.LogResetError
			if c.reset {
				require.ErrorAs(t, got.Err, &reset)
				require.Equal(t, g.cp.Position, reset.Position)
				require.Equal(t, c.want.Cause, reset.Cause)
			} else {
				require.NoError(t, got.Err)
			}
			require.Equal(t, c.want.Decision.String(), got.Decision.String())
			require.Equal(t, c.want.Cause, got.Cause)
			require.Equal(t, []any{c.want.Position, c.want.End, c.want.Sweep, c.want.Quarantine, c.want.CheckEpoch},
				[]any{got.Position, got.End, got.Sweep, got.Quarantine, got.CheckEpoch})
		})
	}
}

// A machine that slept has a monotonic clock that did not go on, and a log that did.
func TestR44_SleepOfTheMachineCounts(t *testing.T) {
	known := time.Now()
	now := known.Add(2 * day)
	monotonic := (*[2]int64)(unsafe.Pointer(&now)) // wall, then monotonic: see time.Time
	require.Contains(t, now.String(), "m=")
	monotonic[1] -= int64(2 * day)
	require.Less(t, now.Sub(known), time.Second, "the monotonic clock stood still")
	require.Equal(t, 2*day, now.Round(0).Sub(known.Round(0)))
	g := newPlanGiven()
	g.cp.KnownCurrent = known
	require.Equal(t, state.Verify, g.b.Plan(g.cp, true, now).Decision)
}
