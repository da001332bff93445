package processor_test

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tarnstream/tarn/devbroker"
	"github.com/tarnstream/tarn/observe"
	"github.com/tarnstream/tarn/processor"
	"github.com/tarnstream/tarn/state"
	"github.com/tarnstream/tarn/streamtest"
	"github.com/tarnstream/tarn/topology"
)

// plans collects what restores decide.
type plans struct {
	mu      sync.Mutex
	decided []state.Decision
}

func (p *plans) option() processor.Option {
	return processor.Observe(observe.Observer{RestorePlanned: func(r observe.Restore) {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.decided = append(p.decided, r.Plan.Decision)
	}})
}

// away counts every key once on instance a, stops it, and counts the later keys on instance b while a is away.
func away(k *streamtest.Kit, g *topology.Group, keys, later []string) {
	k.T.Helper()
	a := k.StartAs("a", g, processor.AtLeastOnce())
	click(k, g, keys...)
	require.NoError(k.T, a.Stop())
	b := k.StartAs("b", g, processor.AtLeastOnce())
	click(k, g, later...)
	require.NoError(k.T, b.Stop())
}

func TestR01_CheckpointBelowLogStart(t *testing.T) {
	streamtest.Run(t, func(k *streamtest.Kit) {
		k.Topic("clicks", 1)
		g, keys := clicker(k.T), users(10)
		away(k, g, keys, keys[:4])
		require.NoError(k.T, k.Broker.DeleteRecords("clicks-count", 0, 12)) // a's checkpoint is 10, the end 14

		var seen plans
		a := k.StartAs("a", g, processor.AtLeastOnce(), seen.option())
		rows := requireFold(k, a, keys...)
		require.Len(k.T, rows, 2, "keys whose records are gone must not be served")
		require.Equal(k.T, []state.Decision{state.Rebuild}, seen.decided)
	})
}

func TestR03_CheckpointBeyondLogEnd(t *testing.T) {
	dir := t.TempDir()
	streamtest.Run(t, func(k *streamtest.Kit) {
		k.Topic("clicks", 1)
		g, keys := clicker(k.T), users(10)
		a := k.StartAs("a", g)
		click(k, g, keys...)
		require.NoError(k.T, a.Stop())
		// the table's topic made again, shorter, under the same group offsets
		require.NoError(k.T, k.Broker.DeleteTopic("clicks-count"))
		k.Topic("clicks-count", 1, "cleanup.policy", "compact")
		k.Send("clicks-count", "user-0", "\x00\x00\x00\x00\x00\x00\x00\x07")

		var seen plans
		a = k.StartAs("a", g, seen.option())
		require.Equal(k.T, map[string]int64{"user-0": 7}, requireFold(k, a, keys...))
		require.Equal(k.T, []state.Decision{state.Rebuild}, seen.decided)
	}, devbroker.Dir(dir))
}

func TestR04_TopicRecreatedLongerThanTheCheckpoint(t *testing.T) {
	streamtest.Run(t, func(k *streamtest.Kit) {
		k.Topic("clicks", 1)
		g, keys := clicker(k.T), users(5)
		a := k.StartAs("a", g)
		click(k, g, keys...)
		require.NoError(k.T, a.Stop())
		require.NoError(k.T, k.Broker.DeleteTopic("clicks-count"))
		k.Topic("clicks-count", 1, "cleanup.policy", "compact")
		for range 20 {
			k.Send("clicks-count", "new", "\x00\x00\x00\x00\x00\x00\x00\x01")
		}
		a = k.StartAs("a", g)
		require.Equal(k.T, map[string]int64{"new": 1}, requireFold(k, a, append(keys, "new")...))
	})
}

func TestR08_R11_LogEndsWithMarkersAndAbortedRecords(t *testing.T) {
	for name, end := range map[string]func(*devbroker.Transaction) error{
		"commit": (*devbroker.Transaction).Commit, "abort": (*devbroker.Transaction).Abort} {
		t.Run(name, func(t *testing.T) {
			streamtest.Run(t, func(k *streamtest.Kit) {
				k.Topic("clicks", 1)
				k.Topic("clicks-count", 1, "cleanup.policy", "compact")
				tx, err := k.Broker.Begin("writer", time.Minute)
				require.NoError(k.T, err)
				require.NoError(k.T, tx.Produce("clicks-count", 0, devbroker.Record{Key: []byte("a"), Value: []byte("\x00\x00\x00\x00\x00\x00\x00\x03")}))
				require.NoError(k.T, end(tx))
				rows := requireFold(k, k.Start(clicker(k.T)), "a")
				require.Equal(k.T, name == "commit", rows["a"] == 3)
			})
		})
	}
}

