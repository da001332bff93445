package processor_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tarnstream/tarn/devbroker"
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
		a := k.Launch("a", g)
		k.Advance(20 * time.Second)
		require.Equal(k.T, n-gone, a.Running())
		require.NoError(k.T, k.Broker.StartNode(dead))
		k.Until("all tasks run", func() bool { return a.Running() == n })
	}, devbroker.Brokers(3))
}
