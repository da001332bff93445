package state_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tarnstream/tarn/state"
)

// rebuilt waits until the table is current anew.
func rebuilt(b *bench) {
	b.t.Helper()
	select {
	case <-b.ready:
	case <-time.After(time.Hour):
		b.t.Fatal("not rebuilt in an hour of virtual time")
	}
}

// follow runs f beside a follower of ten rows.
func follow(t *testing.T, name string, f func(t *testing.T, b *bench)) {
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

func TestR70_Follow(t *testing.T) {
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
	follow(t, "R70_NothingWasWrong", func(t *testing.T, b *bench) {
		b.log.OnFetch(func(position int64, rs state.Records, err error) (state.Records, error) {
			b.log.OnFetch(nil)
			return state.Records{}, &state.OutOfRangeError{Topic: "table", Position: position}
		})
		<-b.ready // whoever was told of the doubt is told of its end
		require.Len(t, b.resets, 1)
		require.Len(t, b.plans, 1, "not rebuilt")
	})
	follow(t, "R06_KnownCurrentWhileIdle", func(t *testing.T, b *bench) {
		time.Sleep(180 * time.Minute)
		cp, _ := b.s.Checkpoint()
		require.Less(t, time.Since(cp.KnownCurrent), 2*time.Minute)
	})
}

func TestR70_FollowOverLeaderEpochs(t *testing.T) {
	follow(t, "R70_RecreatedThenTruncatedAndGrown", func(t *testing.T, b *bench) {
		b.log.Truncate(5)
		rebuilt(b)
		b.log.Recreate() // its leader epochs begin at 0 again
		b.put(10, "k")
		rebuilt(b)
		b.log.Truncate(5)
		b.put(5, "other")
		rebuilt(b)
		b.requireEqual()
	})
	follow(t, "R70_TruncatedAfterARebuildOverSeveralEpochs", func(t *testing.T, b *bench) {
		b.log.Truncate(8)
		b.put(5, "n")
		rebuilt(b)
		b.log.Truncate(12)
		b.put(5, "other")
		rebuilt(b)
		b.requireEqual()
	})
}
