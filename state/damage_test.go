package state_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tarnstream/tarn/internal/ldb"
	"github.com/tarnstream/tarn/state"
	"github.com/tarnstream/tarn/state/statetest"
)

// openCounting opens a store that may be damaged and gives the quarantined causes.
func openCounting(t *testing.T, fs ldb.FS) (state.Store, []error) {
	t.Helper()
	var causes []error
	s, err := state.Open(storeDir, state.Options{FS: fs, Logger: quiet,
		Observer: state.Observer{Quarantined: func(_ string, cause error) { causes = append(causes, cause) }}})
	require.NoError(t, err)
	return s, causes
}

func requireDamaged(t *testing.T, fs ldb.FS) {
	t.Helper()
	s, causes := openCounting(t, fs)
	require.Len(t, causes, 1)
	var damage *state.DamageError
	require.ErrorAs(t, causes[0], &damage)
	_, ok := s.Checkpoint()
	require.False(t, ok)
	require.Empty(t, statetest.Rows(t, s))
	statetest.Write(t, s, 0, "new", "1")
	require.NoError(t, s.Close())
	s, causes = openCounting(t, fs)
	require.Empty(t, causes, "it is quarantined once")
	require.Equal(t, map[string]string{"new": "1"}, statetest.Rows(t, s))
	require.NoError(t, s.Close())
}

// writtenFS has a store with n flushes, crashed, so that they all are in the journal.
func writtenFS(t *testing.T, n int) *ldb.MemFS {
	t.Helper()
	fs := ldb.NewMemFS()
	s := openMem(t, fs)
	for i := range n {
		statetest.Write(t, s, int64(i), fmt.Sprintf("k%d", i), strings.Repeat("v", 300))
	}
	clone := fs.CrashClone()
	require.NoError(t, s.Close())
	return clone
}

func fileOf(t *testing.T, fs *ldb.MemFS, suffix string) string {
	t.Helper()
	dir := filepath.Join(storeDir, "g00000001")
	names, err := fs.List(dir)
	require.NoError(t, err)
	for _, name := range names {
		if strings.HasSuffix(name, suffix) || strings.HasPrefix(name, suffix) {
			return filepath.Join(dir, name)
		}
	}
	t.Fatalf("no file %s in %v", suffix, names)
	return ""
}

// goleveldb drops the damaged batch, and what follows it in its 32 KiB block, and keeps later ones.
func TestR60_DamageInMidJournalIsQuarantined(t *testing.T) {
	size := func() int {
		fs := writtenFS(t, 400)
		data, err := fs.ReadFile(fileOf(t, fs, ".log"))
		require.NoError(t, err)
		return len(data)
	}()
	require.Greater(t, size, 4*32<<10)
	for _, at := range []int{9, 100, 5000, 32<<10 + 100, size / 2, size - 33<<10} {
		t.Run(fmt.Sprint(at), func(t *testing.T) {
			fs := writtenFS(t, 400)
			require.NoError(t, fs.Corrupt(fileOf(t, fs, ".log"), at))
			requireDamaged(t, fs)
		})
	}
}

func TestR60_TornLastWriteIsNoDamage(t *testing.T) {
	for cut := 1; cut < 300; cut += 13 {
		fs := writtenFS(t, 30)
		journal := fileOf(t, fs, ".log")
		data, err := fs.ReadFile(journal)
		require.NoError(t, err)
		require.NoError(t, fs.Truncate(journal, len(data)-cut))
		s, causes := openCounting(t, fs)
		require.Empty(t, causes)
		cp, ok := s.Checkpoint()
		require.True(t, ok)
		require.Equal(t, int64(29), cp.Position, "the store is at its last whole write")
		require.Len(t, statetest.Rows(t, s), 29)
		require.NoError(t, s.Close())
	}
}

