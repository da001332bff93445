package processor_test

import (
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tarnstream/tarn/devbroker"
	"github.com/tarnstream/tarn/observe"
	"github.com/tarnstream/tarn/processor"
	"github.com/tarnstream/tarn/state"
	"github.com/tarnstream/tarn/streamtest"
)

// Rows whose records are deleted go from the owner's table while it runs: from the disk, from memory, and from what its
// callbacks read. Another instance, which restores what there is, agrees with it.
func TestR59_StartOfAnOwnTableRises(t *testing.T) {
	for name, before := range map[string]int64{"some": 4, "all": -1} {
		t.Run(name, func(t *testing.T) {
			streamtest.Run(t, func(k *streamtest.Kit) {
				k.Topic("clicks", 1)
				g, keys := clicker(k.T), users(10)
				var swept atomic.Int32
				a := k.StartAs("a", g, processor.Observe(observe.Observer{Swept: func(s observe.Swept) { swept.Add(int32(s.Rows)) }}))
				click(k, g, keys...)
				require.NoError(k.T, k.Broker.DeleteRecords("clicks-count", 0, before))
				gone := 4
				if before < 0 {
					gone = len(keys)
				}
				k.Until("swept", func() bool { return swept.Load() == int32(gone) })
				require.Len(k.T, requireFold(k, a, keys...), len(keys)-gone)
				click(k, g, keys...)
				rows := requireFold(k, a, keys...)
				for i, key := range keys {
					require.Equal(k.T, map[bool]int64{true: 1, false: 2}[i < gone], rows[key], "what was swept counts from nothing again")
				}
				require.NoError(k.T, a.Stop())
				require.Equal(k.T, rows, requireFold(k, k.StartAs("b", g), keys...))
			})
		})
	}
}

// The owner's log is truncated and grows past its checkpoint while it is away: it knows the epoch of what it wrote last.
func TestR05_OwnTableOfATruncatedLog(t *testing.T) {
	for name, end := range map[string]func(*streamtest.Kit, *streamtest.Instance){
		"crashed": func(k *streamtest.Kit, a *streamtest.Instance) {
			k.Advance(10 * time.Second)
			a.Crash()
		},
		"stopped": func(k *streamtest.Kit, a *streamtest.Instance) { require.NoError(k.T, a.Stop()) },
	} {
		t.Run(name, func(t *testing.T) {
			dir, copied := t.TempDir(), t.TempDir()
			streamtest.Run(t, func(k *streamtest.Kit) {
				k.Topic("clicks", 1)
				g, keys := clicker(k.T), users(10)
				a := k.StartAs("a", g)
				click(k, g, keys[:3]...)
				var table string
				require.NoError(k.T, k.Broker.Reload(func(dir string) error {
					found, err := filepath.Glob(filepath.Join(dir, "partitions", "*clicks-count*"))
					require.NoError(k.T, err)
					require.Len(k.T, found, 1)
					table = filepath.Base(found[0])
					return os.CopyFS(copied, os.DirFS(found[0]))
				}))
				click(k, g, keys...)
				end(k, a)
				require.NoError(k.T, k.Broker.Reload(func(dir string) error {
					at := filepath.Join(dir, "partitions", table)
					if err := os.RemoveAll(at); err != nil {
						return err
					}
					return os.CopyFS(at, os.DirFS(copied))
				}))
				require.NoError(k.T, k.Broker.MoveLeader("clicks-count", 0, 0))
				for range 20 {
					k.Send("clicks-count", "user-0", "\x00\x00\x00\x00\x00\x00\x00\x63")
				}
				var resets atomic.Int32
				b := k.StartAs("a", g, processor.Observe(observe.Observer{Reset: func(r observe.Reset) {
					if _, ok := r.Cause.(*state.LogResetError); ok {
						resets.Add(1)
					}
				}}))
				require.Equal(k.T, map[string]int64{"user-0": 99, "user-1": 1, "user-2": 1}, requireFold(k, b, keys...))
				require.Equal(k.T, int32(1), resets.Load())
			}, devbroker.Dir(dir))
		})
	}
}

// Nobody writes to the table: the owner hears that its topic is another one now, and does not go on with rows of the old one.
func TestR04_OwnTopicMadeAgain(t *testing.T) {
	streamtest.Run(t, func(k *streamtest.Kit) {
		k.Topic("clicks", 1)
		g, keys := clicker(k.T), users(10)
		var seen plans
		a := k.Start(g, seen.option())
		click(k, g, keys...)
		require.NoError(k.T, k.Broker.DeleteTopic("clicks-count"))
		k.Topic("clicks-count", 1, "cleanup.policy", "compact")
		k.Until("restored", func() bool {
			seen.mu.Lock()
			defer seen.mu.Unlock()
			return len(seen.decided) == 2 && a.Running() == 1
		})
		require.Empty(k.T, requireFold(k, a, keys...))
		click(k, g, keys[0])
		require.Equal(k.T, map[string]int64{keys[0]: 1}, requireFold(k, a, keys...))
	})
}

