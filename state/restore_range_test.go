package state_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tarnstream/tarn/state"
	"github.com/tarnstream/tarn/state/statetest"
)

func TestR02_LogStartPassesTheReader(t *testing.T) {
	inBubble("R02_LogStartPassesTheReader", t, func(t *testing.T, b *bench) {
		b.put(500, "k")
		fetches := 0
		b.log.OnFetch(func(_ int64, rs state.Records, err error) (state.Records, error) {
			if fetches++; fetches == 2 {
				b.log.Tombstone("k5")
				b.log.DeleteRecords(450)
			}
			return rs, err
		})
		out := b.restore()
		require.Equal(t, 1, out.Resets)
		require.Equal(t, state.Rebuild, out.Plan.Decision)
		require.Equal(t, []int64{0, 100, 200, 450}, b.log.Fetches())
		require.Equal(t, 2, b.log.Lists(), "listed between the refusal and the next fetch")
	})
	inBubble("R02_OldRowsReadableMeanwhile", t, func(t *testing.T, b *bench) {
		b.put(10, "old")
		b.restore()
		old := statetest.Rows(t, b.s)
		b.put(500, "k")
		b.log.DeleteRecords(20)
		b.log.OnFetch(func(position int64, rs state.Records, err error) (state.Records, error) {
			cause, stale := b.s.Stale()
			require.True(t, stale)
			require.Contains(t, cause, "log start")
			require.Equal(t, old, statetest.Rows(t, b.s))
			if position == 220 {
				b.log.OnFetch(nil)
				b.log.DeleteRecords(400)
			}
			return rs, err
		})
		b.restore()
	})
}

func TestR54_OutOfRangeAgainAfterTheReset(t *testing.T) {
	inBubble("R54_AgainAndAgain", t, func(t *testing.T, b *bench) {
		b.put(5000, "k")
		chased := 0
		b.log.OnFetch(func(position int64, rs state.Records, err error) (state.Records, error) {
			if chased++; chased <= 12 { // the log start moves on between the bounds and every fetch
				b.log.DeleteRecords(position + 1)
				return state.Records{}, &state.OutOfRangeError{Topic: "table", Position: position}
			}
			return rs, err
		})
		began := time.Now()
		out := b.restore()
		require.Equal(t, 12, out.Resets, "each is reported")
		require.Len(t, b.resets, 12)
		require.Less(t, time.Since(began), time.Minute, "the back-off is bounded")
		require.Greater(t, time.Since(began), 5*time.Second, "and there is one")
	})
	inBubble("R54_RefusedThoughInRange", t, func(t *testing.T, b *bench) {
		b.put(10, "k")
		refused := 0
		b.log.OnFetch(func(position int64, rs state.Records, err error) (state.Records, error) {
			if refused++; refused <= 3 {
				return state.Records{}, &state.OutOfRangeError{Topic: "table", Position: position}
			}
			return rs, err
		})
		require.Equal(t, 3, b.restore().Resets)
	})
}

func TestR04_R59_LogChangesUnderTheReader(t *testing.T) {
	inBubble("R04_RecreatedUnderTheReader", t, func(t *testing.T, b *bench) {
		b.put(500, "old")
		fetches := 0
		b.log.OnFetch(func(_ int64, rs state.Records, err error) (state.Records, error) {
			if fetches++; fetches == 3 {
				b.log.Recreate()
				b.put(50, "new")
			}
			return rs, err
		})
		b.restore()
		b.requireReset("deleted and created again")
	})
	inBubble("R59_LogStartRisesInMidRebuild", t, func(t *testing.T, b *bench) {
		b.put(500, "k")
		fetches := 0
		b.log.OnFetch(func(_ int64, rs state.Records, err error) (state.Records, error) {
			if fetches++; fetches == 3 {
				b.log.DeleteRecords(150)
			}
			return rs, err
		})
		require.Equal(t, 150, b.restore().Swept)
	})
}
