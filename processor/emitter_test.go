package processor_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tarnstream/tarn/codec"
	"github.com/tarnstream/tarn/devbroker"
	"github.com/tarnstream/tarn/observe"
	"github.com/tarnstream/tarn/policy"
	"github.com/tarnstream/tarn/processor"
	"github.com/tarnstream/tarn/state"
	"github.com/tarnstream/tarn/streamtest"
	"github.com/tarnstream/tarn/topology"
)

// wire is the stream that the tests of emitters write.
var wire = topology.NewStream("wire", codec.String)

// emitting makes an emitter of wire.
func emitting(k *streamtest.Kit, options ...processor.Option) *processor.Emitter[string] {
	k.T.Helper()
	e, err := processor.NewEmitter(wire, append(k.Options("emitter"), options...)...)
	require.NoError(k.T, err)
	k.T.Cleanup(func() { _ = e.Close(k.T.Context()) }) // of a test that has failed
	return e
}

// deliveries collects what emitted records came to.
type deliveries struct {
	mu  sync.Mutex
	got []observe.Delivery
}

func (r *deliveries) add(d observe.Delivery) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.got = append(r.got, d)
}

func (r *deliveries) all() []observe.Delivery {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]observe.Delivery{}, r.got...)
}

func TestEmitter_GathersForAWhileOrUpToASize(t *testing.T) {
	streamtest.Run(t, func(k *streamtest.Kit) {
		k.Topic("wire", 1)
		ctx := k.T.Context()
		e := emitting(k, processor.Batching(policy.Batching{Linger: time.Minute, Bytes: 10_000}))
		require.NoError(k.T, e.Emit(ctx, "k", "first"))
		time.Sleep(30 * time.Second)
		require.NoError(k.T, e.Emit(ctx, "k", "second"))
		time.Sleep(29 * time.Second)
		require.Empty(k.T, values(k.Records("wire")))
		time.Sleep(2 * time.Second)
		require.Equal(k.T, []string{"first", "second"}, values(k.Records("wire")), "a minute after the first")

		for range 200 { // more than it gathers
			require.NoError(k.T, e.Emit(ctx, "k", "more"))
		}
		time.Sleep(time.Second)
		require.Greater(k.T, len(values(k.Records("wire"))), 20)
		require.NoError(k.T, e.Flush(ctx))
		require.Len(k.T, values(k.Records("wire")), 202)

		began := time.Now()
		require.NoError(k.T, e.EmitSync(ctx, "k", "now"))
		require.Less(k.T, time.Since(began), time.Second)
		require.Len(k.T, values(k.Records("wire")), 203)
		require.NoError(k.T, e.Emit(ctx, "k", "last"))
		require.NoError(k.T, e.Close(ctx))
		require.Len(k.T, values(k.Records("wire")), 204)

		hasty := emitting(k, processor.Batching(policy.Batching{Linger: -1}))
		require.NoError(k.T, hasty.Emit(ctx, "k", "at once"))
		time.Sleep(time.Millisecond)
		require.Len(k.T, values(k.Records("wire")), 205)
		require.NoError(k.T, hasty.Close(ctx))
	})
}

func TestEmitter_TellsEachRecord(t *testing.T) {
	streamtest.Run(t, func(k *streamtest.Kit) {
		k.Topic("wire", 2)
		ctx := k.T.Context()
		e := emitting(k)
		var told deliveries
		with := e.WithResult(told.add)
		for i := range 20 {
			require.NoError(k.T, e.Emit(ctx, fmt.Sprint(i), "untold"))
			require.NoError(k.T, with.Emit(ctx, fmt.Sprint(i), fmt.Sprint(i)))
		}
		require.NoError(k.T, e.Flush(ctx))
		all := told.all()
		require.Len(k.T, all, 20)
		for _, d := range all {
			require.NoError(k.T, d.Err)
			records, err := k.Broker.Records("wire", d.Partition)
			require.NoError(k.T, err)
			r := records[d.Offset]
			require.Equal(k.T, string(r.Key), string(r.Value))
			require.Equal(k.T, "wire", d.Topic)
		}

		panics := e.WithResult(func(observe.Delivery) { panic("of the user's") })
		require.NoError(k.T, panics.Emit(ctx, "k", "v"))
		require.NoError(k.T, e.EmitSync(ctx, "k", "goes on"))
		require.NoError(k.T, e.Close(ctx))
	})
}