// A flush does not wait for the broker that would tell the epoch. The owner asks again; where it ends before it is told, the
// log may be another by then, and the table is rebuilt.
func TestR05_EpochThatCannotBeReadBack(t *testing.T) {
	stop := func(k *streamtest.Kit, a *streamtest.Instance) { require.NoError(k.T, a.Stop()) }
	for name, c := range map[string]struct {
		away time.Duration
		end  func(*streamtest.Kit, *streamtest.Instance)
		want state.Decision
	}{
		"told later": {10 * time.Second, func(k *streamtest.Kit, a *streamtest.Instance) {
			k.Advance(time.Minute)
			a.Crash()
		}, state.Ready},
		"never told":         {time.Hour, stop, state.Rebuild},
		"told while it ends": {20*time.Second + 500*time.Millisecond, stop, state.Ready},
	} {
		t.Run(name, func(t *testing.T) {
			streamtest.Run(t, func(k *streamtest.Kit) {
				k.Topic("clicks", 1)
				g, keys := clicker(k.T), users(10)
				a := k.StartAs("a", g)
				click(k, g, keys...)
				away := k.Broker.Fail(devbroker.Fault{Request: devbroker.Fetch, Topic: "clicks-count", Err: devbroker.NotLeader, Count: -1})
				time.AfterFunc(c.away, away.Remove)
				k.Advance(20 * time.Second)
				c.end(k, a)
				away.Remove()
				var seen plans
				requireFold(k, k.StartAs("a", g, seen.option()), keys...)
				require.Equal(k.T, []state.Decision{c.want}, seen.decided)
			})
		})
	}
}

// The log loses what a commit wrote before that is on disk, and the next commit of the same process writes on to where it stood: what is read back there does not vouch for the rows that are lost.
func TestR05_OwnLaterRecordsAtTheOffsetReadBack(t *testing.T) {
	dir := t.TempDir()
	streamtest.Run(t, func(k *streamtest.Kit) {
		k.Topic("clicks", 1)
		g, keys := clicker(k.T), users(10)
		k.StartAs("a", g, processor.CommitInterval(time.Second))
		click(k, g, keys[:4]...)
		require.Zero(k.T, k.Truncate("clicks-count", 0, 0))
		k.Advance(time.Second) // it has connections again
		answer := k.Broker.Hold(devbroker.TxnOffsetCommit, "")
		for _, key := range keys[4:] {
			k.Send("clicks", key, "x")
		}
		<-answer.Arrived()
		k.Advance(10 * time.Second) // flushes the first commit, while the log has the second in its place
		answer.Release()
		k.Settle(g)
		k.Advance(time.Second)
		require.Len(k.T, k.Fold("clicks-count"), 6)
		requireFold(k, k.Instance("a"), keys...)
	}, devbroker.Dir(dir))
}

// What a process that was cut off wrote is cut off the log, and others write on to where it stands: what it reads back there
// vouches for nothing.
func TestR05_AnotherHistoryAtTheOffsetReadBack(t *testing.T) {
	dir := t.TempDir()
	streamtest.Run(t, func(k *streamtest.Kit) {
		k.Topic("clicks", 1)
		g, keys := clicker(k.T), users(10)
		a := k.StartAs("a", g)
		click(k, g, keys[:4]...)
		click(k, g, keys...)
		require.EqualValues(k.T, 4, k.Truncate("clicks-count", 0, 4))
		require.NoError(k.T, k.Broker.MoveLeader("clicks-count", 0, 0))
		for i := range 10 {
			keys = append(keys, fmt.Sprintf("other-%d", i))
			k.Send("clicks-count", keys[len(keys)-1], "\x00\x00\x00\x00\x00\x00\x00\x63")
		}
		require.NoError(k.T, a.Stop()) // its last flush reads back the epoch of offset 13
		b := k.StartAs("a", g)
		requireFold(k, b, keys...)
	}, devbroker.Dir(dir))
}

// The log loses what the owner wrote, and others write on to where it stood: the offsets are the same, and the owner, which writes
// nothing, asks what is there once another epoch has begun.
func TestR05_AnotherHistoryUnderAnIdleOwner(t *testing.T) {
	for end := int64(4); end < 6; end++ { // before and behind the marker of the owner's transaction
		t.Run(fmt.Sprint(end), func(t *testing.T) {
			dir := t.TempDir()
			streamtest.Run(t, func(k *streamtest.Kit) {
				k.Topic("clicks", 1)
				g, keys := clicker(k.T), users(4)
				a := k.StartAs("a", g)
				click(k, g, keys...)
				require.Zero(k.T, k.Truncate("clicks-count", 0, 0))
				for range end {
					k.Send("clicks-count", keys[0], "\x00\x00\x00\x00\x00\x00\x00\x63")
				}
				k.Advance(time.Minute)
				require.Equal(k.T, map[string]int64{keys[0]: 99}, requireFold(k, a, keys...))
			}, devbroker.Dir(dir))
		})
	}
}