func TestR32_DamagedFilesAreQuarantined(t *testing.T) {
	current := filepath.Join(storeDir, "CURRENT")
	for name, damage := range map[string]func(*testing.T, *ldb.MemFS) error{
		"CURRENT missing":           func(_ *testing.T, fs *ldb.MemFS) error { return fs.RemoveAll(current) },
		"CURRENT empty":             func(_ *testing.T, fs *ldb.MemFS) error { return fs.WriteFile(current, nil) },
		"CURRENT bit flipped":       func(_ *testing.T, fs *ldb.MemFS) error { return fs.Corrupt(current, 20) },
		"generation missing":        func(t *testing.T, fs *ldb.MemFS) error { return fs.RemoveAll(filepath.Join(storeDir, "g00000001")) },
		"manifest missing":          func(t *testing.T, fs *ldb.MemFS) error { return fs.RemoveAll(fileOf(t, fs, "MANIFEST")) },
		"manifest damaged":          func(t *testing.T, fs *ldb.MemFS) error { return fs.Corrupt(fileOf(t, fs, "MANIFEST"), 10) },
		"LevelDB's CURRENT missing": func(t *testing.T, fs *ldb.MemFS) error { return fs.RemoveAll(fileOf(t, fs, "CURRENT")) },
		"journal missing":           func(t *testing.T, fs *ldb.MemFS) error { return fs.RemoveAll(fileOf(t, fs, ".log")) },
		"journal empty":             func(t *testing.T, fs *ldb.MemFS) error { return fs.Truncate(fileOf(t, fs, ".log"), 0) },
		"everything in it is gone": func(t *testing.T, fs *ldb.MemFS) error {
			p := filepath.Join(storeDir, "g00000001")
			_ = fs.RemoveAll(p)
			return fs.MkdirAll(p)
		},
	} {
		t.Run(name, func(t *testing.T) {
			fs := writtenFS(t, 20)
			require.NoError(t, damage(t, fs))
			requireDamaged(t, fs)
		})
	}
}

// Whatever byte of whatever file is damaged, the store comes up: right, older, or quarantined; never wrong.
func TestR32_AnyDamagedByte(t *testing.T) {
	whole := writtenFS(t, 12)
	names, err := whole.List(filepath.Join(storeDir, "g00000001"))
	require.NoError(t, err)
	for _, name := range names {
		path := filepath.Join(storeDir, "g00000001", name)
		data, err := whole.ReadFile(path)
		require.NoError(t, err)
		for at := 0; at < len(data); at += 1 + len(data)/40 {
			fs := whole.CrashClone()
			require.NoError(t, fs.Corrupt(path, at))
			s, causes := openCounting(t, fs)
			cp, _ := s.Checkpoint() // none is position 0: it is rebuilt from the beginning
			require.Len(t, statetest.Rows(t, s), int(cp.Position), "%s at %d: %v", name, at, causes)
			require.NoError(t, s.Close())
		}
	}
}

// A damaged block of a table is met only when it is read; the next open then quarantines.
func TestR32_DamageMetWhileReading(t *testing.T) {
	fs := ldb.NewMemFS()
	s := openMem(t, fs)
	var kv []string
	for i := range 500 {
		kv = append(kv, fmt.Sprintf("k%03d", i), strings.Repeat(fmt.Sprint(i), 50))
	}
	statetest.Write(t, s, 0, kv...)
	require.NoError(t, s.Close())
	s = openMem(t, fs) // the journal becomes a table
	require.NoError(t, s.Close())
	require.NoError(t, fs.Corrupt(fileOf(t, fs, ".ldb"), 50))
	s, causes := openCounting(t, fs)
	require.Empty(t, causes)
	_, _, err := s.Get([]byte("k000"))
	var damage *state.DamageError
	require.ErrorAs(t, err, &damage)
	require.NoError(t, s.Close())
	requireDamaged(t, fs)
}

func TestQuarantineIsBounded(t *testing.T) {
	fs := ldb.NewMemFS()
	now := time.UnixMilli(1e12)
	open := func() state.Store {
		s, err := state.Open(storeDir, state.Options{FS: fs, Logger: quiet, Now: func() time.Time { return now }})
		require.NoError(t, err)
		return s
	}
	held := func() []string {
		names, err := fs.List(filepath.Join(storeDir, "quarantine"))
		require.NoError(t, err)
		return names
	}
	for range 4 {
		s := open()
		statetest.Write(t, s, 0, "k", "v")
		require.NoError(t, s.Close())
		require.NoError(t, fs.WriteFile(filepath.Join(storeDir, "CURRENT"), []byte("garbage")))
		now = now.Add(time.Hour)
	}
	require.NoError(t, open().Close())
	require.Len(t, held(), 2, "the newest ones are kept")
	now = now.Add(8 * 24 * time.Hour)
	require.NoError(t, open().Close())
	require.Empty(t, held())
}

func TestUnwritableDirectoryIsAnError(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(path, nil, 0o644))
	_, err := state.Open(filepath.Join(path, "0"), state.Options{Logger: quiet})
	require.ErrorContains(t, err, path)
}

func TestStoreOpenTwiceIsAnError(t *testing.T) {
	dir := t.TempDir()
	s, err := state.Open(dir, state.Options{Logger: quiet})
	require.NoError(t, err)
	statetest.Write(t, s, 0, "k", "v")
	_, err = state.Open(dir, state.Options{Logger: quiet})
	require.Error(t, err)
	require.Equal(t, map[string]string{"k": "v"}, statetest.Rows(t, s), "the first is unharmed")
	require.NoError(t, s.Close())
}
