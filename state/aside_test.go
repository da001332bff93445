package state_test

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tarnstream/tarn/internal/ldb"
	"github.com/tarnstream/tarn/state"
	"github.com/tarnstream/tarn/state/statetest"
)

// quarantined lists what is set aside.
func quarantined(t *testing.T, fs *ldb.MemFS) []string {
	t.Helper()
	names, err := fs.List(filepath.Join(storeDir, "quarantine"))
	require.NoError(t, err)
	return names
}

// Numbers of generations begin again after a quarantine, so that the newest is not the one with the highest number.
func TestQuarantineKeepsTheNewest(t *testing.T) {
	fs := ldb.NewMemFS()
	for _, name := range []string{"g00000009-1000", "g00000010-2000"} {
		require.NoError(t, fs.MkdirAll(filepath.Join(storeDir, "quarantine", name)))
	}
	now := func() time.Time { return time.Unix(3000, 0) }
	open := func() state.Store {
		s, err := state.Open(storeDir, state.Options{FS: fs, Logger: quiet, Now: now})
		require.NoError(t, err)
		return s
	}
	s := open()
	statetest.Write(t, s, 0, "k", "v")
	require.NoError(t, s.Close())
	require.NoError(t, fs.WriteFile(filepath.Join(storeDir, "CURRENT"), []byte("garbage")))
	require.NoError(t, open().Close())
	require.ElementsMatch(t, []string{"g00000010-2000", "g00000001-3000"}, quarantined(t, fs))
}

// A store that is closed while somebody still reads the old generation sets it aside all the same.
func TestCloseSetsAsideWhatIsStillRead(t *testing.T) {
	fs := ldb.NewMemFS()
	s := openMem(t, fs)
	statetest.Write(t, s, 0, "old", "1")
	it := s.Range(nil, nil)
	require.NoError(t, s.Rebuild("topic was created again", true))
	statetest.Write(t, s, 0, "new", "1")
	require.NoError(t, s.Swap())
	require.NoError(t, s.Close())
	require.Len(t, quarantined(t, fs), 1)
	require.False(t, it.Next())
	require.ErrorIs(t, it.Close(), state.ErrClosed)
	require.Len(t, quarantined(t, fs), 1)
	s = openMem(t, fs)
	require.Equal(t, map[string]string{"new": "1"}, statetest.Rows(t, s))
	require.NoError(t, s.Close())
}

// The observer may look at the store, and even write to it: no lock is held while it is told, be it at the swap, with the
// last iterator, or at the close.
func TestQuarantinedIsToldWithoutALock(t *testing.T) {
	for name, end := range map[string]func(state.Store, state.Iterator) error{
		"swap":     func(s state.Store, it state.Iterator) error { return errors.Join(it.Close(), s.Swap()) },
		"iterator": func(s state.Store, it state.Iterator) error { return errors.Join(s.Swap(), it.Close()) },
		"close":    func(s state.Store, _ state.Iterator) error { return errors.Join(s.Swap(), s.Close()) },
	} {
		t.Run(name, func(t *testing.T) {
			var s state.Store
			told := 0
			s, err := state.Open(storeDir, state.Options{FS: ldb.NewMemFS(), Logger: quiet,
				Observer: state.Observer{Quarantined: func(string, error) {
					told++
					_, _ = s.Sweep(0)
					s.Stale()
				}}})
			require.NoError(t, err)
			statetest.Write(t, s, 0, "old", "1")
			require.NoError(t, s.Rebuild("topic was created again", true))
			require.NoError(t, end(s, s.Range(nil, nil)))
			require.Equal(t, 1, told)
			require.NoError(t, s.Close())
		})
	}
}

// A crash anywhere between the switch and the setting aside forgets neither: at the next open the old generation is in
// quarantine, or it is still the current one.
func TestR43_CrashWhileAGenerationIsSetAside(t *testing.T) {
	fs := ldb.NewMemFS()
	s := openMem(t, fs)
	statetest.Write(t, s, 0, "old", "1")
	require.NoError(t, s.Close())
	var clones []*ldb.MemFS
	work := fs.CrashClone()
	s = openMem(t, &ldb.FailFS{FS: work, Before: func(string, string) error {
		clones = append(clones, work.CrashClone())
		return nil
	}})
	require.NoError(t, s.Rebuild("topic was created again", true))
	statetest.Write(t, s, 0, "new", "1")
	require.NoError(t, s.Swap())
	require.NoError(t, s.Close())
	for i, clone := range append(clones, work.CrashClone()) {
		s := openMem(t, clone)
		rows := statetest.Rows(t, s)
		if _, old := rows["old"]; !old {
			require.Equal(t, map[string]string{"new": "1"}, rows, "step %d", i)
			require.Len(t, quarantined(t, clone), 1, "step %d", i)
		}
		require.NoError(t, s.Close())
	}
}

// Damage that only a Range meets leads to a quarantine at the next open too.
func TestR32_DamageMetByRange(t *testing.T) {
	fs := ldb.NewMemFS()
	s := openMem(t, fs)
	var kv []string
	for i := range 500 {
		kv = append(kv, fmt.Sprintf("k%03d", i), strings.Repeat(fmt.Sprint(i), 50))
	}
	statetest.Write(t, s, 0, kv...)
	require.NoError(t, s.Close())
	require.NoError(t, openMem(t, fs).Close()) // the journal becomes a table
	require.NoError(t, fs.Corrupt(fileOf(t, fs, ".ldb"), 50))
	s, causes := openCounting(t, fs)
	require.Empty(t, causes)
	it := s.Range(nil, nil)
	for it.Next() {
	}
	var damage *state.DamageError
	require.ErrorAs(t, it.Close(), &damage)
	require.NoError(t, s.Close())
	requireDamaged(t, fs)
}

// A store that is open, also one that has never been restored to the end, is not opened again, and nothing of it is removed.
func TestStoreOpenTwiceHarmsNothing(t *testing.T) {
	for name, fs := range map[string]ldb.FS{"os": ldb.OS(), "memory": ldb.NewMemFS()} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "store")
			open := func() (state.Store, error) { return state.Open(dir, state.Options{FS: fs, Logger: quiet}) }
			s, err := open()
			require.NoError(t, err)
			require.NoError(t, s.Rebuild("no checkpoint", false))
			statetest.Write(t, s, 0, "k", "v")
			_, err = open()
			require.Error(t, err, "a first rebuild is under way")
			require.NoError(t, s.Swap())
			require.Equal(t, map[string]string{"k": "v"}, statetest.Rows(t, s))
			_, err = open()
			require.Error(t, err)
			require.NoError(t, s.Close())
		})
	}
}
