package ldb

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/syndtr/goleveldb/leveldb/storage"
)

// trial is a rebuild with several rounds of merges, of which a test stops after some, to do something to its files.
type trial struct {
	b    *Builder
	want map[string][]byte
	next int
}

const trialRounds = 30

func newTrial(fs FS) (*trial, error) {
	if err := fs.MkdirAll("/db"); err != nil {
		return nil, err
	}
	b, err := NewBuilder(fs, "/db", mergeConfig.Shared, noDigest)
	if err != nil {
		return nil, err
	}
	b.most = limits{ways: 3, bytes: 1, least: 4}
	return &trial{b: b, want: map[string][]byte{}}, nil
}

// round has three rows of keys that come again, and deletes one.
func (r *trial) round() error {
	i := r.next
	r.next++
	gone := shortKey((i*7 + 3) % 40)
	rows := map[string][]byte{gone: nil}
	for n := range 3 {
		rows[shortKey((i*5+n)%40)] = wideRow(n, i, 1500)
	}
	for key, row := range rows {
		if r.want[key] = row; row == nil {
			delete(r.want, key)
		}
	}
	return r.b.Add(listed{slices.Sorted(maps.Keys(rows)), rows})
}

type listed struct {
	keys []string
	rows map[string][]byte
}

func (l listed) Len() int { return len(l.keys) }

func (l listed) At(i int) (key, row []byte) { return []byte(l.keys[i]), l.rows[l.keys[i]] }

// end gives the database, or what went wrong on the way.
func (r *trial) end() (*DB, error) {
	if err := r.until(trialRounds); err != nil {
		return nil, errors.Join(err, r.b.Close())
	}
	return r.b.Open(mergeConfig)
}

func (r *trial) until(round int) error {
	for r.next < round {
		if err := r.round(); err != nil {
			return err
		}
	}
	return nil
}

// harm is what may become of a file.
type harm struct {
	name string
	do   func(fs *MemFS, path string) error
}

func flip(at int, bits byte) harm {
	return harm{fmt.Sprintf("byte %d", at), func(fs *MemFS, path string) error {
		data, err := fs.ReadFile(path)
		if err != nil {
			return err
		}
		data[at] ^= bits
		return fs.WriteFile(path, data)
	}}
}

// harms are: gone, cut off at several places, and bytes that have changed: some of the rows, and each of the last ones, which
// no checksum guards.
func harms(size int) []harm {
	all := []harm{{"gone", func(fs *MemFS, path string) error { return fs.RemoveAll(path) }}}
	for _, n := range []int{0, 1, 47, size / 2, size - 48, size - 1} {
		all = append(all, harm{fmt.Sprintf("cut to %d", n), func(fs *MemFS, path string) error { return fs.Truncate(path, n) }})
	}
	for at := 0; at < size-60; at += 1 + size/20 {
		all = append(all, flip(at, 0x40))
	}
	for at := size - 60; at < size; at++ {
		all = append(all, flip(at, 0xc0))
	}
	return all
}

// A file of a rebuild that is damaged, cut off or gone before it is merged: the rebuild ends with an error that names it, or
// what was damaged is none of the rows. None is ever missing.
func TestR32_DamagedFileOfARebuild(t *testing.T) {
	met, passed := 0, 0
	for _, stop := range []int{1, 2, 11, 29} {
		for file := 0; ; file++ {
			tables := tablesAfter(t, stop)
			if file == len(tables) {
				break
			}
			for _, h := range harms(tables[file].size) {
				if damaged(t, stop, tables[file].path, h) {
					met++
				} else {
					passed++
				}
			}
		}
	}
	t.Logf("%d met, %d of no effect", met, passed)
	require.NotZero(t, met)
}

type sized struct {
	path string
	size int
}

func tablesAfter(t *testing.T, stop int) (tables []sized) {
	t.Helper()
	fs := NewMemFS()
	r, err := newTrial(fs)
	require.NoError(t, err)
	require.NoError(t, r.until(stop))
	names, err := fs.List("/db")
	require.NoError(t, err)
	for _, name := range names {
		path := filepath.Join("/db", name)
		data, err := fs.ReadFile(path)
		require.NoError(t, err)
		tables = append(tables, sized{path, len(data)})
	}
	return tables
}

