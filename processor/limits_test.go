package processor_test

import (
	"errors"
	"fmt"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tarnstream/tarn/codec"
	"github.com/tarnstream/tarn/devbroker"
	"github.com/tarnstream/tarn/policy"
	"github.com/tarnstream/tarn/streamtest"
	"github.com/tarnstream/tarn/topology"
)

// maxBytes is the largest record of the topics in these tests.
const maxBytes = 5000

// largest is the length of the value with which a record of the key "k" and no headers has maxBytes, which the broker is
// asked to confirm: it takes that and not one byte more.
func largest(k *streamtest.Kit) int {
	k.T.Helper()
	k.Topic("probe", 1, "max.message.bytes", strconv.Itoa(maxBytes))
	n := 0
	for {
		err := k.Broker.Produce("probe", 0, devbroker.Record{Key: []byte("k"), Value: make([]byte, maxBytes-100+n), Timestamp: time.Now()})
		if err != nil {
			var refused *devbroker.Error
			require.ErrorAs(k.T, err, &refused)
			require.Equal(k.T, devbroker.MessageTooLarge, refused.Code)
			require.NotZero(k.T, n)
			return maxBytes - 100 + n - 1
		}
		n++
	}
}

// A row and an emission of just the size that the topic takes are written; one byte more is an error of their record.
func TestTooLarge_ToTheByte(t *testing.T) {
	raw := topology.NewStream("raw", codec.String)
	streamtest.Run(t, func(k *streamtest.Kit) {
		n := largest(k)
		k.Topic("jobs", 1)
		k.Topic("notes", 1, "cleanup.policy", "compact", "max.message.bytes", strconv.Itoa(maxBytes))
		k.Topic("results", 1, "max.message.bytes", strconv.Itoa(maxBytes))
		var seen failures
		g := define(k.T, "worker", topology.Persist(notes), topology.Output(results), topology.Input(raw, func(ctx *topology.Context, v string) error {
			size, err := strconv.Atoi(v[1:])
			if err != nil {
				return err
			}
			if v[0] == 's' {
				return notes.Set(ctx, make([]byte, size))
			}
			return results.Emit(ctx, ctx.Key(), make([]byte, size))
		}, policy.OnError(policy.Skip())))
		k.Topic("raw", 1)
		i := k.Start(g, seen.option())
		for _, v := range []string{"s1", fmt.Sprint("s", n+1), fmt.Sprint("s", n), fmt.Sprint("e", n+1), fmt.Sprint("e", n), "e3"} {
			k.Send("raw", "k", v)
		}
		k.Settle(g)
		require.Equal(k.T, []string{"1 skip 1", "3 skip 1"}, seen.actions())
		for i, topic := range []string{"notes", "results"} {
			var large *topology.TooLargeError
			require.ErrorAs(k.T, seen.told[i].Cause, &large)
			require.Equal(k.T, topology.TooLargeError{Topic: topic, Key: "k", Size: maxBytes + 1, Limit: maxBytes}, *large)
		}
		require.Len(k.T, k.Fold("notes")["k"], n)
		require.Equal(k.T, n, len(k.Records("results")[0].Value))
		require.Len(k.T, k.Records("results"), 2)
		require.EqualValues(k.T, 6, i.Processor.Stats().Records)
	})
}

// The largest record that Kafka takes by default is read like any other, and stays whole on its way through.
func TestLargestRecord_AsAnInput(t *testing.T) {
	streamtest.Run(t, func(k *streamtest.Kit) {
		k.Topic("jobs", 1)
		size := 1048588 - 200
		for step := 128; step > 0; step /= 2 {
			if err := k.Broker.Produce("jobs", 0, devbroker.Record{Key: []byte("k"), Value: make([]byte, size+step), Timestamp: time.Now()}); err == nil {
				size += step
			}
		}
		require.Error(k.T, k.Broker.Produce("jobs", 0, devbroker.Record{Key: []byte("k"), Value: make([]byte, size+1), Timestamp: time.Now()}))
		g := worker(k.T, func(ctx *topology.Context, v string) error {
			return errors.Join(notes.Set(ctx, []byte(v)), results.Emit(ctx, ctx.Key(), []byte(v)))
		})
		k.Start(g)
		k.Settle(g)
		records, want := k.Records("results"), k.Records("jobs")
		require.Len(k.T, records, len(want))
		for i := range want {
			require.Len(k.T, records[i].Value, len(want[i].Value))
		}
		require.Len(k.T, k.Fold("notes")["k"], size)
	})
}

// What a topic takes of a record's time by its configs is checked at the write, too.
func TestTimestampError_ByTheTopicsConfigs(t *testing.T) {
	const hour = int64(time.Hour / time.Millisecond)
	for name, c := range map[string]struct {
		configs []string
		shifts  map[int64]bool // by how much the record's time is not now, in ms: whether it is taken
	}{
		"none":          {nil, map[int64]bool{-1000 * hour: true, 1000 * hour: true}},
		"Kafka 4":       {[]string{"message.timestamp.before.max.ms", "9223372036854775807", "message.timestamp.after.max.ms", "3600000"}, map[int64]bool{-1000 * hour: true, 0: true, hour - 60_000: true, hour + 60_000: false}},
		"both":          {[]string{"message.timestamp.before.max.ms", "7200000", "message.timestamp.after.max.ms", "0"}, map[int64]bool{-2*hour + 60_000: true, -2*hour - 60_000: false, 0: true, 60_000: false}},
		"before 3.6":    {[]string{"message.timestamp.difference.max.ms", "3600000"}, map[int64]bool{-hour + 60_000: true, -hour - 60_000: false, hour - 60_000: true, hour + 60_000: false}},
		"LogAppendTime": {[]string{"message.timestamp.type", "LogAppendTime", "message.timestamp.after.max.ms", "3600000"}, map[int64]bool{2 * hour: true}},
	} {
		t.Run(name, func(t *testing.T) {
			streamtest.Run(t, func(k *streamtest.Kit) {
				k.Topic("raw", 1)
				k.Topic("notes", 1, append([]string{"cleanup.policy", "compact"}, c.configs...)...)
				k.Topic("results", 1, c.configs...)
				got := map[int64]bool{}
				raw := topology.NewStream("raw", codec.String)
				g := define(k.T, "worker", topology.Persist(notes), topology.Output(results), topology.Input(raw, func(ctx *topology.Context, v string) error {
					shift, err := strconv.ParseInt(v, 10, 64)
					if err != nil {
						return err
					}
					then := ctx.WithTimestamp(time.Now().Add(time.Duration(shift) * time.Millisecond))
					set, emit, remove := notes.Set(then, nil), results.Emit(then, "k", nil), notes.Delete(then)
					got[shift] = set == nil
					var wrong *topology.TimestampError
					if (emit == nil) != got[shift] || (remove == nil) != got[shift] || set != nil && !errors.As(set, &wrong) {
						return fmt.Errorf("not alike: %w, %w, %w", set, emit, remove)
					}
					return nil
				}))
				k.Start(g)
				for shift := range c.shifts {
					k.Send("raw", "k", fmt.Sprint(shift))
				}
				k.Settle(g)
				require.Equal(k.T, c.shifts, got)
			})
		})
	}
}
