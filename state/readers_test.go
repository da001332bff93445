package state_test

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tarnstream/tarn/internal/ldb"
	"github.com/tarnstream/tarn/state"
)

// Many readers while the table is written, rebuilt, swapped and closed: each sees one whole generation or ErrClosed.
func TestR55_ReadersSeeOneGeneration(t *testing.T) {
	const keys = 50
	s := openMem(t, ldb.NewMemFS())
	fill := func(generation int) {
		var b state.Batch
		for i := range keys {
			b.Put(fmt.Append(nil, i), fmt.Append(nil, generation), int64(i), 0)
		}
		b.SetCheckpoint(state.Checkpoint{Position: keys})
		require.NoError(t, s.Write(&b))
	}
	fill(0)
	var wg sync.WaitGroup
	errs := make(chan error, 4)
	for range 4 {
		wg.Go(func() { errs <- readUntilClosed(s, keys) })
	}
	for g := range 30 {
		require.NoError(t, s.Rebuild("again", g%3 == 0))
		fill(g + 1)
		require.NoError(t, s.Swap())
	}
	require.NoError(t, s.Close())
	wg.Wait()
	for range 4 {
		require.ErrorIs(t, <-errs, state.ErrClosed)
	}
}

// readUntilClosed reads again and again; what it returns is never nil.
func readUntilClosed(s state.Store, keys int) error {
	for {
		if _, ok, err := s.Get([]byte("7")); err != nil || !ok {
			return err
		}
		seen := map[string]int{}
		it := s.Range(nil, nil)
		for it.Next() {
			seen[string(it.Row().Value)]++
		}
		if err := it.Close(); err != nil {
			return err
		}
		for generation, n := range seen {
			if len(seen) != 1 || n != keys {
				return fmt.Errorf("generation %s has %d rows of %d: %v", generation, n, keys, seen)
			}
		}
	}
}

// A close on a slow disk keeps no reader waiting.
func TestClose_ReadersDoNotWaitForTheDisk(t *testing.T) {
	held, going := make(chan struct{}), make(chan struct{})
	var hold atomic.Bool
	s := openMem(t, &ldb.FailFS{FS: ldb.NewMemFS(), Before: func(string, string) error {
		if hold.CompareAndSwap(true, false) {
			close(held)
			<-going
		}
		return nil
	}})
	var b state.Batch
	b.Put([]byte("k"), []byte("v"), 0, 0)
	require.NoError(t, s.Write(&b))
	it := s.Range(nil, nil)
	require.True(t, it.Next())
	hold.Store(true)
	closed := make(chan error, 1)
	go func() { closed <- s.Close() }()
	<-held
	require.False(t, it.Next())
	require.ErrorIs(t, it.Close(), state.ErrClosed)
	_, _, err := s.Get([]byte("k"))
	require.ErrorIs(t, err, state.ErrClosed)
	close(going)
	require.NoError(t, <-closed)
}
