package processor_test

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tarnstream/tarn/devbroker"
	"github.com/tarnstream/tarn/observe"
	"github.com/tarnstream/tarn/processor"
	"github.com/tarnstream/tarn/streamtest"
)

// A task whose commits all end with an outcome that nobody knows does not start again as often as commits are made, and
// goes on soon after the trouble is over.
func TestRestart_Rests(t *testing.T) {
	streamtest.Run(t, func(k *streamtest.Kit) {
		g := clicker(k.T)
		k.Topic("clicks", 1)
		var restarts atomic.Int64
		a := k.Start(g, processor.Observe(observe.Observer{Rebalance: func(r observe.Rebalance) {
			if r.Kind == observe.Restarted {
				restarts.Add(1)
			}
		}}))
		odd := k.Broker.Fail(devbroker.Fault{Request: devbroker.Produce, Topic: "clicks-count", Err: devbroker.UnknownServerError, Count: -1})
		k.Send("clicks", "user", "x")
		k.Advance(time.Minute)
		require.LessOrEqual(k.T, restarts.Load(), int64(20))
		odd.Remove()
		began := time.Now()
		k.Settle(g)
		require.Less(k.T, time.Since(began), 15*time.Second)
		requireFold(k, a, "user")

		before := restarts.Load()
		k.Broker.Fail(devbroker.Fault{Request: devbroker.Produce, Topic: "clicks-count", Err: devbroker.UnknownServerError, Count: 1})
		began = time.Now()
		click(k, g, "user")
		require.Equal(k.T, before+1, restarts.Load())
		require.Less(k.T, time.Since(began), time.Second, "the first time it starts at once")
	})
}
