package processor

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tarnstream/tarn/internal/bubbletest"
	"github.com/tarnstream/tarn/observe"
	"github.com/tarnstream/tarn/state"
)

// The rate is that of the last ten seconds, whatever was before, and falls while nothing comes.
func TestPace(t *testing.T) {
	began := time.Unix(1000, 0)
	after := func(seconds float64) time.Time { return began.Add(time.Duration(seconds * float64(time.Second))) }
	var p pace
	require.Zero(t, p.rate(began), "no restore yet")
	p.begin(began, 500)
	require.Zero(t, p.rate(began))
	p.moved(after(0.5), 600)
	require.InDelta(t, 200, p.rate(after(0.5)), 1e-9)
	require.InDelta(t, 50, p.rate(after(2)), 1e-9)
	for i := range 20 { // 10 a second
		p.moved(after(float64(1+i)), 600+10*int64(i))
	}
	require.InDelta(t, 10, p.rate(after(20)), 1e-9, "the beginning is out of sight")
	require.InDelta(t, 5, p.rate(after(25)), 1e-9)
	require.Zero(t, p.rate(after(30)))
	require.LessOrEqual(t, len(p.moments), 12)
	p.moved(after(100), 1590)
	require.InDelta(t, 800.0/80, p.rate(after(100)), 1e-9, "an answer after a long time counts over all of it")
	p.begin(after(101), 0)
	p.moved(after(102), 7)
	require.InDelta(t, 7, p.rate(after(102)), 1e-9, "a new plan has a pace of its own")
}

// What a restore tells, to the figure: a tail that is read at 100 offsets a second, waits, and becomes a rebuild.
func TestTableMeter_Progress(t *testing.T) {
	bubbletest.Run(t, func(t *testing.T) {
		m := newTableMeter(observe.RoleKept, observe.Place{Topic: "counts"})
		o := m.observer()
		require.Equal(t, observe.RestoreStats{}, m.progress())
		o.Planned(state.Plan{Decision: state.Verify, Cause: "old", Position: 1000, End: 4000})
		for i := range int64(10) {
			time.Sleep(time.Second)
			o.Progress(state.Outcome{Position: 1100 + 100*i, End: 4000, Records: 50 + 50*i, Bytes: 500 + 500*i})
		}
		want := observe.RestoreStats{Decision: "verify", Cause: "old", From: 1000, Position: 2000, End: 4000, Records: 500, Bytes: 5000,
			Rate: 100, Took: 10 * time.Second}
		require.Equal(t, want, m.progress())
		left, known := m.progress().Remaining()
		require.True(t, known)
		require.Equal(t, 20*time.Second, left)
		time.Sleep(5 * time.Second)
		want.Rate, want.Took = 50, 15*time.Second // 500 in the ten seconds behind
		require.Equal(t, want, m.progress())
		time.Sleep(5 * time.Second)
		_, known = m.progress().Remaining()
		require.False(t, known, "nothing came for ten seconds")

		o.Planned(state.Plan{Decision: state.Rebuild, Cause: "a hole", Position: 200, End: 4200})
		require.Equal(t, observe.RestoreStats{Decision: "rebuild", Cause: "a hole", From: 200, Position: 200, End: 4200}, m.progress())
		time.Sleep(8 * time.Second)
		o.Progress(state.Outcome{Position: 4200, End: 4200, Records: 500 + 4000, Bytes: 5000 + 40000})
		o.Ready(state.Outcome{Position: 4200, End: 4200, Records: 500 + 4000, Bytes: 5000 + 40000})
		time.Sleep(time.Hour)
		require.Equal(t, observe.RestoreStats{Decision: "rebuild", Cause: "a hole", From: 200, Position: 4200, End: 4200, Records: 4000,
			Bytes: 40000, Rate: 500, Took: 8 * time.Second, Done: true}, m.progress())
	})
}
