package processor_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tarnstream/tarn/devbroker"
	"github.com/tarnstream/tarn/streamtest"
)

// A start whose epoch somebody else raises at the same moment goes on.
func TestR63_FencedAtTheStart(t *testing.T) {
	streamtest.Run(t, func(k *streamtest.Kit) {
		k.Topic("clicks", 2)
		g, keys := clicker(k.T), users(10)
		fault := k.Broker.Fail(devbroker.Fault{Request: devbroker.InitProducerID, Err: devbroker.ProducerFenced, Count: 1, TopLevel: true})
		a := k.StartAs("a", g)
		click(k, g, keys...)
		require.Equal(k.T, 1, fault.Hits())
		requireEach(k, a, 1, keys...)
	})
}

// Kafka 3.9.1 calls a producer fenced whose own InitProducerID has ended a transaction that was open: the group gives the tasks anew.
func TestR63_FencedByItsOwnAbort(t *testing.T) {
	streamtest.Run(t, func(k *streamtest.Kit) {
		k.Topic("clicks", 4)
		g, keys := clicker(k.T), users(10)
		a, b := k.StartAs("a", g), k.StartAs("b", g)
		k.Until("shared", func() bool { return a.Running() == 2 && b.Running() == 2 })
		click(k, g, keys...)
		for range 3 {
			fault := k.Broker.Fail(devbroker.Fault{Request: devbroker.TxnOffsetCommit, Err: devbroker.InvalidTxnState, Count: 1})
			fenced := k.Broker.Fail(devbroker.Fault{Request: devbroker.InitProducerID, Err: devbroker.ProducerFenced, Count: 1, TopLevel: true})
			sendEach(k, keys...)
			k.Settle(g)
			require.Equal(k.T, 1, fault.Hits())
			require.Equal(k.T, 1, fenced.Hits())
		}
		k.Check()
		for _, key := range keys {
			require.EqualValues(k.T, 4, streamtest.FoldOf(k, counts)[key], key)
		}
		k.Advance(time.Minute)
		k.Until("shared again", func() bool { return a.Running()+b.Running() == 4 })
	})
}

// A stop while the coordinator of transactions is away does not wait for it: nothing was done that could be committed.
func TestStop_BeforeTheFirstEpoch(t *testing.T) {
	streamtest.Run(t, func(k *streamtest.Kit) {
		k.Topic("clicks", 2)
		g, _ := clicker(k.T), users(1)
		k.Broker.Fail(devbroker.Fault{Request: devbroker.InitProducerID, Err: devbroker.CoordinatorNotAvailable, Count: 1000, TopLevel: true})
		a := k.Launch("a", g)
		k.Advance(5 * time.Second)
		began := time.Now()
		require.NoError(k.T, a.Stop())
		require.Less(k.T, time.Since(began), 5*time.Second)
	})
}
