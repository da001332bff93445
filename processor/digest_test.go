package processor_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tarnstream/tarn/internal/digest"
	"github.com/tarnstream/tarn/internal/ldb"
	"github.com/tarnstream/tarn/processor"
	"github.com/tarnstream/tarn/state"
	"github.com/tarnstream/tarn/streamtest"
)

// digests gives, of a partition of the counts of an instance that has stopped, the digest that is stored and that of the rows.
func digests(k *streamtest.Kit, name string, partition int) (stored, walked digest.Sum) {
	k.T.Helper()
	s, err := state.Open(filepath.Join(k.Dir, name, "groups", "clicker", "clicks-count", fmt.Sprint(partition)), state.Options{ReadOnly: true})
	require.NoError(k.T, err)
	cp, ok := s.Checkpoint()
	require.True(k.T, ok)
	walked = digest.Empty()
	rows := s.Range(nil, nil)
	for rows.Next() {
		walked = walked.Plus(digest.Of(rows.Key(), rows.Row().Offset, rows.Row().Value))
	}
	require.NoError(k.T, rows.Close())
	require.NoError(k.T, s.Close())
	return cp.Digest, walked
}

// alter changes the row of a key in the files of the counts of an instance that has stopped, checksums and all.
func alter(k *streamtest.Kit, name string, partition int, key string) {
	k.T.Helper()
	dir := filepath.Join(k.Dir, name, "groups", "clicker", "clicks-count", fmt.Sprint(partition), "g00000001")
	db, err := ldb.Open(ldb.OS(), dir, ldb.Config{Shared: ldb.NewShared(1<<20, 16, 1), WriteBufferBytes: 1 << 20})
	require.NoError(k.T, err)
	row, ok, err := db.Get([]byte("d" + key))
	require.NoError(k.T, err)
	require.True(k.T, ok)
	row = bytes.Clone(row)
	row[len(row)-1]++
	var b ldb.Batch
	b.Put([]byte("d"+key), row)
	require.NoError(k.T, db.Write(&b, true))
	require.NoError(k.T, db.Close())
}

// An audit tells of a row that was changed on disk, also once a record was counted on from it, so that the topic has the same. A store
// that is removed is rebuilt.
func TestVerify_TellsOfAlteredFiles(t *testing.T) {
	streamtest.Run(t, func(k *streamtest.Kit) {
		k.Topic("clicks", 1)
		g, keys := clicker(k.T), users(10)
		a := k.StartAs("a", g)
		click(k, g, keys...)
		require.NoError(k.T, a.Stop())
		alter(k, "a", 0, keys[3])

		a = k.StartAs("a", g)
		out := verify(k, a.Processor)[0]
		require.NoError(k.T, out.Err)
		require.True(k.T, out.Altered())
		require.EqualValues(k.T, 1, out.Different)
		click(k, g, keys...)
		k.Advance(time.Minute)
		out = verify(k, a.Processor)[0]
		require.Zero(k.T, out.Different, "the topic has what was counted on from it")
		require.True(k.T, out.Altered())
		require.False(k.T, out.Equal())

		require.NoError(k.T, a.Stop())
		require.NoError(k.T, os.RemoveAll(filepath.Join(k.Dir, "a", "groups", "clicker", "clicks-count", "0")))
		a = k.StartAs("a", g)
		requireEqual(k, verify(k, a.Processor))
	})
}

// An owner that begins with nothing, counts, flushes, sweeps, stops, starts, rebuilds and gives partitions away knows the digest of
// what it leaves on disk. After a crash it does not, until an audit has walked over the rows.
func TestDigest_IsKnownInTheOrdinaryRunOfThings(t *testing.T) {
	streamtest.Run(t, func(k *streamtest.Kit) {
		const partitions = 2
		k.Topic("clicks", partitions)
		g, keys := clicker(k.T), users(30)
		options := []processor.Option{processor.AtLeastOnce(), processor.FlushInterval(2 * time.Second), processor.CommitInterval(100 * time.Millisecond)}
		count := func() {
			for round := range 4 {
				click(k, g, keys[:len(keys)-round]...)
				k.Advance(time.Duration(round) * time.Second) // some in one flush, some in another
			}
		}
		stopped := func(name, when string) {
			require.NoError(k.T, k.Instance(name).Stop())
			for p := range partitions {
				stored, walked := digests(k, name, p)
				require.Equal(k.T, walked, stored, when)
				require.NotEqual(k.T, digest.Empty(), stored)
			}
		}
		k.StartAs("a", g, options...)
		count()
		stopped("a", "begun with nothing")

		k.StartAs("a", g, options...)
		count()
		stopped("a", "begun with what was there")

		k.StartAs("a", g, options...)
		click(k, g, keys...)
		for p := range int32(partitions) {
			b, err := k.Broker.Bounds("clicks-count", p)
			require.NoError(k.T, err)
			k.Expire("clicks-count", p, b.End-5)
		}
		k.Advance(time.Minute)
		require.Len(k.T, streamtest.Rows(k, counts), 5*partitions)
		count()
		stopped("a", "swept while it ran")

		k.StartAs("b", g, options...)
		count()
		stopped("b", "rebuilt")

		a := k.StartAs("a", g, options...) // b has counted on since: a reads a tail
		count()
		a.Crash()
		a = k.StartAs("a", g, options...)
		requireEqual(k, verify(k, a.Processor))
		count()
		stopped("a", "audited after a crash")
	})
}
