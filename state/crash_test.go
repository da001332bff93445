package state_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tarnstream/tarn/internal/ldb"
	"github.com/tarnstream/tarn/state"
	"github.com/tarnstream/tarn/state/statetest"
)

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

// A rebuild's writes are not synced one by one. Once its generation is current a crash loses none of them, wherever LevelDB
// had them: in a table, in the journal of a memory table that is being flushed, or in the newest journal.
func TestR43_SwapMakesEveryWriteDurable(t *testing.T) {
	log := statetest.NewFakeLog()
	log.LongPoll = time.Millisecond
	for i := range 3000 {
		log.Put(fmt.Sprintf("key-%d", i), strings.Repeat("v", 100))
	}
	for _, buffer := range []int{32 << 10, 64 << 10} { // of a rebuild; with another than 32 KiB LevelDB is opened again
		fs := ldb.NewMemFS()
		s, err := state.Open(storeDir, state.Options{FS: fs, Logger: quiet, WriteBufferBytes: 32 << 10})
		require.NoError(t, err)
		var swapped *ldb.MemFS
		o := state.RestoreOptions{Topic: "table", BatchBytes: 5000,
			Admit:    func(context.Context) (int, func(), error) { return buffer, func() {}, nil },
			Observer: state.Observer{Ready: func(state.Outcome) { swapped = fs.CrashClone() }}}
		_, err = state.Restore(t.Context(), s, log, o)
		require.NoError(t, err)
		require.NoError(t, s.Close())
		s, causes := openCounting(t, swapped)
		require.Empty(t, causes)
		require.Equal(t, log.Fold(), statetest.Rows(t, s))
		require.NoError(t, s.Close())
	}
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
