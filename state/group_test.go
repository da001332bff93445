package state_test

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tarnstream/tarn/state"
)

func lock(t *testing.T, dir string) *state.GroupDir {
	t.Helper()
	g, err := state.LockGroup(dir, "groups", "g", quiet)
	require.NoError(t, err)
	return g
}

func TestR42_SecondHolderIsRefused(t *testing.T) {
	dir := t.TempDir()
	g := lock(t, dir)
	_, err := state.LockGroup(dir, "groups", "g", quiet)
	var locked *state.LockedError
	require.ErrorAs(t, err, &locked)
	require.Equal(t, os.Getpid(), locked.PID)
	host, _ := os.Hostname()
	require.Equal(t, host, locked.Host)
	view, err := state.LockGroup(dir, "views", "g", quiet)
	require.NoError(t, err, "a view of the same name is another directory")
	require.NoError(t, view.Close())
	require.NoError(t, g.Close())
	require.NoError(t, g.Close())
	require.NoError(t, lock(t, dir).Close())
}

// Another process is refused too, and a killed holder leaves the directory free.
func TestR42_AnotherProcess(t *testing.T) {
	dir := t.TempDir()
	child := exec.Command(os.Args[0], "-test.run=TestR42_HolderProcess")
	child.Env = append(os.Environ(), "TARN_TEST_HOLD="+dir)
	in, err := child.StdinPipe()
	require.NoError(t, err)
	out, err := child.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, child.Start())
	buf := make([]byte, 4)
	_, err = out.Read(buf)
	require.NoError(t, err)
	require.Equal(t, "held", string(buf))
	_, err = state.LockGroup(dir, "groups", "g", quiet)
	var locked *state.LockedError
	require.ErrorAs(t, err, &locked)
	require.Equal(t, child.Process.Pid, locked.PID)
	require.NoError(t, child.Process.Kill())
	_ = child.Wait()
	_ = in.Close()
	require.NoError(t, lock(t, dir).Close())
}

func TestR42_HolderProcess(t *testing.T) {
	dir := os.Getenv("TARN_TEST_HOLD")
	if dir == "" {
		t.Skip("run by TestR42_AnotherProcess")
	}
	defer lock(t, dir).Close()
	_, _ = os.Stdout.WriteString("held")
	_, _ = os.Stdin.Read(make([]byte, 1))
}

func TestR68_InstanceID(t *testing.T) {
	dir := t.TempDir()
	g := lock(t, dir)
	id := g.InstanceID()
	require.NotEmpty(t, g.InstanceNote())
	require.NoError(t, g.Close())
	g = lock(t, dir)
	require.Equal(t, id, g.InstanceID())
	require.Empty(t, g.InstanceNote())
	require.NoError(t, g.Close())

	moved := filepath.Join(t.TempDir(), "moved")
	require.NoError(t, os.Rename(dir, moved))
	g = lock(t, moved)
	require.Equal(t, id, g.InstanceID(), "a renamed directory is the same one")
	require.NoError(t, g.Close())

	copied := t.TempDir()
	require.NoError(t, os.CopyFS(filepath.Join(copied, "c"), os.DirFS(moved)))
	g = lock(t, filepath.Join(copied, "c"))
	require.NotEqual(t, id, g.InstanceID())
	require.Contains(t, g.InstanceNote(), "copied")
	require.NoError(t, g.Close())
}

func TestGroupDirs(t *testing.T) {
	dir := t.TempDir()
	g := lock(t, dir)
	defer g.Close()
	require.Equal(t, filepath.Join(g.Dir(), "t-1", "3"), g.StoreDir("t-1", 3))
	got, err := g.Partitions("t-1")
	require.NoError(t, err)
	require.Empty(t, got)
	for _, p := range []int32{10, 2} {
		require.NoError(t, os.MkdirAll(g.StoreDir("t-1", p), 0o755))
	}
	require.NoError(t, os.MkdirAll(filepath.Join(g.Dir(), "t-1", "other"), 0o755))
	got, err = g.Partitions("t-1")
	require.NoError(t, err)
	require.Equal(t, []int32{2, 10}, got)
}

func TestLockGroupFaults(t *testing.T) {
	for _, args := range [][3]string{{"", "groups", "g"}, {"d", "groups", ""}, {"d", "others", "g"}} {
		_, err := state.LockGroup(args[0], args[1], args[2], nil)
		require.Error(t, err)
	}
	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, nil, 0o644))
	_, err := state.LockGroup(file, "groups", "g", nil)
	var path *fs.PathError
	require.ErrorAs(t, err, &path)
}

// Different names give different folders, also on a file system that takes A for a.
func TestFolderNames(t *testing.T) {
	g := lock(t, t.TempDir())
	defer g.Close()
	seen := map[string]string{}
	for _, name := range []string{"a", "A", "%41", "a.b", ".", "..", ".a", "a.", "LOCK", "lock", "instance", "con", "con.x", "com1",
		"ä", "a/b", "a%2fb", "a b", "", strings.Repeat("x", 249), strings.Repeat("X", 249), strings.Repeat("X", 248) + "Y"} {
		folder := filepath.Base(filepath.Dir(g.StoreDir(name+"", 0)))
		if name == "" {
			continue
		}
		require.Equal(t, strings.ToLower(folder), folder)
		require.LessOrEqual(t, len(folder), 249)
		require.NotContains(t, []string{"lock", "instance", "con", ".", ".."}, folder)
		require.Equal(t, g.Dir(), filepath.Dir(filepath.Dir(g.StoreDir(name, 0))), "%q stays in the directory", name)
		require.Empty(t, seen[folder], "%q", name)
		seen[folder] = name
	}
}
