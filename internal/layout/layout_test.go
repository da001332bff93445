package layout

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gofrs/flock"
	"github.com/stretchr/testify/require"
)

func TestUnescape(t *testing.T) {
	for _, name := range []string{"clicks", "Clicks", "lock", "a b/c%", ".hidden.", "com1", "ümlaut", "a.b"} {
		got, ok := Unescape(Escape(name))
		require.True(t, ok, name)
		require.Equal(t, name, got)
	}
	for _, folder := range []string{"", "Clicks", "%zz", "lock", "%61", Escape(strings.Repeat("X", 300))} {
		_, ok := Unescape(folder)
		require.False(t, ok, folder)
	}
}

func FuzzUnescape(f *testing.F) {
	f.Add("%43licks")
	f.Fuzz(func(t *testing.T, folder string) {
		if name, ok := Unescape(folder); ok {
			require.Equal(t, folder, Escape(name))
		}
		if name, ok := Unescape(Escape(folder)); ok {
			require.Equal(t, folder, name)
		}
	})
}

func TestFind(t *testing.T) {
	dir, long := t.TempDir(), Escape(strings.Repeat("X", 300))
	for _, path := range []string{"groups/%43licks/counts/10", "groups/%43licks/counts/9", "groups/%43licks/counts/quarantine", "views/" + long + "/" + long + "/0"} {
		require.NoError(t, os.MkdirAll(filepath.Join(dir, path), 0o755))
	}
	found, err := Find(dir)
	require.NoError(t, err)
	group, view := filepath.Join(dir, "groups", "%43licks"), filepath.Join(dir, "views", long)
	require.Equal(t, []Group{{Kind: Groups, Dir: group, Name: "Clicks"}, {Kind: Views, Dir: view, Name: long, Cut: true}}, found)
	stores, err := found[0].Stores()
	require.NoError(t, err)
	require.Equal(t, []Store{{Dir: filepath.Join(group, "counts", "9"), Table: "counts", Partition: 9},
		{Dir: filepath.Join(group, "counts", "10"), Table: "counts", Partition: 10}}, stores)
	stores, err = found[1].Stores()
	require.NoError(t, err)
	require.Equal(t, []Store{{Dir: filepath.Join(view, long, "0"), Table: long, Cut: true}}, stores)

	alone, err := Find(group)
	require.NoError(t, err)
	require.Equal(t, found[:1], alone)
	_, err = Find(t.TempDir())
	require.ErrorContains(t, err, "is neither a state directory nor the folder of a group or a view")
	_, err = Find(filepath.Join(dir, "none"))
	require.ErrorIs(t, err, os.ErrNotExist)
}

func TestHolderOf(t *testing.T) {
	dir := t.TempDir()
	_, held, err := HolderOf(dir)
	require.NoError(t, err)
	require.False(t, held, "there is no lock")
	require.NoFileExists(t, filepath.Join(dir, Lock))

	l := flock.New(filepath.Join(dir, Lock))
	ok, err := l.TryLock()
	require.NoError(t, err)
	require.True(t, ok)
	require.NoError(t, os.WriteFile(l.Path(), []byte("4711 there\n"), 0o600))
	h, held, err := HolderOf(dir)
	require.NoError(t, err)
	require.True(t, held)
	require.Equal(t, Holder{4711, "there"}, h)
	taken, err := try(l.Path())
	require.NoError(t, err)
	require.True(t, taken, "without a list of locks the answer is the same")

	require.NoError(t, l.Close())
	_, held, err = HolderOf(dir)
	require.NoError(t, err)
	require.False(t, held)
	taken, err = try(l.Path())
	require.NoError(t, err)
	require.False(t, taken)
	require.Equal(t, Holder{4711, "there"}, LockedBy(dir), "the last one")
}
