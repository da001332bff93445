package processor_test

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tarnstream/tarn/codec"
	"github.com/tarnstream/tarn/devbroker"
	"github.com/tarnstream/tarn/processor"
	"github.com/tarnstream/tarn/streamtest"
	"github.com/tarnstream/tarn/topology"
)

// Null values reach OnDelete in their place among the other records; null and empty keys with them.
func TestR28_OnDeleteGetsNullValuesInOrder(t *testing.T) {
	var seen []string
	see := func(ctx *topology.Context, v string) {
		seen = append(seen, fmt.Sprintf("%d %t %q %s", ctx.Offset(), ctx.HasKey(), ctx.Key(), v))
	}
	g := define(t, "deleter", topology.Persist(notes),
		topology.Input(clicks, func(ctx *topology.Context, v string) error {
			see(ctx, "value "+v)
			return notes.Set(ctx, []byte(v))
		}, topology.OnDelete(func(ctx *topology.Context) error {
			see(ctx, "null")
			if !ctx.HasKey() {
				if err := notes.Delete(ctx); !errors.Is(err, topology.ErrNullKey) {
					return fmt.Errorf("own key of a null key: %w", err)
				}
				return nil
			}
			return notes.Delete(ctx)
		})))
	streamtest.Run(t, func(k *streamtest.Kit) {
		k.Topic("clicks", 1)
		i := k.Start(g)
		key := func(s string) []byte { return []byte(s) }
		require.NoError(k.T, k.Broker.Produce("clicks", 0,
			devbroker.Record{Key: key("a"), Value: key("1")}, devbroker.Record{Key: key(""), Value: key("")}, devbroker.Record{Key: key("b"), Value: key("2")},
			devbroker.Record{Key: key("a")}, devbroker.Record{}, devbroker.Record{Key: key("b")}, devbroker.Record{Key: key("b"), Value: key("3")}))
		k.Settle(g)
		require.Equal(k.T, []string{`0 true "a" value 1`, `1 true "" value `, `2 true "b" value 2`, `3 true "a" null`, `4 false "" null`,
			`5 true "b" null`, `6 true "b" value 3`}, seen)
		require.Equal(k.T, map[string]string{"": "", "b": "3"}, k.Fold("notes"))
		require.Zero(k.T, i.Processor.Stats().Nulls)
		require.EqualValues(k.T, 7, i.Processor.Stats().Records)
	})
}

func TestR61_OnDeleteFailsLikeAnyCallback(t *testing.T) {
	for name, fail := range map[string]func() error{"error": func() error { return errors.New("no") }, "panic": func() error { panic("no") }} {
		t.Run(name, func(t *testing.T) {
			streamtest.Run(t, func(k *streamtest.Kit) {
				k.Topic("clicks", 1)
				i := k.Start(noter(k.T, func(ctx *topology.Context, v string) error { return notes.Set(ctx, []byte(v)) },
					topology.OnDelete(func(ctx *topology.Context) error { return errors.Join(notes.Delete(ctx), fail()) })))
				k.Send("clicks", "a", "1")
				require.NoError(k.T, k.Broker.Produce("clicks", 0, devbroker.Record{Key: []byte("a")}))
				var record *processor.RecordError
				require.ErrorAs(k.T, i.Wait(), &record)
				require.EqualValues(k.T, 1, record.Offset)
				require.Equal(k.T, map[string]string{"a": "1"}, k.Fold("notes"))
			})
		})
	}
}

// times gives the records' times by key.
func times(records []devbroker.Record) map[string]int64 {
	at := map[string]int64{}
	for _, r := range records {
		at[string(r.Key)] = r.Timestamp.UnixMilli()
	}
	return at
}