func TestEmitter_TimesPartitionsAndNulls(t *testing.T) {
	streamtest.Run(t, func(k *streamtest.Kit) {
		k.Topic("wire", 3)
		ctx := k.T.Context()
		e := emitting(k)
		at := time.Date(2020, 2, 3, 4, 5, 6, 7_000_000, time.UTC)
		header := topology.Header{Key: []byte("h"), Value: []byte("1")}
		require.NoError(k.T, e.WithTimestamp(at).WithPartition(2).Emit(ctx, "dated", "x", header))
		require.NoError(k.T, e.WithPartition(2).EmitTombstone(ctx, "gone", header))
		require.NoError(k.T, e.WithPartition(2).EmitNullKey(ctx, "no key"))
		require.NoError(k.T, e.WithPartition(2).Emit(ctx, "", ""))
		require.NoError(k.T, e.Flush(ctx))
		records, err := k.Broker.Records("wire", 2)
		require.NoError(k.T, err)
		require.Len(k.T, records, 4)
		require.True(k.T, at.Equal(records[0].Timestamp))
		require.Equal(k.T, []devbroker.Header{{Key: "h", Value: []byte("1")}}, records[0].Headers)
		require.Nil(k.T, records[1].Value)
		require.Len(k.T, records[1].Headers, 1)
		require.Nil(k.T, records[2].Key)
		require.NotNil(k.T, records[3].Key)
		require.NotNil(k.T, records[3].Value)

		for range 30 {
			require.NoError(k.T, e.EmitNullKey(ctx, "spread"))
		}
		require.NoError(k.T, e.Flush(ctx))
		for p := range int32(3) {
			b, err := k.Broker.Bounds("wire", p)
			require.NoError(k.T, err)
			require.GreaterOrEqual(k.T, b.End, int64(10))
		}

		k.Topic("table", 1, "cleanup.policy", "compact")
		table, err := processor.NewEmitter(topology.NewStream("table", codec.String), k.Options("emitter")...)
		require.NoError(k.T, err)
		require.ErrorContains(k.T, table.EmitNullKey(ctx, "v"), "takes no null key")
		require.NoError(k.T, table.EmitSync(ctx, "", "v"))
		require.NoError(k.T, table.Close(ctx))

		var wrong *topology.TimestampError
		require.ErrorAs(k.T, e.WithTimestamp(time.Unix(-1, 0)).Emit(ctx, "k", "v"), &wrong)
		require.ErrorContains(k.T, e.WithPartition(3).Emit(ctx, "k", "v"), "there is no partition 3 of 3")
		require.ErrorContains(k.T, e.WithPartition(-1).Emit(ctx, "k", "v"), "there is no partition -1 of 3")
		require.NoError(k.T, e.Close(ctx))
		require.Len(k.T, k.Records("wire"), 34, "what was refused is not there")
	})
}

func TestEmitter_WaitsForRoom(t *testing.T) {
	streamtest.Run(t, func(k *streamtest.Kit) {
		k.Topic("wire", 2)
		ctx := k.T.Context()
		e := emitting(k, processor.Batching(policy.Batching{Bytes: 5_000, Buffer: 20_000}))
		held := k.Broker.Hold(devbroker.Produce, "wire")
		emitted := make(chan int, 1)
		go func() {
			for i := range 1000 {
				require.NoError(k.T, e.Emit(ctx, fmt.Sprint(i%7), fmt.Sprint(i)))
			}
			emitted <- 1000
		}()
		<-held.Arrived()
		time.Sleep(10 * time.Second)
		require.Empty(k.T, emitted, "it waits for room")
		short, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		require.ErrorIs(k.T, e.Emit(short, "k", "too much"), context.DeadlineExceeded)
		held.Release()
		require.Equal(k.T, 1000, <-emitted)
		large := make([]byte, 100_000) // greater than the buffer
		require.NoError(k.T, e.Emit(ctx, "k", string(large)))
		require.NoError(k.T, e.Close(ctx))
		require.Len(k.T, values(k.Records("wire")), 1001)
	})
}

