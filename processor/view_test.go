package processor_test

import (
	"context"
	"fmt"
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

// startView runs a view of the counts until the test ends or stop is called.
func startView(k *streamtest.Kit, options ...processor.Option) (v *processor.View[int64], stop func() error) {
	k.T.Helper()
	v, err := processor.NewView(counts, append(k.Options("view"), options...)...)
	require.NoError(k.T, err)
	ctx, cancel := context.WithCancel(k.T.Context())
	done := make(chan error, 1)
	go func() { done <- v.Run(ctx) }()
	select {
	case <-v.Ready():
	case err := <-done:
		require.NoError(k.T, err)
	}
	return v, func() error { cancel(); return <-done }
}

func rows(t *testing.T, v *processor.View[int64], reads ...policy.Read) map[string]int64 {
	t.Helper()
	all := map[string]int64{}
	for row, err := range v.Range(reads...) {
		require.NoError(t, err)
		all[row.Key] = row.Value
	}
	return all
}

func TestView_FollowsAndComesBack(t *testing.T) {
	streamtest.Run(t, func(k *streamtest.Kit) {
		k.Topic("clicks", 3)
		g, keys := clicker(k.T), users(20)
		k.Start(g)
		click(k, g, keys...)
		v, stop := startView(k)
		require.Equal(k.T, streamtest.FoldOf(k, counts), rows(k.T, v))

		click(k, g, keys[:7]...)
		require.NoError(k.T, v.Sync(k.T.Context()))
		require.Equal(k.T, streamtest.FoldOf(k, counts), rows(k.T, v))
		n, ok, err := v.Get("user-3")
		require.NoError(k.T, err)
		require.True(k.T, ok)
		require.EqualValues(k.T, 2, n)
		_, ok, err = v.Get("nobody")
		require.NoError(k.T, err)
		require.False(k.T, ok)
		require.NoError(k.T, stop())
		_, _, err = v.Get("user-3")
		require.ErrorIs(k.T, err, state.ErrClosed)

		var seen plans
		v, stop = startView(k, seen.option())
		require.Equal(k.T, []state.Decision{state.Ready, state.Ready, state.Ready}, seen.decided)
		require.Equal(k.T, streamtest.FoldOf(k, counts), rows(k.T, v))
		require.NoError(k.T, stop())
	})
}

// R02 for a reader that follows: the log start passes it while it is cut off from the records.
func TestR02_ViewIsPassedByTheLogStart(t *testing.T) {
	streamtest.Run(t, func(k *streamtest.Kit) {
		k.Topic("clicks", 1)
		g, keys := clicker(k.T), users(10)
		i := k.Start(g, processor.AtLeastOnce())
		click(k, g, keys...)
		v, stop := startView(k)
		held := k.Broker.Hold(devbroker.Fetch, "clicks-count")
		<-held.Arrived()
		click(k, g, keys...)
		require.NoError(k.T, k.Broker.DeleteRecords("clicks-count", 0, 16))
		held.Release()
		require.NoError(k.T, v.Sync(k.T.Context()))
		require.Equal(k.T, streamtest.FoldOf(k, counts), rows(k.T, v))
		require.Len(k.T, rows(k.T, v), 4)
		require.NoError(k.T, stop())
		require.NoError(k.T, i.Stop())
	})
}

func TestView_BeforeAndWithoutItsTopic(t *testing.T) {
	streamtest.Run(t, func(k *streamtest.Kit) {
		v, err := processor.NewView(counts, k.Options("view")...)
		require.NoError(k.T, err)
		_, _, err = v.Get("a")
		require.ErrorIs(k.T, err, processor.ErrNotReady)
		var missing *state.TopicMissingError
		require.ErrorAs(k.T, v.Run(k.T.Context()), &missing)
	})
}

func TestGet_NotLocalAndNotReady(t *testing.T) {
	streamtest.Run(t, func(k *streamtest.Kit) {
		k.Topic("clicks", 2)
		g := clicker(k.T)
		a := k.StartAs("a", g)
		b := k.StartAs("b", g)
		k.Until("shared", func() bool { return a.Running() == 1 && b.Running() == 1 })
		var notLocal *processor.NotLocalError
		found := 0
		for _, key := range users(10) {
			_, _, errA := processor.Get(a.Processor, counts, key)
			_, _, errB := processor.Get(b.Processor, counts, key)
			require.True(k.T, (errA == nil) != (errB == nil), "one of them has it")
			if errA != nil {
				require.ErrorAs(k.T, errA, &notLocal)
				found++
			}
		}
		require.Positive(k.T, found)
		require.NoError(k.T, a.Stop())
		_, _, err := processor.Get(a.Processor, counts, "x")
		require.ErrorIs(k.T, err, processor.ErrNotReady)
	})
}

func TestEmitter_EveryRecordOnceAndInOrder(t *testing.T) {
	numbers := topology.NewStream("numbers", codec.Int64)
	streamtest.Run(t, func(k *streamtest.Kit) {
		k.Topic("numbers", 3)
		e, err := processor.NewEmitter(numbers, k.Options("emitter")...)
		require.NoError(k.T, err)
		k.Broker.Drop(devbroker.Produce, 1)
		for i := range int64(100) {
			require.NoError(k.T, e.Emit(k.T.Context(), fmt.Sprint(i%7), i, topology.Header{Key: []byte("n"), Value: []byte("v")}))
		}
		require.NoError(k.T, e.Flush(k.T.Context()))
		last := map[string]int64{}
		records := k.Records("numbers")
		require.Len(k.T, records, 100)
		for _, r := range records {
			n, err := codec.Int64.Decode(r.Value)
			require.NoError(k.T, err)
			before, seen := last[string(r.Key)]
			require.True(k.T, !seen || before < n, "order of key %s", r.Key)
			last[string(r.Key)] = n
			require.Len(k.T, r.Headers, 1)
		}
		require.NoError(k.T, e.Close(k.T.Context()))
		require.NoError(k.T, e.Close(k.T.Context()))
		require.ErrorIs(k.T, e.Emit(k.T.Context(), "k", 1), state.ErrClosed)
	})
}

func TestEmitter_Refuses(t *testing.T) {
	blobs := topology.NewStream("blobs", codec.Bytes)
	streamtest.Run(t, func(k *streamtest.Kit) {
		e, err := processor.NewEmitter(blobs, k.Options("emitter")...)
		require.NoError(k.T, err)
		var missing *state.TopicMissingError
		require.ErrorAs(k.T, e.Emit(k.T.Context(), "k", nil), &missing)
		k.Topic("blobs", 1)
		var large *topology.TooLargeError
		require.ErrorAs(k.T, e.Emit(k.T.Context(), "k", make([]byte, 2<<20)), &large)
		require.NoError(k.T, e.Emit(k.T.Context(), "k", nil))
		require.NoError(k.T, e.Close(k.T.Context()))
		require.Len(k.T, k.Records("blobs"), 1)
		require.NotNil(k.T, k.Records("blobs")[0].Value, "an empty value is no tombstone")
	})
}

func TestCreateTopics(t *testing.T) {
	in := topology.NewStream("in", codec.String, topology.Partitions(5), topology.Config("retention.ms", "1000"))
	table := topology.NewTable("table", codec.String, topology.Partitions(2))
	streamtest.Run(t, func(k *streamtest.Kit) {
		for range 2 { // a second time changes nothing
			require.NoError(k.T, processor.CreateTopics(k.T.Context(), k.Options("x"), in, table))
		}
		config, n, err := k.Broker.Config("in")
		require.NoError(k.T, err)
		require.Equal(k.T, 5, n)
		require.Equal(k.T, "1000", config["retention.ms"])
		config, n, err = k.Broker.Config("table")
		require.NoError(k.T, err)
		require.Equal(k.T, 2, n)
		require.Equal(k.T, "compact", config["cleanup.policy"])
	})
}

// Who waits until nothing is left to be committed finds the rows at once, also where the instance has not heard yet that its
// offsets are committed.
func TestLag_ZeroMeansThatRowsAreSeen(t *testing.T) {
	streamtest.Run(t, func(k *streamtest.Kit) {
		k.Topic("clicks", 1)
		g := clicker(k.T)
		a := k.Start(g, processor.AtLeastOnce())
		held := k.Broker.HoldAnswer(devbroker.OffsetCommit, "clicker")
		k.Send("clicks", "ann", "x")
		<-held.Arrived()
		lag, err := processor.Lag(k.T.Context(), g, k.Options("x")...)
		require.NoError(k.T, err)
		require.Zero(k.T, lag)
		n, _, err := processor.Get(a.Processor, counts, "ann")
		require.NoError(k.T, err)
		require.EqualValues(k.T, 1, n)
		held.Release()
		k.Settle(g)
	})
}

// At any moment of a restore: where a view has no lag it shows the rows, and who is told that it is done can read them.
func TestView_LagZeroMeansThatRowsAreSeen(t *testing.T) {
	streamtest.Run(t, func(k *streamtest.Kit) {
		k.Topic("clicks", 1)
		g := clicker(k.T)
		k.Start(g)
		click(k, g, "ann", "bob", "ann")
		var v *processor.View[int64]
		var wrong []string
		looks, done := 0, make(chan struct{})
		look := func(observe.Restore) {
			looks++
			_, _, err := v.Get("ann")
			if lag, known := v.Lag(); known && lag == 0 && err != nil {
				wrong = append(wrong, fmt.Sprintf("look %d: %v", looks, err))
			}
		}
		v, err := processor.NewView(counts, append(k.Options("v"), processor.Observe(observe.Observer{RestorePlanned: look, RestoreProgress: look,
			RestoreDone: func(r observe.Restore) {
				look(r)
				if lag, known := v.Lag(); !known || lag != 0 {
					wrong = append(wrong, "done with a lag")
				}
				close(done)
			}}))...)
		require.NoError(k.T, err)
		ctx, cancel := context.WithCancel(k.T.Context())
		ended := make(chan error, 1)
		go func() { ended <- v.Run(ctx) }()
		<-done
		require.Empty(k.T, wrong)
		require.GreaterOrEqual(k.T, looks, 3)
		cancel()
		require.NoError(k.T, <-ended)
		time.Sleep(2 * time.Second) // LevelDB's last goroutine ends a second after the close
	})
}

func TestLag(t *testing.T) {
	streamtest.Run(t, func(k *streamtest.Kit) {
		k.Topic("clicks", 2)
		g := clicker(k.T)
		for _, key := range users(9) {
			k.Send("clicks", key, "x")
		}
		lag, err := processor.Lag(k.T.Context(), g, k.Options("x")...)
		require.NoError(k.T, err)
		require.EqualValues(k.T, 9, lag)
		k.Start(g)
		k.Settle(g)
		lag, err = processor.Lag(k.T.Context(), g, k.Options("x")...)
		require.NoError(k.T, err)
		require.Zero(k.T, lag)
		time.Sleep(time.Second)
	})
}
