package state_test

import (
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tarnstream/tarn/internal/bubbletest"
	"github.com/tarnstream/tarn/internal/ldb"
	"github.com/tarnstream/tarn/state"
	"github.com/tarnstream/tarn/state/statetest"
)

// stage is a store as one step of a life leaves it.
type stage struct {
	position int64
	rows     map[string]string
}

// lived is what a life has come to: what its last step that returned has left in the store, and what the one under way
// leaves.
type lived struct {
	mu          sync.Mutex
	done, doing stage
	all         []stage // that were done
}

func (l *lived) begin(s stage) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.doing = s
}

func (l *lived) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.done = l.doing
	l.all = append(l.all, l.done)
}

// now is what the store may hold.
func (l *lived) now() []stage {
	l.mu.Lock()
	defer l.mu.Unlock()
	return []stage{l.done, l.doing}
}

// life is what a store goes through: flushes, a sweep, a rebuild that sets the old generation aside, another that removes
// it, and flushes again. Rows are large and memory tables small, so that LevelDB writes tables, too. It stops at the first error.
func life(fs ldb.FS, l *lived) (err error) {
	s, err := state.Open(storeDir, state.Options{FS: fs, Logger: quiet, WriteBufferBytes: 16 << 10})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	at := int64(0)
	rows := map[string]string{}
	step := func(do func() error) {
		if err != nil {
			return
		}
		l.begin(stage{at, maps.Clone(rows)})
		if err = do(); err == nil {
			l.end()
		}
	}
	batch := func(n int) *state.Batch {
		b := new(state.Batch)
		for range n {
			key, value := fmt.Sprintf("k%d", at%40), strings.Repeat(fmt.Sprintf("%d-", at), 300)
			b.Put([]byte(key), []byte(value), at, at)
			rows[key] = value
			at++
		}
		b.SetCheckpoint(state.Checkpoint{Position: at, LastApplied: at - 1, LastAppliedEpoch: statetest.NoEpoch})
		return b
	}
	flush := func() {
		b := batch(10)
		step(func() error { return s.Write(b) })
	}
	for range 3 {
		flush()
	}
	maps.DeleteFunc(rows, func(key, _ string) bool { return rowOffset(key, at) < 15 })
	step(func() error { _, err := s.Sweep(15); return err })
	flush()
	for _, aside := range []bool{true, false} {
		old := stage{at, maps.Clone(rows)}
		at, rows = 0, map[string]string{}
		var bs []*state.Batch
		for range 18 { // which has the first ones merged before the end
			bs = append(bs, batch(3))
		}
		rebuilt := stage{at, maps.Clone(rows)}
		at, rows = old.position, old.rows
		step(func() error { return s.Rebuild("again", aside) })
		for _, b := range bs {
			step(func() error { return s.Write(b) })
		}
		at, rows = rebuilt.position, rebuilt.rows
		step(s.Swap)
		flush()
	}
	return err
}

// rowOffset is the offset of the row of a key that was written last before at.
func rowOffset(key string, at int64) int64 {
	var n int64
	fmt.Sscanf(key, "k%d", &n)
	return n + (at-1-n)/40*40
}

// requireAlive opens what a life has left and requires it to be one of stages: no damage, nothing between.
func requireAlive(t *testing.T, fs ldb.FS, stages []stage, when string) {
	t.Helper()
	s, causes := openCounting(t, fs)
	for _, cause := range causes { // of the generation to be set aside, where the fault came before that
		_, damage := errors.AsType[*state.DamageError](cause)
		require.False(t, damage, "%s: %v", when, cause)
	}
	got := stage{rows: statetest.Rows(t, s)}
	cp, _ := s.Checkpoint()
	got.position = cp.Position
	if !slices.ContainsFunc(stages, got.equal) {
		t.Fatalf("%s: position %d with %d rows: %v", when, got.position, len(got.rows), stages)
	}
	statetest.Write(t, s, 1000, "on", "1")
	require.NoError(t, s.Close())
	s, causes = openCounting(t, fs)
	require.Empty(t, causes)
	require.Equal(t, "1", statetest.Rows(t, s)["on"])
	require.NoError(t, s.Close())
}

// String is without the values.
func (s stage) String() string {
	return fmt.Sprintf("position %d with %d rows", s.position, len(s.rows))
}

func (s stage) equal(o stage) bool { return s.position == o.position && maps.Equal(s.rows, o.rows) }

