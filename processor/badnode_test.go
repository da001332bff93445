package processor_test

import (
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tarnstream/tarn/devbroker"
	"github.com/tarnstream/tarn/observe"
	"github.com/tarnstream/tarn/processor"
	"github.com/tarnstream/tarn/streamtest"
)

// badNode gives a node that does not coordinate the group, for the test to stop.
func badNode(k *streamtest.Kit, group string) (node, other int32) {
	coordinator := k.Broker.Coordinator(group)
	return (coordinator + 1) % 3, coordinator
}

// TestBadNodeRestore: tables whose leader is away keep no other from being restored, however many they are.
func TestBadNodeRestore(t *testing.T) {
	streamtest.Run(t, func(k *streamtest.Kit) {
		const n, gone = 12, 6
		g := clicker(k.T)
		k.Topic("clicks", n)
		k.Topic("clicks-count", n, "cleanup.policy", "compact")
		dead, alive := badNode(k, "clicker")
		for p := range int32(n) {
			require.NoError(k.T, k.Broker.MoveLeader("clicks", p, alive))
			leader := alive
			if p < gone {
				leader = dead
			}
			require.NoError(k.T, k.Broker.MoveLeader("clicks-count", p, leader))
		}
		require.NoError(k.T, k.Broker.StopNode(dead))
		a := k.Launch("a", g, processor.AtLeastOnce()) // the dead node may be the one that coordinates a transactional id
		k.Advance(20 * time.Second)
		require.Equal(k.T, n-gone, a.Running())
		require.NoError(k.T, k.Broker.StartNode(dead))
		k.Until("all tasks run", func() bool { return a.Running() == n })
	}, devbroker.Brokers(3))
}

// TestBadNodeFlush: idle tables whose leader is away do not keep those that change from the disk.
func TestBadNodeFlush(t *testing.T) {
	streamtest.Run(t, func(k *streamtest.Kit) {
		const n = 16
		g := clicker(k.T)
		k.Topic("clicks", n)
		k.Topic("clicks-count", n, "cleanup.policy", "compact")
		dead, alive := badNode(k, "clicker")
		key := "user"
		busy := partitionOf(key, n)
		for p := range int32(n) {
			require.NoError(k.T, k.Broker.MoveLeader("clicks", p, alive))
			leader := dead
			if p == busy {
				leader = alive
			}
			require.NoError(k.T, k.Broker.MoveLeader("clicks-count", p, leader))
		}
		var mu sync.Mutex
		flushed := []time.Time{}
		k.Start(g, processor.AtLeastOnce(), processor.FlushInterval(2*time.Second), processor.Observe(observe.Observer{Flush: func(f observe.Flush) {
			if f.Place.Partition == busy {
				mu.Lock()
				defer mu.Unlock()
				flushed = append(flushed, time.Now())
			}
		}}))
		require.NoError(k.T, k.Broker.StopNode(dead))
		k.Advance(2 * time.Minute)
		began := time.Now()
		for range 30 {
			k.Send("clicks", key, "x")
			k.Advance(time.Second)
		}
		mu.Lock()
		defer mu.Unlock()
		since := slices.DeleteFunc(flushed, began.After)
		require.GreaterOrEqual(k.T, len(since), 14, "one each 2 s")
		require.NoError(k.T, k.Broker.StartNode(dead))
	}, devbroker.Brokers(3))
}
