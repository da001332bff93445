package processor_test

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tarnstream/tarn/codec"
	"github.com/tarnstream/tarn/devbroker"
	"github.com/tarnstream/tarn/observe"
	"github.com/tarnstream/tarn/processor"
	"github.com/tarnstream/tarn/streamtest"
	"github.com/tarnstream/tarn/topology"
)

func TestR02_OutOfRangeInMidRestore(t *testing.T) {
	streamtest.Run(t, func(k *streamtest.Kit) {
		k.Topic("clicks", 1)
		g, keys := clicker(k.T), users(10)
		away(k, g, keys, keys)

		// the log start passes the reader between its plan and its first read
		held := k.Broker.Hold(devbroker.Fetch, "clicks-count")
		var seen plans
		a := k.Launch("c", g, processor.AtLeastOnce(), seen.option())
		<-held.Arrived()
		require.NoError(k.T, k.Broker.DeleteRecords("clicks-count", 0, 15))
		held.Release()
		<-a.Processor.Ready()
		require.Len(k.T, requireFold(k, a, keys...), 5)
		require.GreaterOrEqual(k.T, len(seen.decided), 2, "checked and planned again")
	})
}

func TestR46_OffsetsNeverAheadOfEffects(t *testing.T) {
	streamtest.Run(t, func(k *streamtest.Kit) {
		k.Topic("clicks", 1)
		g, keys := clicker(k.T), users(10)
		k.Start(g)
		held := k.Broker.Hold(devbroker.Produce, "clicks-count")
		for _, key := range keys {
			k.Send("clicks", key, "x")
		}
		<-held.Arrived()
		time.Sleep(5 * time.Second)
		info, err := k.Broker.Group("clicker")
		require.NoError(k.T, err)
		require.Zero(k.T, info.Commits["clicks"][0].Offset, "effects are not in Kafka yet")
		held.Release()
		k.Settle(g)
		require.Len(k.T, streamtest.FoldOf(k, counts), 10)
	})
}

func TestBrokerLostAtRunTime_GoesOn(t *testing.T) {
	streamtest.Run(t, func(k *streamtest.Kit) {
		k.Topic("clicks", 2)
		g, keys := clicker(k.T), users(10)
		a := k.Start(g)
		click(k, g, keys...)
		k.Broker.Stop()
		time.Sleep(5 * time.Minute)
		require.NoError(k.T, k.Broker.Resume())
		click(k, g, keys...)
		require.EqualValues(k.T, 2, requireFold(k, a, keys...)["user-4"])
	})
}

func TestBrokerUnreachableAtStart_NamesTheAddresses(t *testing.T) {
	streamtest.Run(t, func(k *streamtest.Kit) {
		k.Broker.Stop()
		start := time.Now()
		err := k.Launch("a", clicker(k.T), processor.Brokers("one:9092", "two:9092"), processor.StartTimeout(10*time.Second)).Wait()
		require.ErrorContains(k.T, err, "one:9092")
		require.ErrorContains(k.T, err, "two:9092")
		require.WithinDuration(k.T, start.Add(10*time.Second), time.Now(), 2*time.Second)
		require.NoError(k.T, k.Broker.Resume())
	})
}

func TestDecodeError_NamesTheRecord(t *testing.T) {
	in := topology.NewStream("numbers", codec.Int64)
	g := define(t, "decoder", topology.Input(in, func(*topology.Context, int64) error { return nil }))
	streamtest.Run(t, func(k *streamtest.Kit) {
		k.Topic("numbers", 1)
		k.Send("numbers", "k", "not eight bytes")
		var failed *processor.RecordError
		require.ErrorAs(k.T, k.Launch("a", g).Wait(), &failed)
		var decode *topology.DecodeError
		require.ErrorAs(k.T, failed, &decode)
		require.Zero(k.T, failed.Offset)
	})
}

func TestUndeclaredTable_NamesTheEdge(t *testing.T) {
	g := define(t, "forgetful", topology.Input(clicks, onClick))
	streamtest.Run(t, func(k *streamtest.Kit) {
		k.Topic("clicks", 1)
		k.Send("clicks", "a", "x")
		err := k.Launch("a", g).Wait()
		var u *topology.UndeclaredError
		require.ErrorAs(k.T, err, &u)
		require.ErrorContains(k.T, err, "table clicks-count is not declared: add topology.Persist")
	})
}

