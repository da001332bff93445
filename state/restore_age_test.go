package state_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tarnstream/tarn/state"
	"github.com/tarnstream/tarn/state/statetest"
)

func TestR06_R07_R40_R44_Age(t *testing.T) {
	inBubble("R06_HoleInAnOldTail", t, func(t *testing.T, b *bench) {
		b.put(10, "k")
		b.restore()
		b.log.Tombstone("k3")
		b.put(5, "n")
		b.log.Compact(true)
		time.Sleep(2 * day)
		b.reopen()
		out := b.restore()
		require.Equal(t, []state.Decision{state.Rebuild, state.Verify, state.Rebuild},
			[]state.Decision{b.plans[0].Decision, b.plans[1].Decision, out.Plan.Decision})
		require.Contains(t, out.Plan.Cause, "hole")
		require.NotContains(t, statetest.Rows(t, b.s), "k3")
	})
	inBubble("R06_OldTailWithoutAHole", t, func(t *testing.T, b *bench) {
		b.put(10, "k")
		b.restore()
		b.log.Tombstone("k3")
		b.log.Marker()
		b.log.PutAborted("k4", "no")
		b.log.Marker()
		time.Sleep(2 * day)
		b.reopen()
		require.Equal(t, state.Verify, b.restore().Plan.Decision)
	})
	inBubble("R40_R44_ClockJumps", t, func(t *testing.T, b *bench) {
		b.put(10, "k")
		b.o.Now = func() time.Time { return time.Now().Add(100 * day) } // the clock was ahead at the time
		b.restore()
		b.o.Now = nil
		b.log.Tombstone("k3")
		b.put(5, "n")
		b.log.Compact(true)
		b.reopen()
		out := b.restore()
		require.Equal(t, state.Verify, b.plans[1].Decision, "a time after our clock is no time")
		require.Equal(t, state.Rebuild, out.Plan.Decision)
	})
	inBubble("R07_RebuildOutlivesTheRetention", t, func(t *testing.T, b *bench) {
		b.put(300, "k")
		b.put(300, "k")
		b.log.Compact(true)
		b.log.OnFetch(func(_ int64, rs state.Records, err error) (state.Records, error) {
			time.Sleep(2 * day)
			return rs, err
		})
		out := b.restore()
		require.True(t, out.Unproven)
		require.Len(t, b.plans, 1, "reported, not in a loop")
	})
	inBubble("ResumeWithAHoleIsFineWhileYoung", t, func(t *testing.T, b *bench) {
		b.put(10, "k")
		b.restore()
		b.put(10, "k")
		b.put(10, "k")
		b.log.Compact(false)
		time.Sleep(day / 2)
		b.reopen()
		require.Equal(t, state.Resume, b.restore().Plan.Decision)
	})
}
