package state

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tarnstream/tarn/internal/ldb"
)

// The files of testdata/format are kept for ever: what a released program has written must go on to be read, or to be
// set aside by name and rebuilt. A format that changes gets files of its own, beside those.

var addGolden = flag.Bool("golden", false, "write testdata/format/store.vN of this program's checkpoint version, where it is missing")

// TestGoldenCheckpoints reads each version of the checkpoint that was ever written.
func TestGoldenCheckpoints(t *testing.T) {
	for version, want := range map[int]string{
		1: "state: checkpoint has version 1, this program knows 2 and 3",
		2: "",
		3: "",
	} {
		data := goldenBytes(t, fmt.Sprintf("checkpoint.v%d.txt", version))
		var c Checkpoint
		err := c.UnmarshalBinary(data)
		if want != "" {
			require.EqualError(t, err, want)
			continue
		}
		require.NoError(t, err)
		require.EqualValues(t, 1202, c.Position)
		require.Equal(t, map[string]int64{"clicks": 4711}, c.Inputs)
		require.Equal(t, map[string]TopicID{"clicks": {0xff, 15: 1}}, c.InputTopics)
		require.Equal(t, time.UnixMilli(1767601199284), c.KnownCurrent)
		require.Equal(t, version > undigested, c.Digest.Known())
	}
}

func TestGoldenRow(t *testing.T) {
	data := goldenBytes(t, "row.v1.txt")
	require.Equal(t, "dalice", string(data[:6]))
	row, err := decodeRow(data[6:])
	require.NoError(t, err)
	require.Equal(t, Row{Value: []byte("42"), Offset: 1200, Timestamp: 1767601199156}, row)
}

func TestGoldenCurrent(t *testing.T) {
	for file, want := range map[string]string{"current.v1.txt": "g00000001", "current-none.v1.txt": noGeneration} {
		name, err := decodeCurrent([]byte(goldenText(t, file)))
		require.NoError(t, err)
		require.Equal(t, want, name)
	}
}

// TestGoldenInstance: the id of a file is kept in its own place, and not in another, as after a copy.
func TestGoldenInstance(t *testing.T) {
	g := &GroupDir{dir: t.TempDir()}
	path := filepath.Join(g.dir, "INSTANCE")
	require.NoError(t, os.WriteFile(path, []byte(goldenText(t, "instance.v1.txt")), 0o644))
	require.NoError(t, g.loadInstance())
	require.Equal(t, "the directory was copied or moved from tarn-1/2097154", g.note)
	require.NotEqual(t, "6f1c3f0e-8d0b-4f0e-9f57-0d9d6a1f5a10", g.instance)

	here, err := place(path)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(path, fmt.Appendf(nil, "tarn-instance 1 6f1c3f0e-8d0b-4f0e-9f57-0d9d6a1f5a10 %s\n", here), 0o644))
	g.note = ""
	require.NoError(t, g.loadInstance())
	require.Empty(t, g.note)
	require.Equal(t, "6f1c3f0e-8d0b-4f0e-9f57-0d9d6a1f5a10", g.instance)
}

var goldenRows = map[string]Row{
	"alice":    {Value: []byte("42"), Offset: 1200, Timestamp: 1767601199156},
	"":         {Value: []byte("empty key"), Offset: 1195, Timestamp: -1},
	"empty":    {Value: []byte{}, Offset: 1196, Timestamp: 0},
	"\x00\xff": {Value: []byte{0, 1, 0xff}, Offset: 0, Timestamp: 1767601199000},
}

func goldenCheckpoint() Checkpoint {
	return Checkpoint{TopicID: TopicID{0, 0x11, 15: 0xff}, ClusterID: "prod", Partition: 3, Position: 1202, LastApplied: 1200,
		LastAppliedEpoch: 5, KnownCurrent: time.UnixMilli(1767601199284), LogStart: 0, DeleteRetention: 24 * time.Hour,
		Inputs: map[string]int64{"clicks": 4711}, InputTopics: map[string]TopicID{"clicks": {0xff, 15: 1}}, Flush: 9}
}

