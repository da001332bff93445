package state_test

import (
	"crypto/sha256"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tarnstream/tarn/state"
	"github.com/tarnstream/tarn/state/statetest"
)

// tree is what lies below dir: every entry with its mode, time and content.
func tree(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	require.NoError(t, filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		sum := ""
		if !e.IsDir() {
			data, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			sum = fmt.Sprintf("%x", sha256.Sum256(data))
		}
		all[path] = fmt.Sprint(info.Mode(), info.ModTime(), info.Size(), sum)
		return nil
	}))
	return all
}

func look(t *testing.T, dir string) state.Store {
	t.Helper()
	s, err := state.Open(dir, state.Options{ReadOnly: true, Logger: quiet})
	require.NoError(t, err)
	return s
}

// The rows lie in a journal, that of a store that another one has open, which any other open would replay.
func TestReadOnly_LeavesTheDirectoryAsItIs(t *testing.T) {
	dir := t.TempDir()
	owner, err := state.Open(dir, state.Options{Logger: quiet})
	require.NoError(t, err)
	defer owner.Close()
	statetest.Write(t, owner, 0, "a", "1", "b", "2")
	statetest.Write(t, owner, 2, "a", "3")
	require.NoError(t, owner.Rebuild("a rebuild that is not finished", false))
	statetest.Write(t, owner, 0, "c", "4")
	before := tree(t, dir)

	s := look(t, dir)
	require.Equal(t, map[string]string{"a": "3", "b": "2"}, statetest.Rows(t, s))
	row, ok, err := s.Get([]byte("a"))
	require.NoError(t, err)
	require.True(t, ok)
	require.EqualValues(t, 2, row.Offset)
	cp, ok := s.Checkpoint()
	require.True(t, ok)
	require.EqualValues(t, 3, cp.Position)
	var b state.Batch
	b.Put([]byte("d"), nil, 3, 3)
	require.ErrorContains(t, s.Write(&b), "reading only")
	require.ErrorContains(t, s.Rebuild("why", false), "reading only")
	require.ErrorContains(t, s.Swap(), "reading only")
	_, err = s.Sweep(2)
	require.ErrorContains(t, err, "reading only")
	require.NoError(t, s.Close())
	require.Equal(t, before, tree(t, dir))

	statetest.Write(t, owner, 1, "d", "5") // the owner has noticed nothing
	require.NoError(t, owner.Swap())
	s = look(t, dir)
	require.Equal(t, map[string]string{"c": "4", "d": "5"}, statetest.Rows(t, s))
	require.NoError(t, s.Close())
}

// A kill may leave two journals: one was full, and its table not finished.
func TestReadOnly_TwoJournals(t *testing.T) {
	dir := t.TempDir()
	owner, err := state.Open(dir, state.Options{Logger: quiet})
	require.NoError(t, err)
	statetest.Write(t, owner, 0, "a", "1")
	require.NoError(t, owner.Close())
	require.NoError(t, os.WriteFile(filepath.Join(dir, "g00000001", "000099.log"), nil, 0o600))
	before := tree(t, dir)
	s := look(t, dir)
	require.Equal(t, map[string]string{"a": "1"}, statetest.Rows(t, s))
	require.NoError(t, s.Close())
	require.Equal(t, before, tree(t, dir))
}

func TestReadOnly_DamageIsToldAndLeft(t *testing.T) {
	dir := t.TempDir()
	owner, err := state.Open(dir, state.Options{Logger: quiet})
	require.NoError(t, err)
	statetest.Write(t, owner, 0, "a", "1")
	require.NoError(t, owner.Close())
	current := filepath.Join(dir, "g00000001", "CURRENT")
	require.NoError(t, os.WriteFile(current, []byte("nothing\n"), 0o600))
	before := tree(t, dir)
	_, err = state.Open(dir, state.Options{ReadOnly: true, Logger: quiet})
	require.ErrorAs(t, err, new(*state.DamageError))
	require.Equal(t, before, tree(t, dir))
}

func TestReadOnly_NothingThere(t *testing.T) {
	dir := t.TempDir()
	s := look(t, dir)
	_, ok := s.Checkpoint()
	require.False(t, ok)
	require.Empty(t, statetest.Rows(t, s))
	require.NoError(t, s.Close())
	require.Len(t, tree(t, dir), 1)
	_, err := state.Open(filepath.Join(dir, "none"), state.Options{ReadOnly: true, Logger: quiet})
	require.ErrorIs(t, err, os.ErrNotExist)
	require.Len(t, tree(t, dir), 1)
}

// While another one writes the store, and LevelDB moves its files about, what is read is whole or is told to be damage.
func TestReadOnly_WhileItIsWritten(t *testing.T) {
	dir := t.TempDir()
	owner, err := state.Open(dir, state.Options{Logger: quiet, WriteBufferBytes: 16 << 10})
	require.NoError(t, err)
	value := strings.Repeat("v", 1<<10)
	statetest.Write(t, owner, 0, "k", value)
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for n := int64(1); ; n++ {
			select {
			case <-stop:
				return
			default:
				statetest.Write(t, owner, n, "k", value)
			}
		}
	}()
	whole := 0
	for range 200 {
		s, err := state.Open(dir, state.Options{ReadOnly: true, Logger: quiet})
		if err != nil {
			require.ErrorAs(t, err, new(*state.DamageError))
			continue
		}
		cp, ok := s.Checkpoint()
		require.True(t, ok)
		row, ok, err := s.Get([]byte("k"))
		if err != nil { // a table went away
			require.ErrorAs(t, err, new(*state.DamageError))
		} else {
			require.True(t, ok)
			require.Equal(t, cp.LastApplied, row.Offset)
			whole++
		}
		require.NoError(t, s.Close())
	}
	close(stop)
	<-done
	require.Positive(t, whole)
	require.NoError(t, owner.Close())
	s := look(t, dir)
	require.Len(t, statetest.Rows(t, s), 1, "the owner was not disturbed")
	require.NoError(t, s.Close())
}

// A snapshot's checkpoint speaks of its rows, whatever is written beside it.
func TestSnapshot_RowsAndCheckpointAreOfOneMoment(t *testing.T) {
	s, err := state.Open(t.TempDir(), state.Options{Logger: quiet})
	require.NoError(t, err)
	it, _, ok := s.Snapshot()
	require.False(t, ok)
	require.False(t, it.Next())
	require.NoError(t, it.Close())
	stop, done := make(chan struct{}), make(chan struct{})
	statetest.Write(t, s, 0, "k", "v")
	go func() {
		defer close(done)
		for n := int64(1); ; n++ {
			select {
			case <-stop:
				return
			default:
				statetest.Write(t, s, n, "k", "v")
			}
		}
	}()
	for range 200 {
		it, cp, ok := s.Snapshot()
		require.True(t, ok)
		require.True(t, it.Next())
		require.Equal(t, cp.LastApplied, it.Row().Offset)
		require.NoError(t, it.Close())
	}
	close(stop)
	<-done
	require.NoError(t, s.Close())
}
