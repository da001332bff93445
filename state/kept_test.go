package state

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tarnstream/tarn/internal/ldb"
)

const keptDir = "/state/groups/g/table/0"

func keptOptions(fs ldb.FS) Options {
	return Options{FS: fs, Logger: slog.New(slog.DiscardHandler), Now: func() time.Time { return time.Unix(1e9, 0) }}.withDefaults()
}

// keep makes a closed store with rows, and one generation in quarantine that was set aside at time at, unless that is 0.
func keep(t *testing.T, fs ldb.FS, at int64) {
	t.Helper()
	o := keptOptions(fs)
	if at != 0 {
		o.Now = func() time.Time { return time.Unix(at, 0) }
	}
	s, err := Open(keptDir, o)
	require.NoError(t, err)
	write := func(key string) {
		var b Batch
		b.Put([]byte(key), []byte("v"), 1, 2)
		b.SetCheckpoint(Checkpoint{Position: 7, KnownCurrent: time.Unix(5e8, 0), DeleteRetention: time.Hour})
		require.NoError(t, s.Write(&b))
	}
	write("old")
	if at != 0 {
		require.NoError(t, s.Rebuild("made again", true))
		write("new")
		require.NoError(t, s.Swap())
	}
	require.NoError(t, s.Close())
}

// rowsOf opens the store and lists its keys; damage is a failure.
func rowsOf(t *testing.T, fs ldb.FS) (keys []string) {
	t.Helper()
	o := keptOptions(fs)
	o.Observer = Observer{Quarantined: func(path string, cause error) { t.Errorf("quarantined %s: %v", path, cause) }}
	s, err := Open(keptDir, o)
	require.NoError(t, err)
	defer func() { require.NoError(t, s.Close()) }()
	it := s.Range(nil, nil)
	for it.Next() {
		keys = append(keys, string(it.Key()))
	}
	require.NoError(t, it.Close())
	_, has := s.Checkpoint()
	require.Equal(t, len(keys) > 0, has, "an empty store has no checkpoint")
	return keys
}

func TestR43_CrashInTheMiddleOfARemoval(t *testing.T) {
	fs := ldb.NewMemFS()
	keep(t, fs, 0)
	var clones []*ldb.MemFS
	work := fs.CrashClone()
	require.NoError(t, removeStore(keptOptions(&ldb.FailFS{FS: work, Before: func(string, string) error {
		clones = append(clones, work.CrashClone())
		return nil
	}}), keptDir))
	_, err := work.List(keptDir)
	require.ErrorIs(t, err, os.ErrNotExist)
	whole, empty := 0, 0
	for _, clone := range append(clones, work.CrashClone()) {
		again := clone.CrashClone() // the next removal may come before the next open
		require.NoError(t, removeStore(keptOptions(again), keptDir))
		require.Empty(t, rowsOf(t, again))
		if keys := rowsOf(t, clone); len(keys) == 0 {
			empty++
		} else {
			require.Equal(t, []string{"old"}, keys)
			whole++
		}
	}
	require.Positive(t, whole)
	require.Greater(t, empty, 1)
}

// The i-th operation fails, and all later ones: the store is whole or empty, and the next removal removes it.
func TestR41_RemovalThatFails(t *testing.T) {
	for i := 0; ; i++ {
		fs := ldb.NewMemFS()
		keep(t, fs, 0)
		before, _ := ldb.FailAt(i)
		err := removeStore(keptOptions(&ldb.FailFS{FS: fs, Before: before}), keptDir)
		if err == nil {
			require.Greater(t, i, 2)
			break
		}
		require.ErrorIs(t, err, ldb.ErrInjected)
		require.NoError(t, removeStore(keptOptions(fs), keptDir))
		require.Empty(t, rowsOf(t, fs))
	}
}

func TestRemove_LeavesAnOpenStoreAlone(t *testing.T) {
	for name, fs := range map[string]ldb.FS{"os": ldb.OS(), "memory": ldb.NewMemFS()} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "store")
			s, err := Open(dir, keptOptions(fs))
			require.NoError(t, err)
			var b Batch
			b.Put([]byte("k"), []byte("v"), 0, 0)
			b.SetCheckpoint(Checkpoint{Position: 1})
			require.NoError(t, s.Write(&b))
			require.Error(t, removeStore(keptOptions(fs), dir))
			_, _, err = storedCheckpoint(keptOptions(fs), dir)
			require.Error(t, err)
			_, ok, err := s.Get([]byte("k"))
			require.NoError(t, err)
			require.True(t, ok)
			require.NoError(t, s.Close())
			cp, ok, err := storedCheckpoint(keptOptions(fs), dir)
			require.NoError(t, err)
			require.True(t, ok)
			require.EqualValues(t, 1, cp.Position)
			require.NoError(t, removeStore(keptOptions(fs), dir))
			_, err = fs.List(dir)
			require.ErrorIs(t, err, os.ErrNotExist)
		})
	}
}

// What was set aside is for an operator: it outlives its store, for its own time.
func TestRemove_KeepsTheQuarantine(t *testing.T) {
	fs := ldb.NewMemFS()
	keep(t, fs, 1e9-3600)
	require.NoError(t, removeStore(keptOptions(fs), keptDir))
	aside, err := fs.List(filepath.Join(keptDir, quarantineDir))
	require.NoError(t, err)
	require.Len(t, aside, 1)
	name, err := storedGeneration(keptOptions(fs), keptDir)
	require.NoError(t, err)
	require.Equal(t, noGeneration, name)
	o := keptOptions(fs)
	o.Now = func() time.Time { return time.Unix(1e9, 0).Add(7 * 24 * time.Hour) }
	require.NoError(t, removeStore(o, keptDir))
	_, err = fs.List(keptDir)
	require.ErrorIs(t, err, os.ErrNotExist)
}

func TestStores_OfAGroup(t *testing.T) {
	g, err := LockGroup(t.TempDir(), "groups", "g", slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	defer g.Close()
	for p := range int32(4) {
		s, err := Open(g.StoreDir("table", p), Options{})
		require.NoError(t, err)
		if p > 0 {
			var b Batch
			b.SetCheckpoint(Checkpoint{Position: int64(p)})
			require.NoError(t, s.Write(&b))
		}
		require.NoError(t, s.Close())
	}
	require.NoError(t, os.WriteFile(filepath.Join(g.StoreDir("table", 2), currentFile), []byte("garbage"), 0o644))
	require.NoError(t, os.RemoveAll(filepath.Join(g.StoreDir("table", 3), "g00000001")))
	require.NoError(t, os.MkdirAll(g.StoreDir("table", 4), 0o755))

	all, err := g.Stores("table")
	require.NoError(t, err)
	require.Equal(t, []int32{1, 2, 3}, all)
	_, ok, err := g.StoredCheckpoint("table", 0)
	require.NoError(t, err)
	require.False(t, ok)
	cp, ok, err := g.StoredCheckpoint("table", 1)
	require.NoError(t, err)
	require.True(t, ok)
	require.EqualValues(t, 1, cp.Position)
	for _, p := range []int32{2, 3} {
		_, _, err := g.StoredCheckpoint("table", p)
		_, damage := errors.AsType[*DamageError](err)
		require.True(t, damage, "%v", err)
		require.NoError(t, g.Remove("table", p))
	}
	require.NoDirExists(t, filepath.Join(g.StoreDir("table", 3), "g00000001"), "a look makes nothing")
	require.NoError(t, g.Remove("table", 4))
	left, err := g.Partitions("table")
	require.NoError(t, err)
	require.Equal(t, []int32{0, 1}, left)
}
