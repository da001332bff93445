package kafka_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tarnstream/tarn/devbroker"
	"github.com/tarnstream/tarn/internal/kafka"
)

// TestR53_ReaderBoundsOfOthers: cursors that ask for the bounds of logs whose broker is away keep no other from finding its
// new leader.
func TestR53_ReaderBoundsOfOthers(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		b := newBench(t, devbroker.Virtual(), devbroker.Brokers(3))
		require.NoError(t, b.broker.CreateTopic("away", 8, nil))
		for p := range int32(8) {
			require.NoError(t, b.broker.MoveLeader("away", p, 2))
		}
		require.NoError(t, b.broker.MoveLeader("t", 0, 0))
		require.NoError(t, b.broker.StopNode(2))
		r := b.read(kafka.ReaderConfig{MetadataInterval: time.Hour})
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		for p := range int32(8) {
			wg.Go(func() {
				time.Sleep(time.Duration(p) * 113 * time.Millisecond)
				_, err := r.Open("away", p, nil).Bounds(ctx)
				require.Error(t, err)
			})
		}
		defer func() { cancel(); wg.Wait() }()
		c := r.Open("t", 0, nil)
		b.write(0, 0, 5)
		readTo(t, c, 0, 5)
		time.Sleep(10 * time.Second)
		electing := b.broker.Fail(devbroker.Fault{Request: devbroker.Metadata, Topic: "t", Err: devbroker.Timeout, Count: -1})
		require.NoError(t, b.broker.MoveLeader("t", 0, 1))
		b.write(0, 5, 5)
		time.Sleep(10 * time.Second)
		electing.Remove()
		for began := time.Now(); time.Since(began) < 3*time.Second; {
			records, err := c.Fetch(t.Context(), c.Position())
			require.NoError(t, err)
			if records.Next == 10 {
				return
			}
		}
		t.Fatal("the new leader is not found")
	})
}
