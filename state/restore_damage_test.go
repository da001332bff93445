package state_test

import (
	"errors"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tarnstream/tarn/internal/ldb"
	"github.com/tarnstream/tarn/state"
	"github.com/tarnstream/tarn/state/statetest"
)

// What a rebuild has written is damaged, cut off or gone before it is read again: the restore ends with an error that says
// so, the old rows stay readable, and the next start rebuilds. No table is ever current with rows missing.
func TestR32_DamageInMidRebuild(t *testing.T) {
	for name, harm := range map[string]func(fs *ldb.MemFS, path string) error{
		"damaged": func(fs *ldb.MemFS, path string) error { return fs.Corrupt(path, 12) },
		"cut off": func(fs *ldb.MemFS, path string) error { return fs.Truncate(path, 12) },
		"gone":    func(fs *ldb.MemFS, path string) error { return fs.RemoveAll(path) },
	} {
		for _, at := range []int{2, 15, 25} { // answers of the log; runs are merged with the 16th
			inBubble(name, t, func(t *testing.T, b *bench) {
				b.put(10, "old")
				b.restore()
				before := statetest.Rows(t, b.s)
				b.put(60, "k")
				b.log.DeleteRecords(20)
				b.log.MaxRecords, b.o.BatchBytes = 2, 1
				fetches := 0
				b.log.OnFetch(func(_ int64, rs state.Records, err error) (state.Records, error) {
					if fetches++; fetches == at {
						require.NoError(t, harm(b.fs, firstTable(t, b.fs, "g00000002")))
					}
					return rs, err
				})
				_, err := state.Restore(t.Context(), b.s, b.log, b.o)
				damage, ok := errors.AsType[*state.DamageError](err)
				require.True(t, ok, "after %d answers: %v", at, err)
				require.Equal(t, filepath.Join(storeDir, "g00000002"), damage.Dir)
				require.Equal(t, before, statetest.Rows(t, b.s))
				_, stale := b.s.Stale()
				require.True(t, stale)
				b.log.OnFetch(nil)
				b.reopen()
				require.Equal(t, before, statetest.Rows(t, b.s))
				require.Equal(t, state.Rebuild, b.restore().Plan.Decision)
			})
		}
	}
}

// firstTable is the oldest table file of a generation.
func firstTable(t *testing.T, fs *ldb.MemFS, generation string) string {
	t.Helper()
	dir := filepath.Join(storeDir, generation)
	names, err := fs.List(dir)
	require.NoError(t, err)
	for _, name := range names {
		if filepath.Ext(name) == ".ldb" {
			return filepath.Join(dir, name)
		}
	}
	t.Fatalf("no table in %v", names)
	return ""
}
