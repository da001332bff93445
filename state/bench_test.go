package state_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tarnstream/tarn/internal/benchtest"
	"github.com/tarnstream/tarn/state"
	"github.com/tarnstream/tarn/state/statetest"
)

// A restart with an intact state of 100,000 keys applies no record and is ready at once.
func TestRestartWithIntactState(t *testing.T) {
	const keys = 100_000
	log := statetest.NewFakeLog()
	log.MaxRecords = 10_000
	for i := range keys {
		log.Put(fmt.Sprintf("key-%06d", i), fmt.Sprintf("%0100d", i))
	}
	dir := t.TempDir()
	o := state.RestoreOptions{Topic: "table"}
	open := func() state.Store {
		s, err := state.Open(dir, state.Options{Logger: quiet})
		require.NoError(t, err)
		return s
	}
	s := open()
	out, err := state.Restore(t.Context(), s, log, o)
	require.NoError(t, err)
	require.Equal(t, int64(keys), out.Records)
	t.Logf("rebuild of %d keys: %v", keys, out.Took)
	require.NoError(t, s.Close())

	began := time.Now()
	s = open()
	out, err = state.Restore(t.Context(), s, log, o)
	took := time.Since(began)
	require.NoError(t, err)
	require.Equal(t, state.Ready, out.Plan.Decision)
	require.Zero(t, out.Records)
	t.Logf("restart with %d keys: ready after %v", keys, took)
	require.Less(t, took, 5*time.Second)
	_, ok, err := s.Get([]byte("key-099999"))
	require.NoError(t, err)
	require.True(t, ok)
	require.NoError(t, s.Close())
}

// BenchmarkRebuild restores 100-byte values with half as many keys as records; its log costs next to nothing. A turn is what a
// view with the default memory gives, and what it gives with the least.
func BenchmarkRebuild(b *testing.B) {
	for _, turn := range []int{16 << 20, 1 << 20} {
		b.Run(fmt.Sprintf("turn=%dMiB", turn>>20), func(b *testing.B) { benchmarkRebuild(b, turn) })
	}
}

func benchmarkRebuild(b *testing.B, turn int) {
	const records, chunk = 1_000_000, 5_000
	log := &tape{chunk: chunk, records: make([]state.Record, records)}
	for i := range log.records {
		log.records[i] = state.Record{Key: fmt.Appendf(nil, "key-%07d", (i*7919)%(records/2)), Value: fmt.Appendf(nil, "%0100d", i), Offset: int64(i)}
	}
	done := benchtest.Records(b)
	for b.Loop() {
		s, err := state.Open(b.TempDir(), state.Options{Logger: quiet})
		require.NoError(b, err)
		_, err = state.Restore(b.Context(), s, log, state.RestoreOptions{Topic: "table",
			Admit: func(context.Context) (int, func(), error) { return turn, func() {}, nil }})
		require.NoError(b, err)
		require.NoError(b, s.Close())
	}
	done(records * b.N)
}
