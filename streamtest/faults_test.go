package streamtest_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tarnstream/tarn/devbroker"
	"github.com/tarnstream/tarn/processor"
	"github.com/tarnstream/tarn/streamtest"
	"github.com/tarnstream/tarn/topology"
)

// order sends an order with each key and waits until it is committed, one after the other.
func order(k *streamtest.Kit, g *topology.Group, keys ...string) {
	k.T.Helper()
	for _, key := range keys {
		streamtest.Send(k, orders, streamtest.KV(key, "set "+key))
		k.Settle(g)
	}
}

// What a crash finds written and not synced is gone.
func TestCrash_DropsWhatIsNotSynced(t *testing.T) {
	streamtest.Run(t, func(k *streamtest.Kit) {
		g := obedient(k.T)
		k.Topic("orders", 1)
		a := k.Start(g, processor.FlushInterval(time.Second))
		k.Advance(time.Second)
		k.SlowDisk("a", 300*time.Millisecond)
		order(k, g, "x")
		before := k.DiskOps("a")
		k.Until("a write is under way", func() bool { return k.DiskOps("a") > before+1 }) // the sync waits
		a.Crash()
		k.SlowDisk("a", 0)
		a = k.Start(g)
		require.EqualValues(k.T, 2, a.Processor.Stats().Restored, "of each table the row that was not synced")
		k.Check()
	})
}

// One that waits to join is told by no answer that it is a member. Its part goes to the others when its session is over.
func TestCrash_WhileItWaitsToJoin(t *testing.T) {
	streamtest.Run(t, func(k *streamtest.Kit) {
		g, a := started(k, 4)
		b := k.Launch("b", g)
		k.Until("b waits", func() bool {
			info, err := k.Broker.Group("obedient")
			return err == nil && info.State == "PreparingRebalance"
		})
		b.Crash()
		k.Until("b is taken for a member", func() bool { return a.Running() < 4 })
		lost := time.Now()
		k.Until("a has everything", func() bool { return a.Running() == 4 })
		require.Less(k.T, time.Since(lost), 15*time.Second, "a session of 10 s, and a heartbeat")
		order(k, g, "x")
		k.Check()
	})
}

// Whichever operation of the disk fails: the run ends with an error, and on a disk that is whole again all is right.
func TestR41_FailDisk_AtEachOperation(t *testing.T) {
	streamtest.Run(t, func(k *streamtest.Kit) {
		k.Topic("orders", 1)
		ended := 0
		for i := 0; ; i++ {
			g := obedient(k.T)
			k.FailDisk("a", i)
			from := k.DiskOps("a")
			a := k.Launch("a", g, processor.FlushInterval(time.Second))
			streamtest.Send(k, orders, streamtest.KV("x", "set x"))
			k.Advance(time.Minute)
			failed := k.DiskOps("a")-from > i
			k.MendDisk("a")
			if !failed {
				k.Check()
				require.Positive(k.T, ended)
				return
			}
			if err := a.StopFailing(); err != nil {
				ended++
			}
			a = k.Start(g)
			k.Check()
			a.Crash()
		}
	})
}

// What a zombie had on its way arrives late, and its tables' new owner finds it.
func TestZombie_WritesLate(t *testing.T) {
	t.Run("at least once", func(t *testing.T) { writesLate(t, 2, processor.AtLeastOnce()) }) // the old owner's record is the last one
	t.Run("exactly once", func(t *testing.T) { writesLate(t, 4) })                           // it is part of a transaction that is aborted
}

func writesLate(t *testing.T, late int64, options ...processor.Option) {
	streamtest.Run(t, func(k *streamtest.Kit) {
		g := obedient(k.T)
		k.Topic("orders", 1)
		a := k.Start(g, append(options, processor.CommitInterval(5*time.Second))...)
		order(k, g, "me") // its producer is connected
		streamtest.Send(k, orders, streamtest.KV("me", "set late"))
		k.Advance(time.Second) // handled, not committed
		wake := a.Zombie()
		b := k.StartAs("b", g, options...)
		k.Until("b has the task", func() bool { return b.Running() == 1 })
		order(k, g, "me", "me")
		require.Equal(k.T, map[string]int64{"me": 4}, streamtest.Rows(k, counts))
		wake()
		wake()
		require.Equal(k.T, map[string]int64{"me": late}, streamtest.FoldOf(k, counts))
		k.Check()
		require.Equal(k.T, map[string]int64{"me": 4}, streamtest.Rows(k, counts), "the owner has written its own behind it")
		require.NoError(k.T, a.Stop())
	})
}

