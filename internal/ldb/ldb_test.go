package ldb_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/tarnstream/tarn/internal/ldb"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("github.com/syndtr/goleveldb/leveldb.(*DB).mpoolDrain"))
}

var config = ldb.Config{Shared: ldb.NewShared(1<<20, 16, 2), WriteBufferBytes: 64 << 10}

func create(t *testing.T, fs ldb.FS, dir string) *ldb.DB {
	t.Helper()
	require.NoError(t, fs.MkdirAll(dir))
	c := config
	c.Create = true
	db, err := ldb.Open(fs, dir, c)
	require.NoError(t, err)
	return db
}

func put(db *ldb.DB, key, value string, sync bool) error {
	var b ldb.Batch
	b.Put([]byte(key), []byte(value))
	return db.Write(&b, sync)
}

func TestFileSystems(t *testing.T) {
	for name, open := range map[string]func(t *testing.T) (ldb.FS, string){
		"os":     func(t *testing.T) (ldb.FS, string) { return ldb.OS(), t.TempDir() + "/db" },
		"memory": func(*testing.T) (ldb.FS, string) { return ldb.NewMemFS(), "/a/db" },
	} {
		t.Run(name, func(t *testing.T) {
			fs, dir := open(t)
			db := create(t, fs, dir)
			_, err := ldb.Open(fs, dir, config)
			require.Error(t, err, "it is open")
			require.False(t, ldb.IsDamage(err))
			for i := range 5000 {
				require.NoError(t, put(db, fmt.Sprintf("%04d", i), fmt.Sprint(i), i%100 == 0))
			}
			require.NoError(t, db.Close())
			db, err = ldb.Open(fs, dir, config)
			require.NoError(t, err)
			it := db.Iterate([]byte("0010"), []byte("4990"))
			n := 10
			for ; it.Next(); n++ {
				require.Equal(t, fmt.Sprint(n), string(it.Value()))
			}
			require.NoError(t, it.Err())
			it.Release()
			require.Equal(t, 4990, n)
			require.NoError(t, db.Close())
			require.NoError(t, fs.MkdirAll(dir+"2"))
			_, err = ldb.Open(fs, dir+"2", config)
			require.True(t, ldb.IsDamage(err), "it must exist: %v", err)
		})
	}
}

// A crash keeps what was synced and nothing less.
func TestCrashClone(t *testing.T) {
	fs := ldb.NewMemFS()
	db := create(t, fs, "/db")
	require.NoError(t, put(db, "synced", "1", true))
	require.NoError(t, put(db, "unsynced", "1", false))
	crashed := fs.CrashClone()
	require.NoError(t, db.Close())
	db, err := ldb.Open(crashed, "/db", config)
	require.NoError(t, err)
	_, ok, err := db.Get([]byte("synced"))
	require.NoError(t, err)
	require.True(t, ok)
	_, ok, err = db.Get([]byte("unsynced"))
	require.NoError(t, err)
	require.False(t, ok)
	require.NoError(t, db.Close())
}

// Every synced write is there after a crash at any moment, also across journal changes.
func TestCrashKeepsEverySyncedWrite(t *testing.T) {
	fs := ldb.NewMemFS()
	db := create(t, fs, "/db")
	value := string(make([]byte, 4000))
	for i := range 100 {
		require.NoError(t, put(db, fmt.Sprint(i), value, true))
		if i%7 != 0 {
			continue
		}
		after, err := ldb.Open(fs.CrashClone(), "/db", config)
		require.NoError(t, err)
		for j := range i + 1 {
			_, ok, err := after.Get(fmt.Append(nil, j))
			require.NoError(t, err)
			require.True(t, ok, "write %d after %d", j, i)
		}
		require.NoError(t, after.Close())
	}
	require.NoError(t, db.Close())
}

func TestMemFSDirectories(t *testing.T) {
	fs := ldb.NewMemFS()
	require.NoError(t, fs.MkdirAll("/d"))
	require.NoError(t, fs.WriteFile("/d/a", []byte("1")))
	_, err := fs.CrashClone().ReadFile("/d/a")
	require.Error(t, err, "its entry was not synced")
	require.NoError(t, fs.SyncDir("/d"))
	require.NoError(t, fs.Rename("/d/a", "/d/b"))
	got, err := fs.CrashClone().ReadFile("/d/a")
	require.NoError(t, err, "the rename was not synced")
	require.Equal(t, "1", string(got))
	require.NoError(t, fs.SyncDir("/d"))
	names, err := fs.CrashClone().List("/d")
	require.NoError(t, err)
	require.Equal(t, []string{"b"}, names)
}

func TestFailFS(t *testing.T) {
	for i := 0; ; i++ {
		before, _ := ldb.FailAt(i)
		fs := &ldb.FailFS{FS: ldb.NewMemFS(), Before: before}
		err := fs.MkdirAll("/db")
		if err == nil {
			c := config
			c.Create = true
			var db *ldb.DB
			if db, err = ldb.Open(fs, "/db", c); err == nil {
				err = put(db, "k", "v", true)
				_ = db.Close()
			}
		}
		if err == nil {
			require.Greater(t, i, 5)
			return
		}
	}
}