func TestTooLarge_IsARecordError(t *testing.T) {
	big := topology.NewTable("big", codec.Bytes)
	g := define(t, "big", topology.Persist(big), topology.Input(clicks, func(ctx *topology.Context, _ string) error {
		return big.Set(ctx, make([]byte, 2<<20))
	}))
	streamtest.Run(t, func(k *streamtest.Kit) {
		k.Topic("clicks", 1)
		k.Send("clicks", "a", "x")
		err := k.Launch("a", g).Wait()
		var record *processor.RecordError
		require.ErrorAs(k.T, err, &record)
		var large *topology.TooLargeError
		require.ErrorAs(k.T, err, &large)
		require.Equal(k.T, "big", large.Topic)
	})
}

func TestNullValues_AreCountedAndSkipped(t *testing.T) {
	streamtest.Run(t, func(k *streamtest.Kit) {
		k.Topic("clicks", 1)
		g := clicker(k.T)
		a := k.Start(g)
		require.NoError(k.T, k.Broker.Produce("clicks", 0, devbroker.Record{Key: []byte("a")}))
		click(k, g, "a")
		require.EqualValues(k.T, 1, a.Processor.Stats().Nulls)
		require.EqualValues(k.T, 1, requireFold(k, a, "a")["a"])
	})
}

func TestNullKey_SetIsAnError(t *testing.T) {
	streamtest.Run(t, func(k *streamtest.Kit) {
		k.Topic("clicks", 1)
		require.NoError(k.T, k.Broker.Produce("clicks", 0, devbroker.Record{Value: []byte("x")}))
		require.ErrorIs(k.T, k.Launch("a", clicker(k.T)).Wait(), topology.ErrNullKey)
	})
}

// A cut line: the member loses its claims, drops what it could not commit, and is right when it is back.
func TestDisconnected_LosesItsTasksAndComesBack(t *testing.T) {
	streamtest.Run(t, func(k *streamtest.Kit) {
		k.Topic("clicks", 2)
		g, keys := clicker(k.T), users(10)
		a := k.StartAs("a", g)
		click(k, g, keys...)
		a.Disconnect()
		b := k.StartAs("b", g)
		k.Until("b has both tasks", func() bool { return b.Running() == 2 })
		click(k, g, keys...)
		a.Connect()
		k.Until("a is back", func() bool { return a.Running() == 1 && b.Running() == 1 })
		click(k, g, keys...)
		require.NoError(k.T, b.Stop())
		k.Until("a has both tasks", func() bool { return a.Running() == 2 })
		require.EqualValues(k.T, 3, requireFold(k, a, keys...)["user-2"])
	})
}

func TestRebalance_StaysPutWhatStays(t *testing.T) {
	streamtest.Run(t, func(k *streamtest.Kit) {
		k.Topic("clicks", 4)
		g := clicker(k.T)
		var restores atomic.Int32
		count := processor.Observe(observe.Observer{RestoreDone: func(observe.Restore) { restores.Add(1) }})
		a := k.StartAs("a", g, count)
		b := k.StartAs("b", g)
		k.Until("shared", func() bool { return a.Running() == 2 && b.Running() == 2 })
		require.NoError(k.T, b.Stop())
		k.Until("a has all", func() bool { return a.Running() == 4 })
		require.EqualValues(k.T, 6, restores.Load(), "four at the start, two that came back")
	})
}

func TestStop_CallbackStuckPastTheDeadline(t *testing.T) {
	release := make(chan struct{})
	g := define(t, "stuck", topology.Persist(counts), topology.Input(clicks, func(ctx *topology.Context, v string) error {
		if v == "stuck" {
			<-release
		}
		return onClick(ctx, v)
	}))
	streamtest.Run(t, func(k *streamtest.Kit) {
		release = make(chan struct{})
		k.Topic("clicks", 1)
		a := k.Start(g, processor.StopTimeout(5*time.Second))
		k.Send("clicks", "a", "fine")
		k.Settle(g)
		k.Send("clicks", "a", "stuck")
		time.Sleep(time.Second)
		var stuck *processor.StuckError
		began := time.Now()
		require.ErrorAs(k.T, a.StopFailing(), &stuck)
		require.Less(k.T, time.Since(began), 6*time.Second, "one deadline for all of the stop")
		require.Equal(k.T, []int32{0}, stuck.Tasks)
		close(release)
		time.Sleep(time.Second)
		require.Equal(k.T, map[string]int64{"a": 1}, streamtest.FoldOf(k, counts), "nothing of the stuck record is written")
	})
}
