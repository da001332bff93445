package devbroker

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tarnstream/tarn/internal/bubbletest"
)

// A log is cut at a batch, its start and its topic stay, and what is written next is another history.
func TestR05_TruncateCutsALog(t *testing.T) {
	b := start(t, Dir(t.TempDir()), Relaxed())
	topic(t, b, "a b", 1)
	require.NoError(t, b.CreateTopic("other", 1, nil))
	require.NoError(t, b.Produce("other", 0, rec("k", "1")...))
	for _, v := range []string{"0", "1"} {
		require.NoError(t, b.Produce("a b", 0, rec("k", v)...))
	}
	require.NoError(t, b.Produce("a b", 0, rec("k", "2", "k", "3")...))
	txn, err := b.Begin("txn", time.Minute)
	require.NoError(t, err)
	require.NoError(t, txn.Produce("a b", 0, rec("k", "aborted")...))
	require.NoError(t, txn.Abort())
	require.NoError(t, b.DeleteRecords("a b", 0, 1))
	require.NoError(t, b.Hollow("a b", 0, 2, 5))
	before, err := b.Bounds("a b", 0)
	require.NoError(t, err)
	id := b.TopicID("a b")

	end, err := b.Truncate("a b", 0, 3)
	require.NoError(t, err)
	require.EqualValues(t, 2, end, "offset 3 is in the middle of a batch")
	require.Equal(t, []string{"1"}, values(t, b, "a b", 0))
	require.Equal(t, []string{"1"}, values(t, b, "other", 0))
	require.NoError(t, b.Produce("a b", 0, rec("k", "new")...))
	require.Equal(t, []string{"1", "new"}, values(t, b, "a b", 0), "what was taken out was of the old history")
	after, err := b.Bounds("a b", 0)
	require.NoError(t, err)
	require.Equal(t, Bounds{Start: 1, End: 3, Stable: 3, Epoch: before.Epoch + 1, Leader: before.Leader}, after)
	require.Equal(t, id, b.TopicID("a b"))

	end, err = b.Truncate("a b", 0, 0)
	require.NoError(t, err)
	require.EqualValues(t, 1, end, "the log start stays")
	require.NoError(t, b.Produce("a b", 0, rec("k", "again")...))
	require.Equal(t, []string{"again"}, values(t, b, "a b", 0))
	end, err = b.Truncate("a b", 0, 9)
	require.NoError(t, err)
	require.EqualValues(t, 2, end, "nothing lies behind")
}

// A new leader's log never had the lost records: it was not compacted by them.
func TestR05_TruncateBringsBackWhatTheLostRecordsReplaced(t *testing.T) {
	b := start(t, Dir(t.TempDir()), Relaxed())
	topic(t, b, "t", 1)
	for _, v := range []string{"a0", "b1", "b2", "a3", "b4"} {
		require.NoError(t, b.Produce("t", 0, rec(v[:1], v)...))
	}
	require.NoError(t, b.Clean("t", 0))
	require.Equal(t, []string{"a3", "b4"}, values(t, b, "t", 0))
	_, err := b.Truncate("t", 0, 4)
	require.NoError(t, err)
	require.Equal(t, []string{"b1", "b2", "a3"}, values(t, b, "t", 0))
	_, err = b.Truncate("t", 0, 3)
	require.NoError(t, err)
	require.Equal(t, []string{"a0", "b1", "b2"}, values(t, b, "t", 0))
}

// The epoch rises also where no batch is left that tells of the one before.
func TestR05_TruncateOfAWholeLogRaisesTheEpoch(t *testing.T) {
	b := start(t, Dir(t.TempDir()), Relaxed(), Brokers(3))
	topic(t, b, "t", 1)
	for range 3 {
		require.NoError(t, b.ShuffleLeaders())
	}
	require.NoError(t, b.Produce("t", 0, rec("k", "1")...))
	before, err := b.Bounds("t", 0)
	require.NoError(t, err)
	_, err = b.Truncate("t", 0, 0)
	require.NoError(t, err)
	after, err := b.Bounds("t", 0)
	require.NoError(t, err)
	require.Greater(t, after.Epoch, before.Epoch)
}

// A log that DeleteRecords has emptied goes on where it ended when the broker comes back.
func TestEmptiedLogKeepsItsEnd(t *testing.T) {
	dir := t.TempDir()
	b := start(t, Dir(dir), Relaxed())
	topic(t, b, "t", 2)
	require.NoError(t, b.Produce("t", 0, rec("k", "1", "k", "2")...))
	require.NoError(t, b.DeleteRecords("t", 0, -1))
	for range 2 {
		require.NoError(t, b.Reload(nil))
		bounds, err := b.Bounds("t", 0)
		require.NoError(t, err)
		require.Equal(t, [2]int64{2, 2}, [2]int64{bounds.Start, bounds.End})
	}
	require.NoError(t, b.Produce("t", 0, rec("k", "3")...))
	require.NoError(t, b.Close())
	b = start(t, Dir(dir), Relaxed())
	require.Equal(t, []string{"3"}, values(t, b, "t", 0))
	bounds, err := b.Bounds("t", 0)
	require.NoError(t, err)
	require.Equal(t, [2]int64{2, 3}, [2]int64{bounds.Start, bounds.End})
}

func TestTruncateNeedsADir(t *testing.T) {
	b := start(t)
	topic(t, b, "t", 1)
	_, err := b.Truncate("t", 0, 0)
	require.ErrorIs(t, err, ErrNoDir)
	_, err = b.Truncate("none", 0, 0)
	require.Error(t, err)
}

func TestDelayHasRequestsWait(t *testing.T) {
	bubbletest.Run(t, func(t *testing.T) {
		b := start(t, Virtual())
		topic(t, b, "t", 1)
		took := func() time.Duration {
			began := time.Now()
			require.Zero(t, fetch(t, wire(t, b, 0), place{"t", 0}, 0).ErrorCode)
			return time.Since(began)
		}
		end, other := b.Delay(Fetch, 3*time.Second), b.Delay(Produce, time.Hour)
		require.Equal(t, 3*time.Second, took())
		end()
		other()
		require.Zero(t, took())
		b.Delay(AnyRequest, time.Second)
		require.Equal(t, time.Second, took())
		defer b.Delay(Fetch, time.Hour)() // the end of the broker does not wait for it
		inBackground(wire(t, b, 0), fetchRequest("t", 0, 0))
		time.Sleep(time.Second)
	})
}