// Emptied batches behind the rows have a leader epoch as any other: a table that was read to their end has nothing to read at its next start.
func TestR09_RestartBehindEmptiedBatches(t *testing.T) {
	streamtest.Run(t, func(k *streamtest.Kit) {
		k.Topic("clicks", 1)
		g, keys := clicker(k.T), users(10)
		a := k.StartAs("a", g, processor.AtLeastOnce())
		click(k, g, keys...)
		require.NoError(k.T, a.Stop())
		require.NoError(k.T, k.Broker.Hollow("clicks-count", 0, 6, 10))
		want := []state.Decision{state.Rebuild, state.Ready, state.Ready}
		var seen plans
		for range want {
			b := k.StartAs("b", g, processor.AtLeastOnce(), seen.option())
			require.Len(k.T, requireFold(k, b, keys...), 6)
			require.NoError(k.T, b.Stop())
		}
		require.Equal(k.T, want, seen.decided)
	})
}

func TestR09_LogEndsWithEmptiedBatches(t *testing.T) {
	streamtest.Run(t, func(k *streamtest.Kit) {
		k.Topic("clicks", 1)
		g, keys := clicker(k.T), users(10)
		away(k, g, keys, keys)
		b, err := k.Broker.Bounds("clicks-count", 0)
		require.NoError(k.T, err)
		require.NoError(k.T, k.Broker.Hollow("clicks-count", 0, 12, b.End))
		a := k.StartAs("a", g)
		click(k, g, "user-0")
		require.NotEmpty(k.T, streamtest.Read(a, counts, keys...))
	})
}

func TestR10_EmptyLogs(t *testing.T) {
	streamtest.Run(t, func(k *streamtest.Kit) {
		k.Topic("clicks", 2)
		g := clicker(k.T)
		a := k.StartAs("a", g)
		click(k, g, users(10)...)
		require.NoError(k.T, a.Stop())
		for p := range int32(2) {
			require.NoError(k.T, k.Broker.DeleteRecords("clicks-count", p, -1)) // start = end > 0
		}
		require.Empty(k.T, requireFold(k, k.StartAs("b", g), users(10)...))
	})
}

func TestR12_CommittedDataBehindAnOpenTransaction(t *testing.T) {
	streamtest.Run(t, func(k *streamtest.Kit) {
		k.Topic("clicks", 1)
		k.Topic("clicks-count", 1, "cleanup.policy", "compact")
		tx, err := k.Broker.Begin("writer", time.Minute)
		require.NoError(k.T, err)
		one := []byte("\x00\x00\x00\x00\x00\x00\x00\x01")
		require.NoError(k.T, tx.Produce("clicks-count", 0, devbroker.Record{Key: []byte("open"), Value: one}))
		require.NoError(k.T, k.Broker.Produce("clicks-count", 0, devbroker.Record{Key: []byte("behind"), Value: one}))

		i := k.Launch("a", clicker(k.T))
		time.Sleep(5 * time.Second)
		require.Equal(k.T, "restoring", i.Processor.Stats().Tasks[0].State, "the end cannot be read before the transaction is decided")
		require.NoError(k.T, tx.Commit())
		<-i.Processor.Ready()
		require.Len(k.T, requireFold(k, i, "open", "behind"), 2)
	})
}

func TestR14_CrashLosesNothing(t *testing.T) {
	for name, flush := range map[string]time.Duration{"before any flush": time.Hour, "after flushes": 150 * time.Millisecond} {
		t.Run(name, func(t *testing.T) {
			streamtest.Run(t, func(k *streamtest.Kit) {
				k.Topic("clicks", 4)
				g, keys := clicker(k.T), users(30)
				a := k.Start(g, processor.FlushInterval(flush))
				click(k, g, keys...)
				time.Sleep(time.Second)
				a.Crash()

				var seen plans
				a = k.Start(g, seen.option())
				rows := requireFold(k, a, keys...)
				require.Len(k.T, rows, len(keys))
				if name == "after flushes" {
					require.NotContains(k.T, seen.decided, state.Rebuild, "a crash is no reason to wipe a store")
				}
				click(k, g, keys...)
				require.GreaterOrEqual(k.T, requireFold(k, a, keys...)["user-1"], int64(2))
			})
		})
	}
}

