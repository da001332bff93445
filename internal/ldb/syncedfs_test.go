package ldb_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tarnstream/tarn/internal/ldb"
)

// lost gives a copy of dir as a loss of power leaves it.
func lost(t *testing.T, fs *ldb.SyncedFS, dir string) string {
	t.Helper()
	image := t.TempDir()
	require.NoError(t, os.CopyFS(image, os.DirFS(dir)))
	require.NoError(t, fs.Drop(dir, image))
	return image
}

func TestSyncedFS_KeepsWhatADatabaseSynced(t *testing.T) {
	fs, dir := ldb.NewSyncedFS(ldb.OS()), filepath.Join(t.TempDir(), "db")
	db := create(t, fs, dir)
	for range 3 { // with a journal that is new, one that has grown, and one that was there
		require.NoError(t, put(db, "synced", "1", true))
		require.NoError(t, put(db, "unsynced", "1", false))
		image := lost(t, fs, dir)
		crashed, err := ldb.Open(fs, image, config)
		require.NoError(t, err)
		_, ok, err := crashed.Get([]byte("synced"))
		require.NoError(t, err)
		require.True(t, ok)
		_, ok, err = crashed.Get([]byte("unsynced"))
		require.NoError(t, err)
		require.False(t, ok)
		require.NoError(t, crashed.Close())
		require.NoError(t, db.Close())
		require.NoError(t, os.RemoveAll(dir))
		require.NoError(t, os.CopyFS(dir, os.DirFS(lost(t, fs, image))))
		fs.Forget(dir)
		db, err = ldb.Open(fs, dir, config)
		require.NoError(t, err)
	}
	require.NoError(t, db.Close())
}

func TestSyncedFS_KeepsEntriesThatWereSynced(t *testing.T) {
	fs, dir := ldb.NewSyncedFS(ldb.OS()), t.TempDir()
	name := func(n string) string { return filepath.Join(dir, n) }
	names := func() []string {
		list, err := ldb.OS().List(lost(t, fs, dir))
		require.NoError(t, err)
		return list
	}
	require.NoError(t, os.WriteFile(name("before"), []byte("x"), 0o644))
	require.NoError(t, fs.WriteFile(name("before"), []byte("y")))
	require.NoError(t, fs.WriteFile(name("a"), []byte("a")))
	require.Equal(t, []string{"before"}, names())
	require.NoError(t, fs.SyncDir(dir))
	require.Equal(t, []string{"a", "before"}, names())
	require.NoError(t, fs.WriteFile(name("next"), []byte("b")))
	require.NoError(t, fs.Rename(name("next"), name("a")))
	require.Equal(t, []string{"a", "before"}, names(), "the old one or the new one is there")
	require.NoError(t, fs.MkdirAll(name("dir")))
	require.NoError(t, fs.WriteFile(filepath.Join(name("dir"), "f"), nil))
	require.NoError(t, fs.Rename(name("dir"), name("moved")))
	list, err := ldb.OS().List(filepath.Join(lost(t, fs, dir), "moved"))
	require.NoError(t, err)
	require.Empty(t, list)
	require.NoError(t, fs.RemoveAll(name("moved")))
	require.NoError(t, fs.WriteFile(name("c"), nil))
	fs.Forget(dir)
	require.Equal(t, []string{"a", "before", "c"}, names())
}
