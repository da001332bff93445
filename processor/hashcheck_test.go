package processor_test

import (
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tarnstream/tarn/codec"
	"github.com/tarnstream/tarn/devbroker"
	"github.com/tarnstream/tarn/internal/scope"
	"github.com/tarnstream/tarn/observe"
	"github.com/tarnstream/tarn/processor"
	"github.com/tarnstream/tarn/streamtest"
	"github.com/tarnstream/tarn/topology"
)

// mismatches collects what is told of keys in the wrong partition.
type mismatches struct {
	mu   sync.Mutex
	told []observe.HashMismatch
}

func (m *mismatches) option() processor.Option {
	return processor.Observe(observe.Observer{HashMismatch: func(e observe.HashMismatch) {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.told = append(m.told, e)
	}})
}

func (m *mismatches) count() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.told)
}

func ignore(*topology.Context, string) error { return nil }

// place sends a record of each key to the partition of two that at says.
func place(k *streamtest.Kit, keys []string, at func(key []byte) int32) {
	k.T.Helper()
	for _, key := range keys {
		require.NoError(k.T, k.Broker.Produce("clicks", at([]byte(key)), devbroker.Record{Key: []byte(key), Value: []byte("x")}))
	}
}

func wrong(hash scope.Hash) func(key []byte) int32 {
	return func(key []byte) int32 { return 1 - hash.Partition(key, 2) }
}

func TestR69_AProducerThatHashesOtherwise(t *testing.T) {
	streamtest.Run(t, func(k *streamtest.Kit) {
		k.Topic("clicks", 2)
		g, keys := clicker(k.T), users(20)
		var told mismatches
		a := k.Start(g, told.option())
		click(k, g, keys...)
		require.Zero(k.T, told.count())
		place(k, keys, wrong(scope.Murmur2))
		k.Settle(g)
		require.Equal(k.T, 2, told.count(), "once for each partition")
		for _, e := range told.told {
			require.Equal(k.T, observe.Place{Group: "clicker", Topic: "clicks", Partition: 1 - e.Belongs}, e.Place)
			require.Equal(k.T, partitionOf(string(e.Key), 2), e.Belongs)
			require.Equal(k.T, "murmur2", e.Hash)
			records, err := k.Broker.Records("clicks", e.Partition)
			require.NoError(k.T, err)
			require.Equal(k.T, e.Key, records[e.Offset].Key)
			require.Equal(k.T, e.Partition, partitionOf(string(records[e.Offset-1].Key), 2), "it is the first such record")
		}

		a.Disconnect() // the tasks are lost and started again
		k.Until("lost", func() bool { return len(a.Processor.Stats().Tasks) == 0 })
		a.Connect()
		k.Until("back", func() bool { return a.Running() == 2 })
		place(k, keys, wrong(scope.Murmur2))
		k.Settle(g)
		require.Equal(k.T, 2, told.count(), "once in a run")
	})
}

// Every client's hash agrees with the handle's option, and what has no place of its own says nothing.
func TestR69_HashesThatAgree(t *testing.T) {
	for hash, option := range map[scope.Hash]topology.TopicOption{scope.Murmur2: topology.Partitions(2), scope.FNV1a: topology.FNV1a(), scope.CRC32: topology.CRC32()} {
		streamtest.Run(t, func(k *streamtest.Kit) {
			k.Topic("clicks", 2)
			g := define(k.T, "clicker", topology.Input(topology.NewStream("clicks", codec.String, option), ignore))
			var told mismatches
			k.Start(g, told.option())
			place(k, users(50), func(key []byte) int32 { return hash.Partition(key, 2) })
			for p := range int32(2) {
				require.NoError(k.T, k.Broker.Produce("clicks", p, devbroker.Record{Value: []byte("no key")}))
				if hash == scope.CRC32 {
					require.NoError(k.T, k.Broker.Produce("clicks", p, devbroker.Record{Key: []byte{}, Value: []byte("x")}))
				}
			}
			k.Settle(g)
			require.Zero(k.T, told.count(), "%s", hash)
			place(k, users(50), wrong(hash))
			k.Settle(g)
			require.Equal(k.T, 2, told.count(), "%s", hash)
			require.Equal(k.T, hash.String(), told.told[0].Hash)
		})
	}
}

// The check is for the first records after a start: a later mismatch is not met before the next.
func TestR69_OnlyTheFirstRecordsAreChecked(t *testing.T) {
	streamtest.Run(t, func(k *streamtest.Kit) {
		k.Topic("clicks", 2)
		g := define(k.T, "clicker", topology.Input(clicks, ignore))
		var told mismatches
		a := k.Start(g, told.option())
		var of [2][]string // keys by partition
		for _, key := range users(300) {
			p := partitionOf(key, 2)
			of[p] = append(of[p], key)
		}
		first := func([]byte) int32 { return 0 }
		place(k, of[0][:100], first)
		place(k, of[1][:1], first)
		k.Settle(g)
		require.Zero(k.T, told.count())
		require.NoError(k.T, a.Stop())
		k.Start(g, told.option())
		place(k, of[0][:99], first)
		place(k, of[1][:1], first)
		k.Settle(g)
		require.Equal(k.T, 1, told.count())
	})
}
