package state_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tarnstream/tarn/internal/ldb"
	"github.com/tarnstream/tarn/state"
	"github.com/tarnstream/tarn/state/statetest"
)

// A sweep of several batches that a full disk ends, at each of its operations: only a checkpoint that comes with the last
// row names the new start, since no later start would sweep the rest.
func TestR59_CheckpointNamesTheStartWithTheLastRow(t *testing.T) {
	const rows, below = 200, 150
	for i := 0; ; i++ {
		fs := ldb.NewMemFS()
		s := openMem(t, fs)
		var b state.Batch
		for n := range int64(rows) {
			b.Put(fmt.Appendf(nil, "%d %s", n, strings.Repeat("k", 4<<10)), []byte("v"), n, 0)
		}
		b.SetCheckpoint(state.Checkpoint{Position: rows, LastApplied: rows - 1, LastAppliedEpoch: statetest.NoEpoch})
		require.NoError(t, s.Write(&b))
		require.NoError(t, s.Close())

		before, _ := ldb.FailAt(i)
		failing := &ldb.FailFS{FS: fs, Before: before}
		var failed error
		if s, failed = state.Open(storeDir, state.Options{FS: failing, Logger: quiet}); failed == nil {
			_, failed = s.Sweep(below)
			_ = s.Close()
		}
		s = openMem(t, fs.CrashClone())
		cp, ok := s.Checkpoint()
		require.True(t, ok)
		n := len(statetest.Rows(t, s))
		require.NoError(t, s.Close())
		if cp.LogStart >= below {
			require.Equal(t, rows-below, n, "operation %d failed: rows below the start are left, and nobody sweeps them", i)
		}
		if failed == nil {
			require.EqualValues(t, below, cp.LogStart)
			return
		}
	}
}
