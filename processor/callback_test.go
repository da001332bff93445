package processor_test

import (
	"context"
	"errors"
	"hash/fnv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tarnstream/tarn/codec"
	"github.com/tarnstream/tarn/processor"
	"github.com/tarnstream/tarn/streamtest"
	"github.com/tarnstream/tarn/topology"
)

// viewed gives what a view of a table has of keys.
func viewed[T any](k *streamtest.Kit, table *topology.Table[T], keys []string) map[string]T {
	v, err := processor.NewView(table, k.Options("view")...)
	require.NoError(k.T, err)
	ctx, cancel := context.WithCancel(k.T.Context())
	done := make(chan error, 1)
	go func() { done <- v.Run(ctx) }()
	<-v.Ready()
	all := map[string]T{}
	for _, key := range keys {
		value, ok, err := v.Get(key)
		require.NoError(k.T, err)
		if ok {
			all[key] = value
		}
	}
	cancel()
	require.NoError(k.T, <-done)
	return all
}

// Everything that looks for a key's partition goes by the handle's hash: a group of sarama producers, counted, read,
// looked into, emitted to another hash, and viewed.
func TestHash_OfAHandleIsUsedEverywhere(t *testing.T) {
	var (
		in    = topology.NewStream("in", codec.String, topology.FNV1a())
		out   = topology.NewStream("out", codec.String, topology.CRC32())
		table = topology.NewTable("table", codec.String, topology.FNV1a())
	)
	g := define(t, "hashes", topology.Persist(table), topology.Output(out), topology.Input(in, func(ctx *topology.Context, v string) error {
		return errors.Join(table.Set(ctx, v), out.Emit(ctx, ctx.Key(), v))
	}))
	streamtest.Run(t, func(k *streamtest.Kit) {
		k.Topic("in", 5)
		k.Topic("out", 3)
		i := k.Start(g)
		keys, want := users(50), map[string]string{}
		e, err := processor.NewEmitter(in, k.Options("emitter")...)
		require.NoError(k.T, err)
		for _, key := range keys {
			want[key] = strings.ToUpper(key)
			require.NoError(k.T, e.Emit(k.T.Context(), key, want[key]))
		}
		require.NoError(k.T, e.Close(k.T.Context()))
		k.Settle(g)

		for p := range int32(5) {
			records, err := k.Broker.Records("in", p)
			require.NoError(k.T, err)
			for _, r := range records {
				h := fnv.New32a()
				_, _ = h.Write(r.Key)
				partition := int32(h.Sum32()) % 5
				require.Equal(k.T, p, max(partition, -partition), "%s", r.Key)
			}
		}
		require.Equal(k.T, want, streamtest.Read(i, table, keys...))
		crc := out.Spec().Hash
		for p := range int32(3) {
			rows, err := k.Broker.Fold("out", p)
			require.NoError(k.T, err)
			require.NotEmpty(k.T, rows)
			for key := range rows {
				require.Equal(k.T, p, crc.Partition([]byte(key), 3), key)
			}
		}
		require.Equal(k.T, want, viewed(k, table, keys))
	})
}
