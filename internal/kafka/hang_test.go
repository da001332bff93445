package kafka

import (
	"context"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tarnstream/tarn/devbroker"
	"github.com/tarnstream/tarn/internal/bubbletest"
)

// hang takes a node away without a word, as a machine that loses its power does: connections to it are neither made nor refused.
func hang(t *testing.T, c *Client, b *devbroker.Broker, node int32) {
	t.Helper()
	require.NoError(t, b.StopNode(node))
	dial := c.dial
	c.dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
		if addr == b.Addrs()[node] {
			<-ctx.Done()
			return nil, ctx.Err()
		}
		return dial(ctx, network, addr)
	}
}

// TestR53_BoundsOfAHangingBroker: cursors that wait for a broker which hangs do not wait for each other once there are
// new leaders.
func TestR53_BoundsOfAHangingBroker(t *testing.T) {
	bubbletest.Run(t, func(t *testing.T) {
		c, b := clientOf(t, devbroker.Brokers(3))
		const n = 8
		require.NoError(t, b.CreateTopic("away", n, nil))
		for p := range int32(n) {
			require.NoError(t, b.MoveLeader("away", p, 2))
		}
		hang(t, c, b, 2)
		r := c.NewReader(ReaderConfig{})
		var wg sync.WaitGroup
		for p := range int32(n) {
			wg.Go(func() {
				_, err := r.Open("away", p, nil).Bounds(t.Context())
				require.NoError(t, err)
			})
		}
		time.Sleep(time.Second)
		for p := range int32(n) {
			require.NoError(t, b.MoveLeader("away", p, p%2))
		}
		began := time.Now()
		wg.Wait()
		require.Less(t, time.Since(began), 2*requestTimeout)
	})
}

// TestR25_CommitToAHangingCoordinator: a commit goes on as soon as the group has another coordinator and the old one has had its time.
func TestR25_CommitToAHangingCoordinator(t *testing.T) {
	bubbletest.Run(t, func(t *testing.T) {
		c, b := clientOf(t, devbroker.Brokers(3))
		was := b.Coordinator("g")
		_, err := c.coordinator(t.Context(), ofGroup("g"))
		require.NoError(t, err)
		hang(t, c, b, was)
		done := make(chan error, 1)
		go func() {
			done <- c.CommitOffsets(t.Context(), "g", Member{Generation: -1}, map[string]map[int32]Offset{"t": {0: {Position: 7}}})
		}()
		synctest.Wait()
		for b.Coordinator("g") == was {
			require.NoError(t, b.MoveCoordinators())
		}
		began := time.Now()
		require.NoError(t, <-done)
		require.Less(t, time.Since(began), 2*requestTimeout)
	})
}