func TestWithTimestamp_IsThatOfWhatIsWritten(t *testing.T) {
	out := topology.NewStream("out", codec.String)
	early, late := time.UnixMilli(0), time.UnixMilli(9223372036854) // the bounds of what can be written
	g := define(t, "dated", topology.Persist(notes), topology.Output(out), topology.Input(clicks, func(ctx *topology.Context, _ string) error {
		then := ctx.WithTimestamp(late)
		if !then.Timestamp().Equal(ctx.Timestamp()) || then.Key() != ctx.Key() {
			return errors.New("another record")
		}
		return errors.Join(
			out.Emit(ctx.WithTimestamp(early), "early", "x"), out.Emit(then, "late", "x"), out.Emit(ctx, "own", "x"),
			out.EmitTombstone(ctx.WithTimestamp(time.UnixMilli(5).Add(time.Microsecond)), "gone"),
			notes.Set(then.WithTimestamp(time.UnixMilli(6)), nil), notes.SetKey(then, "late", nil), notes.SetKey(ctx, "own", nil),
			notes.DeleteKey(ctx.WithTimestamp(early), "early"))
	}))
	streamtest.Run(t, func(k *streamtest.Kit) {
		k.Topic("clicks", 1)
		k.Start(g)
		sent := time.UnixMilli(1_700_000_000_000)
		require.NoError(k.T, k.Broker.Produce("clicks", 0, devbroker.Record{Key: []byte("key"), Value: []byte("x"), Timestamp: sent}))
		k.Settle(g)
		require.Equal(k.T, map[string]int64{"early": 0, "late": late.UnixMilli(), "own": sent.UnixMilli(), "gone": 5}, times(k.Records("out")))
		require.Equal(k.T, map[string]int64{"early": 0, "late": late.UnixMilli(), "own": sent.UnixMilli(), "key": 6}, times(k.Records("notes")))
	})
}

// A time that cannot be written fails at the write, with its record, and not in a commit.
func TestWithTimestamp_OutOfBounds(t *testing.T) {
	out := topology.NewStream("out", codec.String)
	for name, at := range map[string]time.Time{"zero": {}, "before 1970": time.UnixMilli(-1), "after 2262": time.UnixMilli(9223372036855)} {
		t.Run(name, func(t *testing.T) {
			streamtest.Run(t, func(k *streamtest.Kit) {
				k.Topic("clicks", 1)
				k.Start(define(k.T, "dated", topology.Persist(notes), topology.Output(out),
					topology.Input(clicks, func(ctx *topology.Context, _ string) error {
						then := ctx.WithTimestamp(at)
						var wrong *topology.TimestampError
						for _, err := range []error{out.Emit(then, "k", "x"), out.EmitTombstone(then, "k"), notes.Set(then, nil), notes.Delete(then),
							notes.SetKey(then, "k", nil), notes.DeleteKey(then, "k")} {
							if !errors.As(err, &wrong) || wrong.Key != "k" || wrong.Timestamp != at.UnixMilli() {
								return fmt.Errorf("unexpected: %w", err)
							}
						}
						return out.Emit(ctx, "passed", "x")
					})))
				k.Send("clicks", "k", "x")
				k.Until("passed", func() bool { return len(k.Records("out")) == 1 })
				require.Empty(k.T, k.Fold("notes"))
			})
		})
	}
}

// A producer that counts microseconds gives a time in the year 50,000: that is an error of its record.
func TestTimestampError_OfTheRecordInHand(t *testing.T) {
	streamtest.Run(t, func(k *streamtest.Kit) {
		k.Topic("clicks", 1)
		i := k.Start(noter(k.T, func(ctx *topology.Context, _ string) error { return notes.Set(ctx, nil) }))
		micros := int64(1_700_000_000_000_000)
		require.NoError(k.T, k.Broker.Produce("clicks", 0, devbroker.Record{Key: []byte("k"), Value: []byte("x"), Timestamp: time.UnixMilli(micros)}))
		err := i.Wait()
		var record *processor.RecordError
		require.ErrorAs(k.T, err, &record)
		var wrong *topology.TimestampError
		require.ErrorAs(k.T, err, &wrong)
		require.Equal(k.T, micros, wrong.Timestamp)
	})
}

// Effects of a record without a time get the present.
func TestRecordWithoutATime(t *testing.T) {
	streamtest.Run(t, func(k *streamtest.Kit) {
		k.Topic("clicks", 1)
		g := noter(k.T, func(ctx *topology.Context, _ string) error { return notes.Set(ctx, nil) })
		k.Start(g)
		require.NoError(k.T, k.Broker.Produce("clicks", 0, devbroker.Record{Key: []byte("k"), Value: []byte("x"), Timestamp: time.UnixMilli(-1)}))
		k.Settle(g)
		require.WithinDuration(k.T, time.Now(), k.Records("notes")[0].Timestamp, time.Minute)
	})
}

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
		_, _, err := table.GetKey(ctx, ctx.Key())
		return errors.Join(err, table.SetKey(ctx, ctx.Key(), v), out.Emit(ctx, ctx.Key(), v))
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
