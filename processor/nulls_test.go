package processor_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tarnstream/tarn/codec"
	"github.com/tarnstream/tarn/devbroker"
	"github.com/tarnstream/tarn/processor"
	"github.com/tarnstream/tarn/streamtest"
	"github.com/tarnstream/tarn/topology"
)

// mirror emits each record again and keeps it under its key, and under the empty key what came without one. Nulls are
// handled as nulls.
func mirror(t *testing.T, out *topology.Stream[[]byte], table *topology.Table[[]byte]) *topology.Group {
	in := topology.NewStream("in", codec.Bytes)
	where := func(ctx *topology.Context) string {
		return fmt.Sprintf("%s|null %t", ctx.Key(), !ctx.HasKey())
	}
	return define(t, "mirror", topology.Output(out), topology.Persist(table),
		topology.Input(in, func(ctx *topology.Context, v []byte) error {
			return errors.Join(out.Emit(ctx, where(ctx), v, ctx.Headers()...), table.SetKey(ctx, ctx.Key(), v))
		}, topology.OnDelete(func(ctx *topology.Context) error {
			return errors.Join(out.EmitTombstone(ctx, where(ctx), ctx.Headers()...), out.Emit(ctx, "", nil), out.EmitTombstone(ctx, ""),
				table.DeleteKey(ctx, ctx.Key()))
		})))
}

// Null and empty keys, values and headers are told apart on their whole way: input, callback, table, output; on the disk,
// after a stop, and after a crash.
func TestR28_NullAndEmptyEverywhere(t *testing.T) {
	out, table := topology.NewStream("out", codec.Bytes), topology.NewTable("table", codec.Bytes)
	nothing := []byte(nil)
	headers := []devbroker.Header{{Key: "", Value: nil}, {Key: "e", Value: []byte{}}, {Key: "v", Value: []byte("v")}}
	streamtest.Run(t, func(k *streamtest.Kit) {
		g := mirror(k.T, out, table)
		k.Topic("in", 1)
		send := func(keys, values [][]byte) {
			for _, key := range keys {
				for _, value := range values {
					require.NoError(k.T, k.Broker.Produce("in", 0, devbroker.Record{Key: key, Value: value, Headers: headers}))
				}
			}
			k.Settle(g)
		}
		a := k.Start(g)
		send([][]byte{nothing, {}, []byte("k")}, [][]byte{[]byte("v"), nothing, {}})
		require.Equal(k.T, []string{
			`"|null true" = "v"`, `"|null true" = null`, `"" = ""`, `"" = null`, `"|null true" = ""`,
			`"|null false" = "v"`, `"|null false" = null`, `"" = ""`, `"" = null`, `"|null false" = ""`,
			`"k|null false" = "v"`, `"k|null false" = null`, `"" = ""`, `"" = null`, `"k|null false" = ""`,
		}, written(k.Records("out")))
		for _, r := range k.Records("out") {
			if len(r.Key) > 0 {
				require.Equal(k.T, headers, r.Headers)
			}
		}
		check := func(want map[string]string) {
			k.T.Helper()
			require.Equal(k.T, want, k.Fold("table"))
			rows := map[string]string{}
			for key, value := range streamtest.Rows(k, table) {
				rows[key] = string(value)
			}
			require.Equal(k.T, want, rows)
		}
		check(map[string]string{"": "", "k": ""})
		require.NoError(k.T, a.Stop())
		a = k.Start(g, processor.FlushInterval(time.Hour))
		check(map[string]string{"": "", "k": ""})
		send([][]byte{{}}, [][]byte{nothing})
		send([][]byte{[]byte("l")}, [][]byte{{}})
		a.Crash()
		k.Start(g)
		check(map[string]string{"k": "", "l": ""})
	})
}

// written shows records' keys and values.
func written(records []devbroker.Record) []string {
	show := func(b []byte) string {
		if b == nil {
			return "null"
		}
		return fmt.Sprintf("%q", b)
	}
	var out []string
	for _, r := range records {
		out = append(out, show(r.Key)+" = "+show(r.Value))
	}
	return out
}

// What an emitter is given arrives as it is: an empty key is no null key, an empty value no tombstone.
func TestR28_EmitterTellsNullFromEmpty(t *testing.T) {
	in := topology.NewStream("in", codec.Bytes)
	streamtest.Run(t, func(k *streamtest.Kit) {
		k.Topic("in", 1)
		e, err := processor.NewEmitter(in, k.Options("emitter")...)
		require.NoError(k.T, err)
		ctx := k.T.Context()
		require.NoError(k.T, errors.Join(e.Emit(ctx, "", nil), e.Emit(ctx, "k", []byte{}, topology.Header{}), e.Close(ctx)))
		require.Equal(k.T, []string{`"" = ""`, `"k" = ""`}, written(k.Records("in")))
		require.Equal(k.T, []devbroker.Header{{}}, k.Records("in")[1].Headers)
	})
}
