package state_test

import (
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/tarnstream/tarn/internal/ldb"
	"github.com/tarnstream/tarn/state"
	"github.com/tarnstream/tarn/state/statetest"
)

// goleveldb's drain ends by itself a second after the close; a database left open shows by its other goroutines.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("github.com/syndtr/goleveldb/leveldb.(*DB).mpoolDrain"))
}

var quiet = slog.New(slog.DiscardHandler)

// storeDir is where the tests' stores lie in a MemFS.
const storeDir = "/state/groups/g/table/0"

func openMem(t testing.TB, fs ldb.FS) state.Store {
	t.Helper()
	s, err := state.Open(storeDir, state.Options{FS: fs, Logger: quiet})
	require.NoError(t, err)
	return s
}

func TestStore(t *testing.T) {
	t.Run("disk", func(t *testing.T) {
		statetest.TestStore(t, func(t *testing.T) state.Store {
			s, err := state.Open(t.TempDir(), state.Options{Logger: quiet})
			require.NoError(t, err)
			return s
		})
	})
	t.Run("memory", func(t *testing.T) {
		statetest.TestStore(t, func(t *testing.T) state.Store { return openMem(t, ldb.NewMemFS()) })
	})
}

func TestStoreSurvivesCloseAndOpen(t *testing.T) {
	dir := t.TempDir()
	for i := range 20 {
		s, err := state.Open(dir, state.Options{Logger: quiet})
		require.NoError(t, err)
		cp, ok := s.Checkpoint()
		require.Equal(t, i > 0, ok)
		require.Equal(t, int64(i), cp.Position)
		statetest.Write(t, s, int64(i), "k", time.Duration(i).String())
		require.NoError(t, s.Close())
	}
}
