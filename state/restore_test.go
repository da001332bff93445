package state_test

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tarnstream/tarn/state"
	"github.com/tarnstream/tarn/state/statetest"
)

func TestR10_RestoreOfAnEmptyLog(t *testing.T) {
	inBubble("R10_EmptyLog", t, func(t *testing.T, b *bench) {
		out := b.restore()
		require.Equal(t, state.Rebuild, out.Plan.Decision)
		b.reopen()
		require.Equal(t, state.Ready, b.restore().Plan.Decision, "an empty log leaves a checkpoint too")
		require.Empty(t, b.log.Fetches())
	})
	inBubble("R10_OnlyControlRecords", t, func(t *testing.T, b *bench) {
		b.log.Marker()
		b.log.Marker()
		out := b.restore()
		require.Zero(t, out.Records)
		b.reopen()
		out = b.restore()
		require.Equal(t, state.Ready, out.Plan.Decision)
		require.Zero(t, out.Records)
	})
	inBubble("R10_StartIsEnd", t, func(t *testing.T, b *bench) {
		b.put(5, "k")
		b.log.DeleteRecords(5)
		require.Equal(t, int64(5), b.restore().Position)
		require.Empty(t, b.log.Fetches())
	})
}

func TestRestoreOfAnIntactStore(t *testing.T) {
	inBubble("Ready", t, func(t *testing.T, b *bench) {
		b.put(250, "k")
		b.restore()
		fetches := len(b.log.Fetches())
		b.reopen()
		out := b.restore()
		require.Equal(t, state.Ready, out.Plan.Decision)
		require.Zero(t, out.Records)
		require.Len(t, b.log.Fetches(), fetches+1, "nothing but the batch of the epoch check is read")
	})
	inBubble("Resume", t, func(t *testing.T, b *bench) {
		b.put(250, "k")
		b.restore()
		b.log.Tombstone("k7")
		b.put(3, "n")
		b.reopen()
		out := b.restore()
		require.Equal(t, state.Resume, out.Plan.Decision)
		require.Equal(t, int64(4), out.Records)
		require.Equal(t, int64(1), out.Deletes)
	})
}

func TestR01_R03_CheckpointOutsideTheLog(t *testing.T) {
	inBubble("R01_CheckpointBelowLogStart", t, func(t *testing.T, b *bench) {
		b.put(10, "k")
		b.restore()
		b.log.Tombstone("k3")
		b.put(10, "n")
		b.log.DeleteRecords(12)
		b.reopen()
		out := b.restore()
		require.Equal(t, state.Rebuild, out.Plan.Decision)
		require.Equal(t, "checkpoint 10 is below the log start 12", out.Plan.Cause)
		require.NotContains(t, statetest.Rows(t, b.s), "k3")
	})
	inBubble("R03_CheckpointBeyondEnd", t, func(t *testing.T, b *bench) {
		b.put(10, "k")
		b.restore()
		b.log.Truncate(4)
		b.reopen()
		lists := b.log.Lists()
		out := b.restore()
		require.Equal(t, state.Rebuild, out.Plan.Decision)
		require.Equal(t, 2, b.log.Lists()-lists, "confirmed once")
		b.requireReset("checkpoint 10 is beyond the log end 4")
		reset, _ := errors.AsType[*state.LogResetError](b.resets[0])
		require.Equal(t, []int64{10, 0, 4}, []int64{reset.Position, reset.Start, reset.End})
		b.reopen()
		require.Equal(t, state.Ready, b.restore().Plan.Decision, "once, not for ever")
	})
	inBubble("R03_EndLowForAMoment", t, func(t *testing.T, b *bench) {
		b.put(10, "k")
		b.restore()
		lists := b.log.Lists()
		b.log.OnBounds(func(bs state.Bounds, err error) (state.Bounds, error) {
			if b.log.Lists() == lists+1 {
				bs.End = 4
			}
			return bs, err
		})
		require.Equal(t, state.Ready, b.restore().Plan.Decision)
	})
}

func TestR04_R05_AnotherHistory(t *testing.T) {
	inBubble("R04_Recreated", t, func(t *testing.T, b *bench) {
		b.put(10, "old")
		b.restore()
		b.log.Recreate()
		b.put(30, "new")
		b.reopen()
		out := b.restore()
		require.True(t, out.Plan.Quarantine)
		b.requireReset("deleted and created again")
		names, err := b.fs.List(storeDir + "/quarantine")
		require.NoError(t, err)
		require.Len(t, names, 1, "the old generation is kept aside")
	})
	inBubble("TopicMissing", t, func(t *testing.T, b *bench) {
		b.log.DeleteTopic()
		_, err := state.Restore(t.Context(), b.s, b.log, b.o)
		var missing *state.TopicMissingError
		require.ErrorAs(t, err, &missing)
		b.log.Recreate()
		b.put(3, "k")
		b.restore()
		b.log.DeleteTopic()
		_, err = state.Restore(t.Context(), b.s, b.log, b.o)
		var reset *state.LogResetError
		require.ErrorAs(t, err, &reset)
		require.ErrorAs(t, err, &missing)
		require.Len(t, statetest.Rows(t, b.s), 3, "the old rows stay readable")
	})
	inBubble("R05_TruncatedAndGrownAgain", t, func(t *testing.T, b *bench) {
		b.put(10, "k")
		b.restore()
		b.log.Truncate(4)
		b.put(20, "other")
		b.reopen()
		b.restore()
		b.requireReset("truncated and grew again")
	})
	inBubble("R05_OnlyMarkersTruncatedAndGrownAgain", t, func(t *testing.T, b *bench) {
		b.put(10, "k")
		b.log.PutAborted("a", "1")
		b.log.Marker()
		b.restore()
		b.log.Truncate(10) // no record of a row is lost
		b.put(2, "other")
		b.reopen()
		b.restore()
		b.requireReset("truncated and grew again")
		b.requireEqual()
	})
}

func TestR20_R59_BoundsThatSayLittle(t *testing.T) {
	inBubble("R20_UnknownIsNotZero", t, func(t *testing.T, b *bench) {
		b.put(10, "k")
		b.restore()
		lists := b.log.Lists()
		b.log.OnBounds(func(bs state.Bounds, err error) (state.Bounds, error) {
			if n := b.log.Lists() - lists; n <= 3 {
				bs.End = state.UnknownOffset
				bs.Start = []int64{0, 0, 0, state.UnknownOffset}[n]
			}
			return bs, err
		})
		require.Equal(t, state.Ready, b.restore().Plan.Decision)
		require.Empty(t, b.resets)
	})
	inBubble("R59_LogStartRisesBelowThePosition", t, func(t *testing.T, b *bench) {
		b.put(10, "k")
		b.restore()
		b.log.DeleteRecords(6)
		b.reopen()
		out := b.restore()
		require.Equal(t, state.Ready, out.Plan.Decision)
		require.Equal(t, 6, out.Swept)
		require.Equal(t, 6, b.swept)
		b.put(3, "n")
		b.log.DeleteRecords(8)
		require.Equal(t, 2, b.restore().Swept)
	})
}
