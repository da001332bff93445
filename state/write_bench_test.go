package state_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tarnstream/tarn/internal/benchtest"
	"github.com/tarnstream/tarn/internal/ldb"
	"github.com/tarnstream/tarn/state"
)

// BenchmarkWrite is a flush: a batch of rows with the checkpoint that speaks of them, written to LevelDB on a disk of memory.
func BenchmarkWrite(b *testing.B) {
	const rows, keys = 5_000, 50_000
	s, err := state.Open("/store", state.Options{FS: ldb.NewMemFS(), Logger: quiet})
	require.NoError(b, err)
	named, value := make([][]byte, keys), make([]byte, 100)
	for i := range named {
		named[i] = fmt.Appendf(nil, "key-%08d", i*7919%keys)
	}
	var batch state.Batch
	var offset int64
	done := benchtest.Records(b)
	for b.Loop() {
		batch.Reset()
		for range rows {
			batch.Put(named[offset%keys], value, offset, offset)
			offset++
		}
		batch.SetCheckpoint(state.Checkpoint{Position: offset})
		require.NoError(b, s.Write(&batch))
	}
	done(b.N * rows)
	require.NoError(b, s.Close())
}
