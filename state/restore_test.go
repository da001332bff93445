package state_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tarnstream/tarn/internal/ldb"
	"github.com/tarnstream/tarn/state"
	"github.com/tarnstream/tarn/state/statetest"
)

// bench is a log, a store that can be crashed and opened again, and what the observer was told.
type bench struct {
	t      *testing.T
	fs     *ldb.MemFS
	s      state.Store
	log    *statetest.FakeLog
	o      state.RestoreOptions
	plans  []state.Plan
	resets []error
	swept  int
	ready  chan state.Outcome
}

func newBench(t *testing.T) *bench {
	b := &bench{t: t, fs: ldb.NewMemFS(), log: statetest.NewFakeLog(), ready: make(chan state.Outcome, 16)}
	b.s = openMem(t, b.fs)
	t.Cleanup(func() {
		require.NoError(t, b.s.Close())
		time.Sleep(2 * time.Second) // LevelDB's last goroutine ends a second after the close
	})
	b.o = state.RestoreOptions{Topic: "table", Observer: state.Observer{
		Planned: func(p state.Plan) { b.plans = append(b.plans, p) },
		Reset:   func(err error) { b.resets = append(b.resets, err) },
		Swept:   func(n int) { b.swept += n },
		Ready:   func(o state.Outcome) { b.ready <- o },
	}}
	return b
}

func (b *bench) put(n int, prefix string) {
	for i := range n {
		b.log.Put(fmt.Sprintf("%s%d", prefix, i), fmt.Sprintf("%s-%d", prefix, b.log.End()))
	}
}

// restore restores and requires the table to equal the log.
func (b *bench) restore() state.Outcome {
	b.t.Helper()
	out, err := state.Restore(b.t.Context(), b.s, b.log, b.o)
	require.NoError(b.t, err)
	b.requireEqual()
	require.Equal(b.t, b.log.End(), out.Position)
	return out
}

func (b *bench) requireEqual() {
	b.t.Helper()
	require.Equal(b.t, b.log.Fold(), statetest.Rows(b.t, b.s))
	_, stale := b.s.Stale()
	require.False(b.t, stale)
}

// reopen closes the store and opens it again.
func (b *bench) reopen() {
	b.t.Helper()
	require.NoError(b.t, b.s.Close())
	b.s = openMem(b.t, b.fs)
}

func (b *bench) requireReset(cause string) {
	b.t.Helper()
	for _, err := range b.resets {
		if reset, ok := errors.AsType[*state.LogResetError](err); ok {
			require.Contains(b.t, reset.Cause, cause)
			require.Equal(b.t, "table", reset.Topic)
			return
		}
	}
	b.t.Fatalf("no LogResetError in %v", b.resets)
}

func inBubble(name string, t *testing.T, f func(t *testing.T, b *bench)) {
	t.Helper()
	t.Run(name, func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) { f(t, newBench(t)) })
	})
}

func TestRestoreDecisions(t *testing.T) {
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
		require.Equal(t, state.Ready, b.restore().Plan.Decision)
	})
	inBubble("R10_StartIsEnd", t, func(t *testing.T, b *bench) {
		b.put(5, "k")
		b.log.DeleteRecords(5)
		require.Equal(t, int64(5), b.restore().Position)
		require.Empty(t, b.log.Fetches())
	})
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