// damaged does harm to a file in mid-rebuild and tells whether it was met.
func damaged(t *testing.T, stop int, path string, h harm) bool {
	t.Helper()
	when := fmt.Sprintf("%s of %s after %d rounds", h.name, path, stop)
	fs := NewMemFS()
	r, err := newTrial(fs)
	require.NoError(t, err)
	require.NoError(t, r.until(stop))
	require.NoError(t, h.do(fs, path))
	db, err := r.end()
	if err != nil {
		require.True(t, IsDamage(err), "%s: %v", when, err)
		require.ErrorContains(t, err, strings.TrimLeft(filepath.Base(path), "0"), when)
		require.NoError(t, RequireClosed(fs, "/db"))
		return true
	}
	got := map[string][]byte{}
	it := db.Iterate(nil, nil)
	for it.Next() {
		got[string(it.Key())] = bytes.Clone(it.Value())
	}
	err = it.Err()
	it.Release()
	require.NoError(t, db.Close())
	if err != nil {
		require.True(t, IsDamage(err), "%s: %v", when, err)
		return true
	}
	require.True(t, maps.EqualFunc(r.want, got, bytes.Equal), when)
	return false
}

// Whatever operation fails in a rebuild with several rounds of merges, nothing is left open; and what is on disk after a
// crash, then or at the operation, is the whole database or none.
func TestR41_R43_AnyOperationOfARebuildFails(t *testing.T) {
	whole := 0
	for i, over := 0, false; !over; i++ {
		fs, n := NewMemFS(), 0
		var crashed *MemFS
		r, err := newTrial(&FailFS{FS: fs, Before: func(string, string) error {
			if n++; n-1 < i {
				return nil
			}
			if crashed == nil {
				crashed = fs.CrashClone()
			}
			return ErrInjected
		}})
		var db *DB
		if err == nil {
			if db, err = r.end(); err == nil {
				err = errors.Join(fs.SyncDir("/db"), db.Close())
			}
		}
		require.True(t, err == nil || !IsDamage(err), "operation %d: a disk that fails is no damage: %v", i, err)
		require.Zero(t, mergeConfig.Shared.Bytes(), "operation %d: a table is still being written", i)
		require.NoError(t, RequireClosed(fs, "/db"))
		if over = n <= i; over {
			require.NoError(t, err)
			crashed = fs.CrashClone()
		}
		for _, left := range []*MemFS{crashed, fs.CrashClone()} {
			if wholeOrNone(t, left, i) {
				whole++
			}
		}
	}
	require.NotZero(t, whole)
}

func wholeOrNone(t *testing.T, fs *MemFS, i int) bool {
	t.Helper()
	db, err := Open(fs, "/db", mergeConfig)
	if err != nil {
		require.True(t, IsDamage(err), "operation %d: there is no database: %v", i, err)
		return false
	}
	r, err := newTrial(NewMemFS())
	require.NoError(t, err)
	require.NoError(t, r.until(trialRounds))
	requireRows(t, db, r.want)
	require.NoError(t, db.Close())
	return true
}

// FuzzRun reads files that may be anything: rows that were written come back, and what was not is damage.
func FuzzRun(f *testing.F) {
	fs := NewMemFS()
	r, err := newTrial(fs)
	if err := errors.Join(err, r.until(7)); err != nil {
		f.Fatal(err)
	}
	names, err := fs.List("/db")
	if err != nil {
		f.Fatal(err)
	}
	for _, name := range names {
		data, err := fs.ReadFile(filepath.Join("/db", name))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Add(withSum(nil))
	f.Add(withSum([]byte{1, 2, 'k', 'v', 3, 0, 'k', 'e', 'y', 1}))
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, data := range [][]byte{data, withSum(data)} {
			if err := readRun(t, data); err != nil && !IsDamage(err) {
				t.Fatal(err)
			}
		}
	})
}

// withSum makes a block of what may be rows.
func withSum(rows []byte) []byte {
	b := binary.LittleEndian.AppendUint32(nil, uint32(len(rows)))
	return append(binary.LittleEndian.AppendUint32(b, castagnoli(rows)), rows...)
}

func readRun(t *testing.T, data []byte) error {
	fs := NewMemFS()
	require.NoError(t, fs.MkdirAll("/db"))
	b, err := NewBuilder(fs, "/db", mergeConfig.Shared, noDigest)
	require.NoError(t, err)
	fd := storage.FileDesc{Type: storage.TypeTable, Num: b.number()}
	require.NoError(t, fs.WriteFile(filepath.Join("/db", fd.String()), data))
	c := &cursor{b: b, files: []runFile{{fd: fd, size: len(data)}}}
	for {
		ok, err := c.next()
		if err != nil || !ok {
			require.NoError(t, c.close())
			return err
		}
		require.LessOrEqual(t, len(c.key)+len(c.row), len(data))
	}
}