// TestGoldenStores opens whole stores as released programs left them: one flush in a table file, one in the journal.
func TestGoldenStores(t *testing.T) {
	if *addGolden {
		writeGoldenStore(t, filepath.Join("testdata", "format", fmt.Sprintf("store.v%d", checkpointVersion)))
	}
	for version, readable := range map[int]bool{2: true, 3: true} {
		dir := filepath.Join(t.TempDir(), "0")
		require.NoError(t, os.CopyFS(dir, os.DirFS(filepath.Join("testdata", "format", fmt.Sprintf("store.v%d", version)))))
		var quarantined []error
		s, err := Open(dir, Options{Observer: Observer{Quarantined: func(_ string, cause error) { quarantined = append(quarantined, cause) }}})
		require.NoError(t, err)
		cp, ok := s.Checkpoint()
		require.Equal(t, readable, ok, "checkpoint of version %d", version)
		require.Equal(t, readable, len(quarantined) == 0, "%v", quarantined)
		if readable {
			want := goldenCheckpoint()
			if version > undigested {
				want.Digest = digestOf(goldenRows)
			}
			require.Equal(t, want, cp)
			require.Equal(t, goldenRows, rowsIn(t, s))
		}
		require.NoError(t, s.Close())
	}
}

// TestGoldenStoreOfAnOldVersion: a checkpoint that this program does not read leads to a store that is set aside, whole.
func TestGoldenStoreOfAnOldVersion(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "0")
	writeGoldenStore(t, dir)
	db, err := ldb.Open(ldb.OS(), filepath.Join(dir, "g00000001"), ldb.Config{Shared: ldb.NewShared(1<<20, 16, 1), WriteBufferBytes: 1 << 20})
	require.NoError(t, err)
	var b ldb.Batch
	b.Put(keyCheckpoint(), goldenBytes(t, "checkpoint.v1.txt"))
	require.NoError(t, db.Write(&b, true))
	require.NoError(t, db.Close())

	var path string
	var cause error
	s, err := Open(dir, Options{Observer: Observer{Quarantined: func(p string, err error) { path, cause = p, err }}})
	require.NoError(t, err)
	_, ok := s.Checkpoint()
	require.False(t, ok, "the store is empty, and will be rebuilt")
	require.ErrorContains(t, cause, "checkpoint has version 1")
	require.DirExists(t, path)
	require.NoError(t, s.Close())
}

// writeGoldenStore writes a store in two flushes, with a restart in between.
func writeGoldenStore(t *testing.T, dir string) {
	t.Helper()
	if _, err := os.Stat(dir); err == nil {
		return
	}
	for _, part := range [][]string{{"", "empty", "\x00\xff"}, {"alice"}} {
		s, err := Open(dir, Options{})
		require.NoError(t, err)
		var b Batch
		rows := map[string]Row{}
		for _, key := range part {
			r := goldenRows[key]
			b.Put([]byte(key), r.Value, r.Offset, r.Timestamp)
			rows[key] = r
		}
		b.SetChange(digestOf(rows))
		b.SetCheckpoint(goldenCheckpoint())
		require.NoError(t, s.Write(&b))
		require.NoError(t, s.Close())
	}
	for _, junk := range []string{"LOG", "LOG.old"} { // texts of LevelDB's own, with times
		require.NoError(t, os.RemoveAll(filepath.Join(dir, "g00000001", junk)))
	}
}

func rowsIn(t *testing.T, s Store) map[string]Row {
	t.Helper()
	rows := map[string]Row{}
	it := s.Range(nil, nil)
	for it.Next() {
		r := it.Row()
		r.Value = append([]byte{}, r.Value...)
		rows[string(it.Key())] = r
	}
	require.NoError(t, it.Close())
	return rows
}

func goldenText(t *testing.T, file string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", "format", file))
	require.NoError(t, err)
	return string(data)
}

func goldenBytes(t *testing.T, file string) []byte {
	t.Helper()
	return bytesOfLines(t, goldenText(t, file))
}