// An outage within the delivery time costs nothing, not even the order.
func TestEmitter_BrokerAwayWithinTheDeliveryTime(t *testing.T) {
	streamtest.Run(t, func(k *streamtest.Kit) {
		k.Topic("wire", 3)
		ctx := k.T.Context()
		e := emitting(k)
		var told deliveries
		with := e.WithResult(told.add)
		for i := range 300 {
			if i%100 == 50 {
				k.Broker.Stop()
			}
			if i%100 == 90 {
				time.Sleep(time.Minute)
				require.NoError(k.T, k.Broker.Resume())
				time.Sleep(10 * time.Second)
			}
			require.NoError(k.T, with.Emit(ctx, fmt.Sprint(i%5), fmt.Sprint(i)))
			time.Sleep(10 * time.Millisecond)
		}
		require.NoError(k.T, e.Close(ctx))
		require.Len(k.T, told.all(), 300)
		require.Equal(k.T, 300, len(k.Records("wire")))
		requireOrder(k, 5)
	})
}

// requireOrder requires that the numbers of each key rise.
func requireOrder(k *streamtest.Kit, keys int) {
	k.T.Helper()
	last := map[string]int{}
	for _, r := range k.Records("wire") {
		var n int
		_, err := fmt.Sscan(string(r.Value), &n)
		require.NoError(k.T, err)
		before, ok := last[string(r.Key)]
		require.False(k.T, ok && before >= n, "key %s: %d after %d", r.Key, n, before)
		last[string(r.Key)] = n
	}
	require.LessOrEqual(k.T, len(last), keys)
}

// What Kafka did not take in time is told: each record that has a result, all others by Flush. Then it goes on.
func TestEmitter_GivesUpAndTells(t *testing.T) {
	streamtest.Run(t, func(k *streamtest.Kit) {
		k.Topic("wire", 1)
		ctx := k.T.Context()
		e := emitting(k, processor.Batching(policy.Batching{Delivery: time.Minute}))
		require.NoError(k.T, e.EmitSync(ctx, "k", "0"))
		const notEnoughReplicas = 19 // nothing was appended
		refusing := k.Broker.Fail(devbroker.Fault{Request: devbroker.Produce, Err: notEnoughReplicas, Count: -1})
		var told deliveries
		for i := range 5 {
			require.NoError(k.T, e.Emit(ctx, "k", "lost"))
			require.NoError(k.T, e.WithResult(told.add).Emit(ctx, "k", fmt.Sprint(i)))
		}
		var failed *policy.EmitError
		require.ErrorAs(k.T, e.Flush(ctx), &failed)
		require.Equal(k.T, 5, failed.Records, "those without a result")
		require.Equal(k.T, "wire", failed.Topic)
		require.False(k.T, failed.Unknown)
		require.NoError(k.T, e.Flush(ctx), "told once")
		require.Len(k.T, told.all(), 5)
		for _, d := range told.all() {
			require.ErrorAs(k.T, d.Err, &failed)
			require.EqualValues(k.T, -1, d.Offset)
		}
		require.ErrorAs(k.T, e.EmitSync(ctx, "k", "lost"), &failed)
		require.NoError(k.T, e.Flush(ctx))
		refusing.Remove()
		require.NoError(k.T, e.EmitSync(ctx, "k", "1"))
		require.Equal(k.T, []string{"0", "1"}, values(k.Records("wire")))

		k.Broker.Stop()
		require.NoError(k.T, e.Emit(ctx, "k", "lost"))
		require.ErrorAs(k.T, e.Close(ctx), &failed)
		require.NoError(k.T, k.Broker.Resume())
	})
}

// The answer is lost for good: whether the record is there, nobody knows, and that is what is told.
func TestEmitter_OutcomeUnknown(t *testing.T) {
	streamtest.Run(t, func(k *streamtest.Kit) {
		k.Topic("wire", 1)
		ctx := k.T.Context()
		e := emitting(k, processor.Batching(policy.Batching{Delivery: 20 * time.Second}))
		require.NoError(k.T, e.EmitSync(ctx, "k", "0"))
		held := k.Broker.HoldAnswer(devbroker.Produce, "wire")
		require.NoError(k.T, e.Emit(ctx, "k", "1"))
		<-held.Arrived()
		var failed *policy.EmitError
		require.ErrorAs(k.T, e.Flush(ctx), &failed)
		require.True(k.T, failed.Unknown)
		held.Release()
		require.NoError(k.T, e.EmitSync(ctx, "k", "2"))
		require.Equal(k.T, []string{"0", "1", "2"}, values(k.Records("wire")))
		require.NoError(k.T, e.Close(ctx))
	})
}