func TestR20_UnknownOffsetsAreNotZero(t *testing.T) {
	for name, fault := range map[string]devbroker.Fault{
		"end":       {Request: devbroker.ListOffsets, Topic: "clicks-count", Err: devbroker.OffsetNotAvailable, Count: 3},
		"committed": {Request: devbroker.OffsetFetch, Group: "clicker", Err: devbroker.UnstableOffsetCommit, Count: 3},
	} {
		t.Run(name, func(t *testing.T) {
			streamtest.Run(t, func(k *streamtest.Kit) {
				k.Topic("clicks", 2)
				g, keys := clicker(k.T), users(10)
				a := k.Start(g)
				click(k, g, keys...)
				require.NoError(k.T, a.Stop())
				h := k.Broker.Fail(fault)
				var seen plans
				a = k.Start(g, seen.option())
				require.Positive(k.T, h.Hits())
				require.Equal(k.T, []state.Decision{state.Ready, state.Ready}, seen.decided)
				require.Len(k.T, requireFold(k, a, keys...), 10)
				require.Zero(k.T, a.Processor.Stats().Records, "nothing is counted twice")
			})
		})
	}
}

func TestR28_NullAndEmptyKeysAndValues(t *testing.T) {
	streamtest.Run(t, func(k *streamtest.Kit) {
		k.Topic("clicks", 1)
		k.Topic("clicks-count", 1, "cleanup.policy", "compact")
		one := []byte("\x00\x00\x00\x00\x00\x00\x00\x01")
		require.NoError(k.T, k.Broker.Produce("clicks-count", 0,
			devbroker.Record{Key: nil, Value: one}, devbroker.Record{Key: []byte{}, Value: one},
			devbroker.Record{Key: []byte("gone"), Value: one}, devbroker.Record{Key: []byte("gone"), Value: nil}))
		i := k.Start(clicker(k.T))
		require.Equal(k.T, map[string]int64{"": 1}, streamtest.Read(i, counts, "", "gone"))
	})
}

func TestR48_AnyBytesAreAKey(t *testing.T) {
	streamtest.Run(t, func(k *streamtest.Kit) {
		k.Topic("clicks", 2)
		g := clicker(k.T)
		keys := []string{"m", "d", "mcheckpoint", "\x00", "\xff\xfe", "__offset", string(make([]byte, 200<<10))}
		a := k.Start(g)
		click(k, g, keys...)
		require.Len(k.T, requireFold(k, a, keys...), len(keys))
		require.NoError(k.T, a.Stop())
		require.Len(k.T, requireFold(k, k.Start(g), keys...), len(keys))
	})
}

// A table that is being restored answers nothing: half of it is as wrong as none.
func TestGet_BeforeTheTableIsCurrent(t *testing.T) {
	streamtest.Run(t, func(k *streamtest.Kit) {
		k.Topic("clicks", 1)
		g := clicker(k.T)
		a := k.StartAs("a", g)
		click(k, g, "user-0", "user-1", "user-0")
		require.NoError(k.T, a.Stop())
		held := k.Broker.Hold(devbroker.Fetch, "clicks-count")
		b := k.Launch("b", g)
		_, _, err := processor.Get(b.Processor, counts, "user-0")
		require.ErrorIs(k.T, err, processor.ErrNotReady, "it has hardly begun")
		<-held.Arrived()
		time.Sleep(time.Second)
		_, _, err = processor.Get(b.Processor, counts, "user-0")
		require.ErrorIs(k.T, err, processor.ErrNotReady)
		held.Release()
		<-b.Processor.Ready()
		n, ok, err := processor.Get(b.Processor, counts, "user-0")
		require.NoError(k.T, err)
		require.Equal(k.T, []any{int64(2), true}, []any{n, ok})
	})
}

// What is committed while a flush is under way is not in it, nor in its checkpoint: a crash right after it loses nothing.
func TestR15_CommitDuringAFlush(t *testing.T) {
	streamtest.Run(t, func(k *streamtest.Kit) {
		k.Topic("clicks", 1)
		g := clicker(k.T)
		flushed := make(chan observe.Flush, 10)
		a := k.StartAs("a", g, processor.CommitInterval(10*time.Millisecond), processor.FlushInterval(time.Minute),
			processor.Observe(observe.Observer{Flush: func(f observe.Flush) { flushed <- f }}))
		click(k, g, "user-0")
		held := k.Broker.Hold(devbroker.Fetch, "clicks-count")
		<-held.Arrived()
		synctest.Wait() // the flush has asked for the last record's epoch; a look at the log at the same moment may have been first
		require.Empty(k.T, flushed)
		click(k, g, "user-1")
		require.Empty(k.T, flushed)
		held.Release()
		require.Equal(k.T, 1, (<-flushed).Rows)
		a.Crash()
		var seen plans
		rows := requireFold(k, k.StartAs("a", g, seen.option()), "user-0", "user-1")
		require.Equal(k.T, map[string]int64{"user-0": 1, "user-1": 1}, rows)
		require.Equal(k.T, []state.Decision{state.Resume}, seen.decided, "the second is read, the first is known by its epoch")
	})
}
