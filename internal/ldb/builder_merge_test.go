package ldb

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/syndtr/goleveldb/leveldb/util"

	"github.com/tarnstream/tarn/internal/digest"
)

var mergeConfig = Config{Shared: NewShared(1<<20, 16, 2), WriteBufferBytes: 64 << 10}

func noDigest(_, _ []byte) digest.Sum { return digest.Sum{} }

// wideRow has bytes that do not compress, another row for each key and round.
func wideRow(key, round, size int) []byte {
	row := make([]byte, size)
	src := rand.NewChaCha8([32]byte{byte(key), byte(key >> 8), byte(round)})
	_, _ = src.Read(row)
	return row
}

// shape is of what kind a test's rows are.
type shape struct {
	key  func(int) string
	size int // of the row
}

// round has rows of the keys [from, to).
func (s shape) round(round, from, to int) Rows { return shaped{s, round, from, to} }

type shaped struct {
	shape
	number, from, to int
}

func (s shaped) Len() int { return s.to - s.from }

func (s shaped) At(i int) (key, row []byte) {
	return []byte(s.key(s.from + i)), wideRow(s.from+i, s.number, s.size)
}

func shortKey(i int) string { return fmt.Sprintf("key-%06d", i) }

// longKey differs from the others at its end only.
func longKey(i int) string { return strings.Repeat("k", 1<<20) + shortKey(i) }

// liveMost collects the heap now and then, at operations of a file system, and keeps the most that was in use.
type liveMost struct {
	n, every int
	most     uint64
}

func (l *liveMost) before(string, string) error {
	if l.n++; l.n%l.every == 0 {
		l.most = max(l.most, liveBytes())
	}
	return nil
}

func liveBytes() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// What a rebuild takes in memory is bounded by bytes, also where each row is as large as a topic takes by default: it neither
// follows the number of runs nor grows with the table.
func TestBuilder_MemoryWithWideRows(t *testing.T) {
	live := func(rounds int) (mib float64) {
		base := liveBytes()
		l := &liveMost{every: 7}
		fs := &FailFS{FS: OS(), Before: l.before}
		b, err := NewBuilder(fs, t.TempDir(), mergeConfig.Shared, noDigest)
		require.NoError(t, err)
		for i := range rounds {
			require.NoError(t, b.Add(shape{shortKey, 1 << 20}.round(0, i, i+1)))
		}
		db, err := b.Open(mergeConfig)
		require.NoError(t, err)
		require.NoError(t, db.Close())
		return float64(l.most-base) / (1 << 20)
	}
	for _, rounds := range []int{20, 80} {
		most := live(rounds)
		t.Logf("%d runs of rows of 1 MiB: at most %.1f MiB live", rounds, most)
		require.Less(t, most, 14.0)
	}
}

// Keys may be as long as a record: they are merged, found and walked over like any other.
func TestR48_BuilderTakesKeysOf1MiB(t *testing.T) {
	const keys, rounds = 6, 20
	fs := OS()
	b, err := NewBuilder(fs, t.TempDir(), mergeConfig.Shared, noDigest)
	require.NoError(t, err)
	want := map[int]int{} // by key: the round
	for round := range rounds {
		from := round % keys
		require.NoError(t, b.Add(shape{longKey, 100}.round(round, from, min(from+2, keys))))
		want[from], want[min(from+1, keys-1)] = round, round
	}
	db, err := b.Open(mergeConfig)
	require.NoError(t, err)
	defer func() { require.NoError(t, db.Close()) }()
	it, n := db.Iterate(nil, nil), 0
	defer it.Release()
	for ; it.Next(); n++ {
		require.True(t, string(it.Key()) == longKey(n), n)
		require.Equal(t, wideRow(n, want[n], 100), it.Value())
		row, ok, err := db.Get([]byte(longKey(n)))
		require.NoError(t, err)
		require.True(t, ok)
		require.Equal(t, wideRow(n, want[n], 100), row)
	}
	require.NoError(t, it.Err())
	require.Equal(t, keys, n)
	_, ok, err := db.Get([]byte(longKey(keys)))
	require.NoError(t, err)
	require.False(t, ok)
}

// A table that is too large for the first level lies on one below, each row is there, and LevelDB neither finds anything to
// compact nor loses anything when it is written to and compacted.
func TestBuilder_LargeTablesLieOnLowerLevels(t *testing.T) {
	for level, base := range map[int]int{1: 1 << 20, 2: 100 << 10, 3: 10 << 10, 4: 1 << 10} {
		t.Run(fmt.Sprint("level ", level), func(t *testing.T) {
			const keys, size = 800, 10_000
			dir := t.TempDir()
			c := mergeConfig
			c.levels = base
			b, err := NewBuilder(OS(), dir, c.Shared, noDigest)
			require.NoError(t, err)
			want := map[string][]byte{}
			for round := range 40 { // each key twice
				from := round * 20 % (keys / 2)
				require.NoError(t, b.Add(shape{shortKey, size}.round(round, 2*from, 2*from+40)))
				for i := 2 * from; i < 2*from+40; i++ {
					want[shortKey(i)] = wideRow(i, round, size)
				}
			}
			require.Len(t, want, keys)
			still := c
			still.ReadOnly = true // compacts nothing
			db, err := b.Open(still)
			require.NoError(t, err)
			before := tablesOf(t, dir)
			require.Equal(t, fmt.Sprint(len(before)), property(t, db, fmt.Sprint("num-files-at-level", level)))
			require.NoError(t, db.Close())
			db, err = Open(OS(), dir, c)
			require.NoError(t, err)
			requireRows(t, db, want)
			require.Equal(t, fmt.Sprint(len(before)), property(t, db, fmt.Sprint("num-files-at-level", level)))
			require.Equal(t, "MemComp:0 Level0Comp:0 NonLevel0Comp:0 SeekComp:0", property(t, db, "compcount"))
			for i := range keys { // most are changed, some go
				var batch Batch
				switch key := []byte(shortKey(i)); {
				case i%3 == 0:
					batch.Delete(key)
					delete(want, string(key))
				case i%3 == 1:
					batch.Put(key, []byte("new"))
					want[string(key)] = []byte("new")
				default:
					continue
				}
				require.NoError(t, db.Write(&batch, false))
			}
			require.NoError(t, db.Close())
			db, err = Open(OS(), dir, c)
			require.NoError(t, err)
			requireRows(t, db, want)
			require.NoError(t, db.db.CompactRange(util.Range{}))
			requireRows(t, db, want)
			require.NotEqual(t, before, tablesOf(t, dir))
			require.NoError(t, db.Close())
		})
	}
}

func requireRows(t *testing.T, db *DB, want map[string][]byte) {
	t.Helper()
	it, n := db.Iterate(nil, nil), 0
	defer it.Release()
	for ; it.Next(); n++ {
		require.True(t, bytes.Equal(want[string(it.Key())], it.Value()), string(it.Key()))
		row, ok, err := db.Get(it.Key())
		require.NoError(t, err)
		require.True(t, ok && bytes.Equal(row, it.Value()), string(it.Key()))
	}
	require.NoError(t, it.Err())
	require.Len(t, want, n)
}

func property(t *testing.T, db *DB, name string) string {
	t.Helper()
	text, err := db.db.GetProperty("leveldb." + name)
	require.NoError(t, err)
	return text
}

func tablesOf(t *testing.T, dir string) []string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "*.ldb"))
	require.NoError(t, err)
	return names
}