func TestEmitter_ClosedInAnyPhase(t *testing.T) {
	phases := map[string]func(k *streamtest.Kit, e *processor.Emitter[string]){
		"unused": func(*streamtest.Kit, *processor.Emitter[string]) {},
		"connecting": func(k *streamtest.Kit, e *processor.Emitter[string]) {
			held := k.Broker.Hold(devbroker.Metadata, "")
			go func() { require.Error(k.T, e.Emit(k.T.Context(), "k", "v")) }()
			<-held.Arrived()
		},
		"gathering": func(k *streamtest.Kit, e *processor.Emitter[string]) {
			require.NoError(k.T, e.Emit(k.T.Context(), "k", "v"))
		},
		"sending": func(k *streamtest.Kit, e *processor.Emitter[string]) {
			held := k.Broker.Hold(devbroker.Produce, "wire")
			require.NoError(k.T, e.Emit(k.T.Context(), "k", "v"))
			<-held.Arrived()
		},
		"full": func(k *streamtest.Kit, e *processor.Emitter[string]) {
			held := k.Broker.Hold(devbroker.Produce, "wire")
			go func() {
				for e.Emit(k.T.Context(), "k", string(make([]byte, 1000))) == nil {
				}
			}()
			<-held.Arrived()
			time.Sleep(time.Second)
		},
	}
	for name, enter := range phases {
		t.Run(name, func(t *testing.T) {
			streamtest.Run(t, func(k *streamtest.Kit) {
				k.Topic("wire", 1)
				var told deliveries
				e := emitting(k, processor.Batching(policy.Batching{Bytes: 2_000, Buffer: 10_000}))
				enter(k, e.WithResult(told.add))
				ctx, cancel := context.WithTimeout(k.T.Context(), 5*time.Second)
				defer cancel()
				began := time.Now()
				err := e.Close(ctx)
				require.Less(k.T, time.Since(began), 6*time.Second)
				stuck := name == "sending" || name == "full"
				require.Equal(k.T, stuck, err != nil, "%v", err)
				if stuck {
					require.ErrorIs(k.T, err, context.DeadlineExceeded)
					require.NotEmpty(k.T, told.all())
				}
				for _, d := range told.all() {
					require.Equal(k.T, stuck, d.Err != nil)
				}
				require.NoError(k.T, e.Close(k.T.Context()), "idempotent")
				require.ErrorIs(k.T, e.Emit(k.T.Context(), "k", "v"), state.ErrClosed)
				require.ErrorIs(k.T, e.Flush(k.T.Context()), state.ErrClosed)
			})
		})
	}
}

func TestEmitter_WaitsForBrokerAndTopic(t *testing.T) {
	streamtest.Run(t, func(k *streamtest.Kit) {
		ctx := k.T.Context()
		k.Broker.Stop()
		impatient := emitting(k)
		began := time.Now()
		require.Error(k.T, impatient.Emit(ctx, "k", "v"))
		require.WithinDuration(k.T, began.Add(30*time.Second), time.Now(), time.Second)
		e := emitting(k, processor.StartTimeout(0), processor.AwaitTopics())
		done := make(chan error, 1)
		go func() { done <- e.Emit(ctx, "k", "v") }()
		time.Sleep(3 * time.Hour)
		require.NoError(k.T, k.Broker.Resume())
		time.Sleep(time.Hour)
		require.Empty(k.T, done)
		var missing *state.TopicMissingError
		require.ErrorAs(k.T, impatient.Emit(ctx, "k", "v"), &missing)
		k.Topic("wire", 1)
		require.NoError(k.T, <-done)
		require.NoError(k.T, impatient.Emit(ctx, "k", "v"))
		require.NoError(k.T, e.Close(ctx))
		require.NoError(k.T, impatient.Close(ctx))
		require.Len(k.T, values(k.Records("wire")), 2)
	})
}

