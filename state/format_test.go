package state

import (
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tarnstream/tarn/internal/digest"
	"github.com/tarnstream/tarn/internal/ldb"
)

// The examples of docs/format.md, line for line: hex first, then what it is.
const (
	exampleDataRow = `64616c696365        key    "d", then the user's key "alice"
b009e8e0eed3f1663432   value  offset 1200 (b009), timestamp 1767601199156 (e8e0eed3f166), codec bytes "42"`

	exampleCheckpoint = `03                                version 3
00112233445566778899aabbccddeeff  topic id
0470726f64                        cluster id: 4 bytes, "prod"
06                                partition 3
e412                              position 1202
e012                              last applied 1200
0a                                its batch's epoch 5
e8e2eed3f166                      known current 2026-01-05 08:19:59.284 UTC
d00f                              log start 1000
80f0b252                          delete retention 86400000 ms
01                                1 input:
06636c69636b73ce49                "clicks" at 4711
ff000000000000000000000000000001  id of the topic clicks
08                                flush 8
01                                digest known:
47dd4e800d7e646c                  that of the row above alone
1ef2b64d                          CRC-32C of the bytes above, big endian`

	exampleCurrent = "tarn-current 1 g00000001 19f9da6d"
)

// TestFormatExample writes one row with a checkpoint, looks at the LevelDB below the store, and holds docs/format.md to it.
func TestFormatExample(t *testing.T) {
	rows, current := writeExample(t)
	require.Equal(t, bytesOfLines(t, exampleDataRow), rows[0])
	require.Equal(t, []byte("mc"), rows[1][:2])
	require.Equal(t, bytesOfLines(t, exampleCheckpoint), rows[1][2:])
	for i, n := range []byte{1, 2, 3, 4, 5, 6, 7, 8} {
		require.Equal(t, append([]byte("mf"), 0, 0, 0, 0, 0, 0, 0, n), rows[2+i], "flush rows 1 to 8, 0 is deleted")
	}
	require.Equal(t, [][]byte{{'m', 'v', 1}}, rows[10:])
	require.Equal(t, exampleCurrent+"\n", current)

	page, err := os.ReadFile(filepath.Join("..", "docs", "format.md"))
	require.NoError(t, err)
	for _, example := range []string{exampleDataRow, exampleCheckpoint, exampleCurrent} {
		require.Contains(t, string(page), example)
	}
}

// writeExample gives the rows of the generation in key order, key and value joined, and the store's CURRENT.
func writeExample(t *testing.T) (rows [][]byte, current string) {
	fs, dir := ldb.NewMemFS(), "/state/groups/clicker/clicks-count/3"
	s := exampleStore(t, fs, dir)
	require.NoError(t, s.Close())

	data, err := fs.ReadFile(filepath.Join(dir, "CURRENT"))
	require.NoError(t, err)
	db := openBelow(t, fs, dir)
	defer func() { require.NoError(t, db.Close()) }()
	it := db.Iterate(nil, nil)
	defer it.Release()
	for it.Next() {
		rows = append(rows, append(append([]byte{}, it.Key()...), it.Value()...))
	}
	require.NoError(t, it.Err())
	return rows, string(data)
}

func exampleStore(t *testing.T, fs ldb.FS, dir string) Store {
	s, err := Open(dir, Options{FS: fs})
	require.NoError(t, err)
	id, err := hex.DecodeString("00112233445566778899aabbccddeeff")
	require.NoError(t, err)
	var b Batch
	b.Put([]byte("alice"), []byte("42"), 1200, 1767601199156)
	b.SetChange(digest.Of([]byte("alice"), 1200, []byte("42")))
	b.SetCheckpoint(Checkpoint{TopicID: TopicID(id), ClusterID: "prod", Partition: 3, Position: 1202, LastApplied: 1200,
		LastAppliedEpoch: 5, KnownCurrent: time.UnixMilli(1767601199284), LogStart: 1000, DeleteRetention: 24 * time.Hour,
		Inputs: map[string]int64{"clicks": 4711}, InputTopics: map[string]TopicID{"clicks": {0xff, 15: 1}}})
	require.NoError(t, s.Write(&b))
	return s
}

// openBelow opens the LevelDB of a store's first generation.
func openBelow(t *testing.T, fs ldb.FS, dir string) *ldb.DB {
	db, err := ldb.Open(fs, filepath.Join(dir, "g00000001"), ldb.Config{Shared: ldb.NewShared(1<<20, 16, 1), WriteBufferBytes: 1 << 20})
	require.NoError(t, err)
	return db
}

// What the version before has written is read: all of it but a digest, which it did not know.
func TestFormat_CheckpointOfTheVersionBefore(t *testing.T) {
	fs, dir := ldb.NewMemFS(), "/state/groups/clicker/clicks-count/3"
	s := exampleStore(t, fs, dir)
	require.NoError(t, s.Close())
	db := openBelow(t, fs, dir)
	var b ldb.Batch
	b.Put([]byte("mc"), goldenBytes(t, "checkpoint.v2.txt"))
	require.NoError(t, db.Write(&b, true))
	require.NoError(t, db.Close())

	quarantined := Observer{Quarantined: func(_ string, cause error) { t.Errorf("quarantined: %v", cause) }}
	s, err := Open(dir, Options{FS: fs, Observer: quarantined})
	require.NoError(t, err)
	before, ok := s.Checkpoint()
	require.True(t, ok)
	require.False(t, before.Digest.Known())
	var now Checkpoint
	require.NoError(t, now.UnmarshalBinary(bytesOfLines(t, exampleCheckpoint)))
	now.Digest = digest.Sum{}
	require.Equal(t, now, before)

	it, _, _ := s.Snapshot() // a walk finds it
	for it.Next() {
	}
	require.NoError(t, it.Close())
	require.NoError(t, s.Write(new(Batch)))
	require.NoError(t, s.Close())
	s, err = Open(dir, Options{FS: fs, Observer: quarantined})
	require.NoError(t, err)
	after, _ := s.Checkpoint()
	require.Equal(t, digest.Of([]byte("alice"), 1200, []byte("42")), after.Digest)
	require.NoError(t, s.Close())
}

// bytesOfLines joins the first word of each line.
func bytesOfLines(t *testing.T, lines string) []byte {
	var out []byte
	for line := range strings.Lines(lines) {
		b, err := hex.DecodeString(strings.Fields(line)[0])
		require.NoError(t, err, line)
		out = append(out, b...)
	}
	return out
}