func TestRestoreAge(t *testing.T) {
	const day = 24 * time.Hour
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

func TestRestoreReachesTheEnd(t *testing.T) {
	inBubble("R08_LastOffsetsAreMarkers", t, func(t *testing.T, b *bench) {
		b.put(10, "k")
		b.log.Marker()
		b.log.Marker()
		b.restore()
		b.reopen()
		require.Equal(t, state.Ready, b.restore().Plan.Decision)
	})
	inBubble("R09_LastRecordsCompactedAway", t, func(t *testing.T, b *bench) {
		b.put(10, "k")
		b.log.Tombstone("k9")
		b.log.Compact(true)
		require.Equal(t, int64(11), b.restore().Position)
	})
	inBubble("R11_AbortedRecords", t, func(t *testing.T, b *bench) {
		b.put(3, "k")
		b.log.PutAborted("k1", "aborted")
		b.log.Marker()
		out := b.restore()
		require.Equal(t, int64(3), out.Records)
	})
	inBubble("R12_OpenTransactionIsWaitedOut", t, func(t *testing.T, b *bench) {
		b.put(3, "k")
		b.log.PutOpen(1, "k1", "in the transaction")
		b.log.Put("k2", "behind it")
		go func() {
			time.Sleep(30 * time.Second)
			b.log.EndTransaction(1, true)
		}()
		began := time.Now()
		out, err := state.Restore(t.Context(), b.s, b.log, b.o)
		require.NoError(t, err)
		require.Equal(t, 30*time.Second, time.Since(began))
		require.GreaterOrEqual(t, out.Position, int64(5))
		require.Equal(t, "behind it", statetest.Rows(t, b.s)["k2"])
		require.Equal(t, "in the transaction", statetest.Rows(t, b.s)["k1"])
	})
	inBubble("R13_HangingTransaction", t, func(t *testing.T, b *bench) {
		b.put(3, "k")
		b.restore()
		old := b.log.Fold()
		b.log.Truncate(1)
		b.log.PutOpen(1, "k1", "for ever")
		_, err := state.Restore(t.Context(), b.s, b.log, b.o)
		var hanging *state.HangingTransactionError
		require.ErrorAs(t, err, &hanging)
		require.Equal(t, []int64{1, 1, 2}, []int64{hanging.Position, hanging.Stable, hanging.End})
		require.Greater(t, hanging.Waited, time.Minute)
		require.Equal(t, old, statetest.Rows(t, b.s), "the stale table stays readable")
		b.log.EndTransaction(1, false)
		b.restore()
	})
	inBubble("R28_NullsAndEmpties", t, func(t *testing.T, b *bench) {
		b.log.Append(nil, []byte("null key"))
		b.log.Append([]byte{}, []byte("empty key"))
		b.log.Append([]byte("empty value"), []byte{})
		b.log.Put("gone", "1")
		b.log.Append([]byte("gone"), nil)
		b.log.Append(nil, nil)
		out := b.restore()
		require.Equal(t, map[string]string{"": "empty key", "empty value": ""}, statetest.Rows(t, b.s))
		require.Equal(t, int64(2), out.NullKeys)
		require.Equal(t, int64(1), out.Deletes)
	})
	inBubble("R39_RecordThatCannotBeApplied", t, func(t *testing.T, b *bench) {
		b.put(10, "k")
		b.log.OnFetch(func(_ int64, rs state.Records, err error) (state.Records, error) {
			rs.Records = append([]state.Record(nil), rs.Records...)
			rs.Records[4].Offset = 2
			return rs, err
		})
		_, err := state.Restore(t.Context(), b.s, b.log, b.o)
		var damage *state.DamageError
		require.ErrorAs(t, err, &damage)
		require.Equal(t, int64(2), damage.Offset)
		require.Equal(t, "table", damage.Topic)
	})
	inBubble("R49_BatchSizes", t, func(t *testing.T, b *bench) {
		for i := range 500 {
			b.log.Put(fmt.Sprint(i%37), fmt.Sprint(i))
			if i%5 == 0 {
				b.log.Tombstone(fmt.Sprint(i % 11))
			}
		}
		for _, size := range []int{1, 100, 5000} {
			for _, records := range []int{1, 13, 1000} {
				b.o.BatchBytes, b.log.MaxRecords = size, records
				require.NoError(t, b.s.Close())
				b.fs = ldb.NewMemFS()
				b.s = openMem(t, b.fs)
				b.restore()
			}
		}
	})
}

func TestRestoreOutOfRange(t *testing.T) {
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

func TestR15_CheckpointIsAppliedPositionOnly(t *testing.T) {
	inBubble("", t, func(t *testing.T, b *bench) {
		b.put(10, "k")
		b.restore()
		b.put(990, "n")
		b.o.BatchBytes = 2000
		for i := range 12 { // stop at some answer, crash, look, go on
			ctx, cancel := context.WithCancel(t.Context())
			fetches := 0
			b.log.OnFetch(func(_ int64, rs state.Records, err error) (state.Records, error) {
				if fetches++; fetches > i {
					cancel()
				}
				return rs, err
			})
			_, err := state.Restore(ctx, b.s, b.log, b.o)
			cancel()
			if err != nil {
				require.ErrorIs(t, err, context.Canceled)
			}
			crashed := b.fs.CrashClone()
			require.NoError(t, b.s.Close())
			b.fs, b.s = crashed, openMem(t, crashed)
			cp, ok := b.s.Checkpoint()
			require.True(t, ok)
			require.Len(t, statetest.Rows(t, b.s), int(cp.Position), "the rows are what is before the checkpoint")
		}
		b.log.OnFetch(nil)
		b.restore()
	})
}

func TestFollow(t *testing.T) {
	follow := func(t *testing.T, name string, f func(t *testing.T, b *bench)) {
		inBubble(name, t, func(t *testing.T, b *bench) {
			b.put(10, "k")
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan error, 1)
			go func() { done <- state.Follow(ctx, b.s, b.log, b.o) }()
			<-b.ready
			b.requireEqual()
			f(t, b)
			b.requireEqual()
			cancel()
			require.NoError(t, <-done)
		})
	}
	follow(t, "R70_NewRecords", func(t *testing.T, b *bench) {
		for range 20 {
			b.put(5, "n")
			b.log.Tombstone("k1")
			synctest.Wait()
			b.requireEqual()
		}
	})
	follow(t, "R70_LogStartPasses", func(t *testing.T, b *bench) {
		b.log.OnFetch(func(position int64, rs state.Records, err error) (state.Records, error) {
			b.log.OnFetch(nil)
			b.put(100, "n")
			b.log.DeleteRecords(50)
			return state.Records{}, &state.OutOfRangeError{Topic: "table", Position: position}
		})
		<-b.ready
		require.Equal(t, state.Rebuild, b.plans[1].Decision)
	})
	follow(t, "R70_LogStartRises", func(t *testing.T, b *bench) {
		b.log.DeleteRecords(4)
		time.Sleep(time.Second)
		synctest.Wait()
		require.Equal(t, 4, b.swept)
	})
	follow(t, "R70_Recreated", func(t *testing.T, b *bench) {
		b.log.Recreate()
		b.put(30, "new")
		<-b.ready
		b.requireReset("deleted and created again")
	})
	follow(t, "R70_Truncated", func(t *testing.T, b *bench) {
		b.log.Truncate(5)
		<-b.ready
		b.requireReset("beyond the log end")
	})
	follow(t, "R70_TruncatedAndGrown", func(t *testing.T, b *bench) {
		b.log.Truncate(5)
		b.put(50, "other")
		<-b.ready
		b.requireReset("truncated and grew again")
	})
	follow(t, "R06_KnownCurrentWhileIdle", func(t *testing.T, b *bench) {
		time.Sleep(180 * time.Minute)
		cp, _ := b.s.Checkpoint()
		require.Less(t, time.Since(cp.KnownCurrent), 2*time.Minute)
	})
}

// A crash at every operation of a restore, and of what goes on after it: the next start finds one whole generation.
func TestR43_CrashAtEveryStep(t *testing.T) {
	log := statetest.NewFakeLog()
	log.LongPoll = time.Millisecond
	fs := ldb.NewMemFS()
	s := openMem(t, fs)
	before := map[string]string{}
	for i := range 20 {
		k := fmt.Sprintf("old%d", i)
		log.Put(k, "1")
		before[k] = "1"
	}
	o := state.RestoreOptions{Topic: "table", BatchBytes: 100}
	_, err := state.Restore(t.Context(), s, log, o)
	require.NoError(t, err)
	require.NoError(t, s.Close())
	for i := range 20 {
		log.Put(fmt.Sprintf("new%d", i), strings.Repeat("2", 30))
	}
	log.DeleteRecords(30)
	after := log.Fold()
	var clones []*ldb.MemFS
	work := fs.CrashClone()
	s = openMem(t, &ldb.FailFS{FS: work, Before: func(string, string) error {
		clones = append(clones, work.CrashClone())
		return nil
	}})
	_, err = state.Restore(t.Context(), s, log, o)
	require.NoError(t, err)
	require.NoError(t, s.Close())
	require.Greater(t, len(clones), 20)
	seen := map[string]int{}
	for i, clone := range clones {
		s, causes := openCounting(t, clone)
		require.Empty(t, causes, "step %d", i)
		got := statetest.Rows(t, s)
		switch {
		case maps.Equal(got, before):
			seen["before"]++
		case maps.Equal(got, after):
			seen["after"]++
		default:
			t.Fatalf("step %d: neither generation: %v", i, got)
		}
		_, err = state.Restore(t.Context(), s, log, o)
		require.NoError(t, err)
		require.Equal(t, after, statetest.Rows(t, s))
		require.NoError(t, s.Close())
	}
	t.Logf("%d crashes: %v", len(clones), seen)
	require.NotZero(t, seen["before"])
	require.NotZero(t, seen["after"])
}

// The i-th operation fails, and all later ones: the restore ends with the error, and what is on disk is right.
func TestR41_EveryOperationFails(t *testing.T) {
	log := statetest.NewFakeLog()
	log.LongPoll = time.Millisecond
	for i := range 20 {
		log.Put(fmt.Sprint(i), "1")
	}
	o := state.RestoreOptions{Topic: "table", BatchBytes: 100}
	for i := 0; ; i++ {
		fs := ldb.NewMemFS()
		before, _ := ldb.FailAt(i)
		s, err := state.Open(storeDir, state.Options{FS: &ldb.FailFS{FS: fs, Before: before}, Logger: quiet})
		if err == nil {
			_, err = state.Restore(t.Context(), s, log, o)
			_ = s.Close()
		}
		if err == nil {
			t.Logf("%d operations", i)
			break
		}
		_, damage := errors.AsType[*state.DamageError](err)
		require.False(t, damage, "operation %d: a disk that fails is no damage: %v", i, err)
		s, causes := openCounting(t, fs)
		require.Empty(t, causes)
		_, err = state.Restore(t.Context(), s, log, o)
		require.NoError(t, err)
		require.Equal(t, log.Fold(), statetest.Rows(t, s))
		require.NoError(t, s.Close())
	}
}