// A topic that gets more partitions, or is made again, is met by the next records within a minute.
func TestEmitter_TopicChangesUnderIt(t *testing.T) {
	streamtest.Run(t, func(k *streamtest.Kit) {
		k.Topic("wire", 1)
		ctx := k.T.Context()
		e := emitting(k)
		require.NoError(k.T, e.EmitSync(ctx, "k", "v"))
		require.NoError(k.T, k.Broker.AddPartitions("wire", 4))
		time.Sleep(2 * time.Minute)
		require.NoError(k.T, e.EmitSync(ctx, "k", "looks"))
		for _, key := range users(20) {
			require.NoError(k.T, e.Emit(ctx, key, key))
		}
		require.NoError(k.T, e.Flush(ctx))
		for p := range int32(4) {
			records, err := k.Broker.Records("wire", p)
			require.NoError(k.T, err)
			for _, r := range records {
				require.True(k.T, string(r.Key) == "k" || partitionOf(string(r.Key), 4) == p)
			}
		}
		require.NoError(k.T, k.Broker.DeleteTopic("wire"))
		var failed *policy.EmitError
		require.ErrorAs(k.T, e.EmitSync(ctx, "user-1", "v"), &failed)
		k.Topic("wire", 2)
		began := time.Now()
		require.ErrorAs(k.T, e.WithPartition(3).EmitSync(ctx, "looks", "v"), &failed)
		require.ErrorContains(k.T, failed, "fewer partitions")
		require.Less(k.T, time.Since(began), time.Minute)
		for _, key := range users(20) {
			require.NoError(k.T, e.EmitSync(ctx, key, key))
		}
		require.NoError(k.T, e.Close(ctx))
	})
}

// Many goroutines under chaos: every record is told once, and what it is told is true.
func TestEmitter_AccountsForEveryRecordUnderChaos(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	streamtest.Run(t, func(k *streamtest.Kit) {
		k.Topic("wire", 4)
		ctx := k.T.Context()
		e := emitting(k, processor.Batching(policy.Batching{Bytes: 4_000, Buffer: 30_000, Delivery: 20 * time.Second}))
		const writers, each = 8, 300
		fates := make([][]observe.Delivery, writers*each)
		var mu sync.Mutex
		var running sync.WaitGroup
		for w := range writers {
			rng := rand.New(rand.NewPCG(seed, uint64(w)))
			running.Go(func() {
				for i := range each {
					n := w*each + i
					with := e.WithResult(func(d observe.Delivery) {
						mu.Lock()
						defer mu.Unlock()
						fates[n] = append(fates[n], d)
					})
					require.NoError(k.T, with.Emit(ctx, fmt.Sprint(w), fmt.Sprint(n)))
					time.Sleep(time.Duration(rng.IntN(400)) * time.Millisecond)
				}
			})
		}
		quiet := make(chan bool)
		go func() { running.Wait(); close(quiet) }()
		chaos(k, rand.New(rand.NewPCG(seed, 1000)), quiet)
		require.NoError(k.T, e.Flush(ctx), "each has a result of its own")
		require.NoError(k.T, e.Close(ctx))
		k.Broker.Undrop()

		there := map[string]int{}
		for _, v := range values(k.Records("wire")) {
			there[v]++
		}
		ok, lost, unknown := 0, 0, 0
		for n, told := range fates {
			require.Len(k.T, told, 1, "record %d", n)
			var failed *policy.EmitError
			switch copies := there[fmt.Sprint(n)]; {
			case told[0].Err == nil:
				ok++
				require.Equal(k.T, 1, copies)
			case errors.As(told[0].Err, &failed) && failed.Unknown:
				unknown++
				require.LessOrEqual(k.T, copies, 1)
			default:
				lost++
				require.Zero(k.T, copies)
			}
		}
		requireOrder(k, writers)
		fmt.Printf("of %d records: %d written, %d given up, %d unknown\n", len(fates), ok, lost, unknown)
	}, devbroker.Brokers(3))
}

// chaos troubles the broker until quiet is closed.
func chaos(k *streamtest.Kit, rng *rand.Rand, quiet <-chan bool) {
	for {
		select {
		case <-quiet:
			return
		case <-time.After(time.Duration(rng.IntN(1500)) * time.Millisecond):
		}
		switch rng.IntN(6) {
		case 0:
			k.Broker.Drop(devbroker.Produce, 1+rng.IntN(3))
		case 1:
			codes := []devbroker.Code{devbroker.NotLeader, devbroker.Timeout, devbroker.StorageError, devbroker.UnknownTopic}
			k.Broker.Fail(devbroker.Fault{Request: devbroker.Produce, Err: codes[rng.IntN(len(codes))], Count: 1 + rng.IntN(3)})
		case 2:
			require.NoError(k.T, k.Broker.ShuffleLeaders())
		case 3:
			k.Broker.Sever()
		case 4:
			k.Broker.Stop()
			time.Sleep(time.Duration(rng.IntN(30)) * time.Second)
			require.NoError(k.T, k.Broker.Resume())
		case 5:
			held := k.Broker.HoldAnswer(devbroker.Produce, "wire")
			time.Sleep(time.Duration(rng.IntN(30)) * time.Second)
			held.Release()
		}
	}
}