// The i-th operation fails, alone or with all later ones, until a life passes with fewer: each time what is on disk is
// what the last step left that returned, or the one that failed.
func TestR41_AnyOperationOfALifeFails(t *testing.T) {
	for name, alone := range map[string]bool{"alone": true, "and all later ones": false} {
		t.Run(name, func(t *testing.T) {
			failed, over := 0, false
			for i := 0; !over; i++ {
				bubbletest.Run(t, func(t *testing.T) {
					var n atomic.Int64
					fs, l := ldb.NewMemFS(), new(lived)
					err := life(&ldb.FailFS{FS: fs, Before: func(string, string) error {
						if at := int(n.Add(1)) - 1; at == i || at > i && !alone {
							return ldb.ErrInjected
						}
						return nil
					}}, l)
					if err != nil {
						failed++
						_, damage := errors.AsType[*state.DamageError](err)
						require.False(t, damage, "operation %d: a disk that fails is no damage: %v", i, err)
					}
					requireAlive(t, fs, l.now(), fmt.Sprintf("operation %d fails", i))
					if over = int(n.Load()) <= i; over {
						require.NoError(t, err)
						t.Logf("%d operations, %d failed a step", i, failed)
					}
				})
			}
		})
	}
}

// A crash at any operation of a life leaves what the last step left that returned, or the one under way.
func TestR43_CrashAtAnyOperationOfALife(t *testing.T) {
	type crash struct {
		fs     *ldb.MemFS
		when   string
		stages []stage
	}
	var mu sync.Mutex
	var crashes []crash
	fs, l := ldb.NewMemFS(), new(lived)
	note := func(op, name string) error { // LevelDB has goroutines of its own: a step may end meanwhile
		mu.Lock()
		defer mu.Unlock()
		before := l.now()
		c := crash{fs.CrashClone(), fmt.Sprintf("crash at operation %d, %s of %s", len(crashes), op, name), nil}
		c.stages = append(before, l.now()...)
		crashes = append(crashes, c)
		return nil
	}
	require.NoError(t, life(&ldb.FailFS{FS: fs, Before: note}, l))
	require.NoError(t, note("end", "life"))
	for _, c := range crashes {
		requireAlive(t, c.fs, c.stages, c.when)
	}
	t.Logf("%d crashes", len(crashes))
}

// Whatever byte of whatever file is damaged, of a store with tables as well as journals: what is read is right, or of an
// earlier flush, or an error that names the damage and has the next open set the store aside. Nothing wrong is read.
func TestR32_AnyDamagedByteOfALife(t *testing.T) {
	whole, l := ldb.NewMemFS(), new(lived)
	require.NoError(t, life(whole, l))
	kinds := map[string]int{}
	for _, path := range filesOf(t, whole) {
		data, err := whole.ReadFile(path)
		require.NoError(t, err)
		for at := 0; at < len(data); at += 1 + len(data)/60 {
			fs := whole.CrashClone()
			require.NoError(t, fs.Corrupt(path, at))
			kinds[strings.TrimLeft(filepath.Base(path), "0123456789")+" "+readDamaged(t, fs, l.all, fmt.Sprintf("%s at %d", path, at))]++
		}
	}
	t.Log(kinds)
	require.NotZero(t, kinds[".ldb met while read"])
	require.NotZero(t, kinds["CURRENT set aside"])
}

// filesOf gives CURRENT and the files of the one generation there is.
func filesOf(t *testing.T, fs *ldb.MemFS) []string {
	paths := []string{filepath.Join(storeDir, "CURRENT")}
	names, err := fs.List(storeDir)
	require.NoError(t, err)
	for _, name := range names {
		if !strings.HasPrefix(name, "g") {
			continue
		}
		files, err := fs.List(filepath.Join(storeDir, name))
		require.NoError(t, err)
		for _, file := range files {
			paths = append(paths, filepath.Join(storeDir, name, file))
		}
	}
	return paths
}

// readDamaged opens a store with a damaged byte, reads all of it, and says what became of it.
func readDamaged(t *testing.T, fs *ldb.MemFS, all []stage, when string) string {
	t.Helper()
	s, causes := openCounting(t, fs)
	cp, has := s.Checkpoint()
	got := map[string]string{}
	it := s.Range(nil, nil)
	for it.Next() {
		got[string(it.Key())] = string(it.Row().Value)
	}
	err := it.Close()
	require.NoError(t, s.Close())
	switch {
	case len(causes) > 0:
		require.False(t, has, when)
		require.Empty(t, got, when)
		return "set aside"
	case err != nil:
		for key, value := range got {
			require.Equal(t, all[len(all)-1].rows[key], value, when)
		}
		var damage *state.DamageError
		require.ErrorAs(t, err, &damage, when)
		requireDamaged(t, fs)
		return "met while read"
	}
	require.True(t, slices.ContainsFunc(all, stage{cp.Position, got}.equal), when)
	return "right"
}