func TestZombie_CrashesOrStops(t *testing.T) {
	streamtest.Run(t, func(k *streamtest.Kit) {
		g := obedient(k.T)
		k.Topic("orders", 1)
		a := k.Start(g, processor.StopTimeout(5*time.Second))
		a.Zombie()
		a.Crash()
		a = k.Start(g)
		order(k, g, "me")
		defer a.Zombie()() // a stop that nothing of gets through ends all the same
		k.StopAll()
	})
}

// disturbances of a table's topic, and the rows that are left of ten.
func TestFaults_OfATablesTopic(t *testing.T) {
	for name, c := range map[string]struct {
		disturb func(k *streamtest.Kit)
		left    int
	}{
		"compacted":           {func(k *streamtest.Kit) { k.Compact("notes") }, 10},
		"expired":             {func(k *streamtest.Kit) { k.Expire("notes", 0, 4) }, 6},
		"truncated":           {func(k *streamtest.Kit) { require.EqualValues(k.T, 7, k.Truncate("notes", 0, 7)) }, 7},
		"made again":          {func(k *streamtest.Kit) { k.Recreate("notes") }, 0},
		"out of range":        {func(k *streamtest.Kit) { k.OutOfRangeOnce("notes") }, 10},
		"a transaction hangs": {func(k *streamtest.Kit) { k.HangTransaction("notes", 0, time.Minute) }, 10},
		"requests fail":       {func(k *streamtest.Kit) { k.FailNext(devbroker.ListOffsets, devbroker.NotLeader, 2) }, 10},
		"requests are slow":   {func(k *streamtest.Kit) { k.Delay(devbroker.Fetch, 2*time.Second) }, 10},
	} {
		t.Run(name, func(t *testing.T) {
			streamtest.Run(t, func(k *streamtest.Kit) {
				g := obedient(k.T)
				k.Topic("orders", 1)
				a := k.Start(g, processor.AtLeastOnce(), processor.FlushInterval(time.Hour))
				order(k, g, "0", "1", "2", "3", "4")
				require.NoError(k.T, a.Stop())
				a = k.Start(g, processor.AtLeastOnce())
				order(k, g, "5", "6", "7", "8", "9")
				a.Crash() // half of it is on disk
				c.disturb(k)
				k.Start(g)
				k.Check()
				require.Len(k.T, streamtest.Rows(k, notes), c.left)
				order(k, g, "5")
				k.Check()
			}, devbroker.Dir(t.TempDir()), devbroker.Relaxed())
		})
	}
}

func TestRebalance_AddsAndRemovesInstances(t *testing.T) {
	streamtest.Run(t, func(k *streamtest.Kit) {
		g := obedient(k.T)
		k.Topic("orders", 4)
		k.Rebalance(g, []string{"a"})
		for _, names := range [][]string{{"a", "b"}, {"b", "c"}, {"a", "b", "c", "d"}, {"d"}} {
			order(k, g, "1", "2", "3", "4", "5", "6", "7", "8")
			k.Rebalance(g, names)
			k.Check()
		}
		require.Nil(k.T, k.Instance("a"))
		require.Equal(k.T, 4, k.Instance("d").Running())
		for _, n := range streamtest.Rows(k, counts) {
			require.EqualValues(k.T, 4, n)
		}
	})
}

func TestCheck_NamesWhatIsBroken(t *testing.T) {
	require.Contains(t, failing(t, func(k *streamtest.Kit) { // a record that was committed and not handled
		g := obedient(k.T)
		k.Topic("orders", 1)
		require.NoError(k.T, k.Start(g).Stop())
		streamtest.Send(k, orders, streamtest.KV("lost", ""), streamtest.KV("found", ""))
		require.NoError(k.T, k.Broker.SetOffset("obedient", "orders", 0, devbroker.Commit{Offset: 1}))
		k.Start(g)
		k.Check()
	}), "streamtest: group obedient has committed records that it has not handled:\n\torders/0: offset 0, key \"lost\"\n\tinstance a of group obedient: ended")
	require.Contains(t, failing(t, func(k *streamtest.Kit) { // a row that stands in no topic
		g, _ := started(k, 1)
		order(k, g, "me")
		k.Invariant("two notes", func() error { return errRefused })
		k.Check()
	}), "streamtest: two notes: refused\n\tinstance a of group obedient: records 1")
	require.Contains(t, failing(t, func(k *streamtest.Kit) {
		g, a := started(k, 1)
		order(k, g, "me")
		a.Disconnect() // nothing tells the instance
		streamtest.Send(k, notes, streamtest.KV("me", "other"))
		k.Check()
	}), "streamtest: table notes is not the fold of its topic:\n\tkey \"me\": ")
	require.Contains(t, failing(t, func(k *streamtest.Kit) {
		started(k, 1)
		streamtest.Send(k, orders, streamtest.KV("me", "fail"))
		k.Check()
	}), "group obedient does not settle")
}
