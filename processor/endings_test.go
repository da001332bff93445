package processor_test

import (
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tarnstream/tarn/codec"
	"github.com/tarnstream/tarn/devbroker"
	"github.com/tarnstream/tarn/processor"
	"github.com/tarnstream/tarn/state"
	"github.com/tarnstream/tarn/streamtest"
	"github.com/tarnstream/tarn/topology"
)

// Headers that a callback passes on are those of its own record, not of one that came later.
func TestR62_EmitPassesOnTheRecordsOwnHeaders(t *testing.T) {
	out := topology.NewStream("out", codec.String)
	g := define(t, "forward", topology.Output(out), topology.Input(clicks, func(ctx *topology.Context, v string) error {
		return out.Emit(ctx, ctx.Key(), v, ctx.Headers()...)
	}))
	streamtest.Run(t, func(k *streamtest.Kit) {
		k.Topic("clicks", 1)
		var in []devbroker.Record
		for i := range 3 {
			n := fmt.Sprint(i)
			in = append(in, devbroker.Record{Key: []byte(n), Value: []byte(n), Headers: []devbroker.Header{{Key: "n", Value: []byte(n)}}})
		}
		require.NoError(k.T, k.Broker.Produce("clicks", 0, in...))
		k.Start(g)
		k.Settle(g)
		for _, r := range k.Records("out") {
			require.Equal(k.T, string(r.Value), string(r.Headers[0].Value), "header of record %s", r.Key)
		}
	})
}

// A buffer that a callback puts into a header is its own again after Emit.
func TestR62_EmitKeepsNothingOfAHeader(t *testing.T) {
	out := topology.NewStream("out", codec.String)
	buf := make([]byte, 1)
	g := define(t, "forward", topology.Output(out), topology.Input(clicks, func(ctx *topology.Context, v string) error {
		copy(buf, v)
		return out.Emit(ctx, ctx.Key(), v, topology.Header{Key: []byte("n"), Value: buf})
	}))
	streamtest.Run(t, func(k *streamtest.Kit) {
		k.Topic("clicks", 1)
		require.NoError(k.T, k.Broker.Produce("clicks", 0, devbroker.Record{Value: []byte("1")}, devbroker.Record{Value: []byte("2")}))
		k.Start(g)
		k.Settle(g)
		for _, r := range k.Records("out") {
			require.Equal(k.T, string(r.Value), string(r.Headers[0].Value))
		}
	})
}

func TestEmitter_KeepsNothingOfAHeader(t *testing.T) {
	streamtest.Run(t, func(k *streamtest.Kit) {
		k.Topic("clicks", 1)
		e, err := processor.NewEmitter(clicks, k.Options("emitter")...)
		require.NoError(k.T, err)
		buf := []byte("1")
		require.NoError(k.T, e.Emit(k.T.Context(), "k", "1", topology.Header{Key: []byte("n"), Value: buf}))
		buf[0] = '2'
		require.NoError(k.T, e.Close(k.T.Context()))
		require.Equal(k.T, "1", string(k.Records("clicks")[0].Headers[0].Value))
	})
}

// slow makes a group whose callback takes a while and counts its calls.
func slow(t *testing.T, d time.Duration, calls *atomic.Int32) *topology.Group {
	return define(t, "clicker", topology.Persist(counts), topology.Input(clicks, func(ctx *topology.Context, v string) error {
		calls.Add(1)
		time.Sleep(d)
		return onClick(ctx, v)
	}))
}

func batch(n int) []devbroker.Record {
	out := make([]devbroker.Record, n)
	for i := range out {
		out[i] = devbroker.Record{Key: []byte(fmt.Sprint("user-", i)), Value: []byte("x")}
	}
	return out
}

// A lost task ends after the record in hand, not after all that it had read ahead.
func TestR38_LostTaskHandlesNoFurtherRecords(t *testing.T) {
	var calls atomic.Int32
	g := slow(t, 100*time.Millisecond, &calls)
	streamtest.Run(t, func(k *streamtest.Kit) {
		k.Topic("clicks", 1)
		require.NoError(k.T, k.Broker.Produce("clicks", 0, batch(2000)...))
		a := k.Start(g, processor.StopTimeout(5*time.Second))
		time.Sleep(time.Second)
		a.Disconnect()
		k.Until("the task is lost", func() bool { return len(a.Processor.Stats().Tasks) == 0 })
		time.Sleep(200 * time.Millisecond)
		before := calls.Load()
		time.Sleep(10 * time.Second)
		after := calls.Load()
		a.Connect()
		err := a.StopFailing()
		time.Sleep(5 * time.Minute) // what was read ahead has passed
		require.LessOrEqual(k.T, after-before, int32(1), "records handled without a lease")
		require.NoError(k.T, err)
	})
}

// blocked makes a group whose callback waits for release, and says when it is inside.
func blocked(t *testing.T, inside chan struct{}, release <-chan struct{}) *topology.Group {
	return define(t, "clicker", topology.Persist(counts), topology.Input(clicks, func(ctx *topology.Context, v string) error {
		if v == "block" {
			select {
			case inside <- struct{}{}:
			default:
			}
			<-release
		}
		return onClick(ctx, v)
	}))
}

// The partition comes and goes twice while a callback of its first task still runs: it stays closed (R27).
func TestR27_SecondRebalanceWhileTheOldTaskStillRuns(t *testing.T) {
	streamtest.Run(t, func(k *streamtest.Kit) {
		inside, release := make(chan struct{}, 1), make(chan struct{})
		g := blocked(k.T, inside, release)
		k.Topic("clicks", 1)
		a := k.Start(g, processor.StopTimeout(20*time.Second))
		k.Send("clicks", "a", "block")
		<-inside
		for range 2 {
			a.Disconnect()
			k.Until("lost", func() bool { return len(a.Processor.Stats().Tasks) == 0 })
			a.Connect()
			time.Sleep(25 * time.Second)
		}
		time.Sleep(time.Second)
		was := a.Processor.Stats().Tasks[0].State
		close(release)
		time.Sleep(10 * time.Second)
		err := a.StopFailing()
		require.Equal(k.T, "waiting", was, "the first task still has the store open")
		require.NotErrorAs(k.T, err, new(*state.LockedError))
		require.NoError(k.T, err)
	})
}

// The callback of the first task never returns: the second does not work beside it, and after the deadline Run ends with
// its name, so that the partition can be had elsewhere (R27).
func TestR27_CallbackThatNeverReturnsKeepsNoPartition(t *testing.T) {
	streamtest.Run(t, func(k *streamtest.Kit) {
		inside, release := make(chan struct{}, 1), make(chan struct{})
		k.Topic("clicks", 1)
		a := k.StartAs("a", blocked(k.T, inside, release), processor.StopTimeout(20*time.Second))
		k.Send("clicks", "a", "block")
		<-inside
		a.Disconnect()
		k.Until("lost", func() bool { return len(a.Processor.Stats().Tasks) == 0 })
		a.Connect()
		k.Until("it is back", func() bool { return a.Processor.Stats().Tasks[0].State == "waiting" })
		back := time.Now()
		g := clicker(k.T)
		b := k.StartAs("b", g)
		var stuck *processor.StuckError
		require.ErrorAs(k.T, a.Wait(), &stuck)
		require.Equal(k.T, []int32{0}, stuck.Tasks)
		require.LessOrEqual(k.T, time.Since(back), time.Minute, "20 s of waiting, and the stop")
		k.Until("b has it", func() bool { return b.Running() == 1 })
		k.Settle(g)
		close(release)
		time.Sleep(time.Second)
		require.Equal(k.T, map[string]int64{"a": 1}, requireFold(k, b, "a"))
	})
}

// R64: a callback slept past everything, came back, and the task runs again: a clean stop is clean.
func TestR64_StopAfterACallbackCameBackLate(t *testing.T) {
	streamtest.Run(t, func(k *streamtest.Kit) {
		inside, release := make(chan struct{}, 1), make(chan struct{})
		g := blocked(k.T, inside, release)
		k.Topic("clicks", 1)
		a := k.Start(g, processor.StopTimeout(time.Second))
		k.Send("clicks", "a", "block")
		<-inside
		a.Disconnect()
		k.Until("lost", func() bool { return len(a.Processor.Stats().Tasks) == 0 })
		time.Sleep(5 * time.Second)
		close(release)
		a.Connect()
		k.Until("running again", func() bool { return a.Running() == 1 })
		k.Settle(g)
		require.NoError(k.T, a.StopFailing(), "nothing is stuck any more")
	})
}

// R14: a table that seldom changes under an input that is never idle is known to be current all along: a crash after its
// next change is no reason to wipe it.
func TestR14_SeldomChangedTableUnderABusyInputResumes(t *testing.T) {
	g := define(t, "clicker", topology.Persist(counts), topology.Input(clicks, func(ctx *topology.Context, v string) error {
		if v == "look" {
			return nil
		}
		return onClick(ctx, v)
	}))
	streamtest.Run(t, func(k *streamtest.Kit) {
		k.Topic("clicks", 1)
		k.Topic("clicks-count", 1, "cleanup.policy", "compact", "delete.retention.ms", "3600000")
		a := k.Start(g, processor.FlushInterval(5*time.Second))
		click(k, g, "a", "b")
		for range 360 {
			time.Sleep(30 * time.Second)
			k.Send("clicks", "a", "look")
		}
		time.Sleep(3 * time.Second)
		click(k, g, "a")
		a.Crash()
		var seen plans
		a = k.Start(g, seen.option())
		requireFold(k, a, "a", "b")
		require.Equal(k.T, []state.Decision{state.Resume}, seen.decided)
	})
}

func TestRun_StopDuringTheStartIsNoError(t *testing.T) {
	streamtest.Run(t, func(k *streamtest.Kit) {
		k.Topic("clicks", 1)
		k.Broker.Stop()
		a := k.Launch("a", clicker(k.T))
		time.Sleep(5 * time.Second)
		err := a.StopFailing()
		require.NoError(k.T, k.Broker.Resume())
		require.NoError(k.T, err)
	})
}

// A producer may write any timestamp. One that the table's topic would refuse is that record's fault.
func TestTimestampBeforeTheEpoch_IsARecordError(t *testing.T) {
	streamtest.Run(t, func(k *streamtest.Kit) {
		k.Topic("clicks", 1)
		require.NoError(k.T, k.Broker.Produce("clicks", 0, devbroker.Record{Key: []byte("a"), Value: []byte("x"), Timestamp: time.UnixMilli(-1)}))
		g := clicker(k.T)
		a := k.Launch("a", g)
		time.Sleep(10 * time.Second)
		info, _ := k.Broker.Group("clicker")
		var failed *processor.RecordError
		if err := a.StopFailing(); !errors.As(err, &failed) {
			require.EqualValues(k.T, 1, info.Commits["clicks"][0].Offset, "neither handled nor refused by name: %v", err)
		}
	})
}

func TestFatalCommit_EndsRunAtOnce(t *testing.T) {
	streamtest.Run(t, func(k *streamtest.Kit) {
		k.Topic("clicks", 1)
		a := k.Start(clicker(k.T))
		k.Broker.Fail(devbroker.Fault{Request: devbroker.Produce, Topic: "clicks-count", Err: 29, Count: -1})
		k.Send("clicks", "a", "x")
		began := time.Now()
		require.Error(k.T, a.Wait())
		require.Less(k.T, time.Since(began), 10*time.Second)
	})
}

func TestStop_SeveralStuckCallbacksWithinTheTimeout(t *testing.T) {
	streamtest.Run(t, func(k *streamtest.Kit) {
		inside, release := make(chan struct{}, 4), make(chan struct{})
		g := blocked(k.T, inside, release)
		k.Topic("clicks", 4)
		a := k.Start(g, processor.StopTimeout(5*time.Second))
		for p := range int32(4) {
			require.NoError(k.T, k.Broker.Produce("clicks", p, devbroker.Record{Key: []byte("a"), Value: []byte("block")}))
		}
		for range 4 {
			<-inside
		}
		began := time.Now()
		var stuck *processor.StuckError
		require.ErrorAs(k.T, a.StopFailing(), &stuck)
		took := time.Since(began)
		close(release)
		time.Sleep(time.Second)
		require.LessOrEqual(k.T, took, 10*time.Second, "StopTimeout is 5 s")
	})
}

func TestReady_OfAnInstanceThatIsGivenNothing(t *testing.T) {
	streamtest.Run(t, func(k *streamtest.Kit) {
		k.Topic("clicks", 1)
		g := clicker(k.T)
		k.StartAs("a", g)
		b := k.Launch("b", g)
		select {
		case <-b.Processor.Ready():
		case <-time.After(10 * time.Minute):
			k.T.Error("the spare instance is never ready")
		}
	})
}

// Another writer's record makes the task start again, its callback hangs, and the user stops the process.
func TestStop_WhileATaskStartsAgainBehindAStuckCallback(t *testing.T) {
	streamtest.Run(t, func(k *streamtest.Kit) {
		inside, release := make(chan struct{}, 1), make(chan struct{})
		g := blocked(k.T, inside, release)
		k.Topic("clicks", 1)
		a := k.Start(g, processor.StopTimeout(5*time.Second))
		click(k, g, "a")
		k.Send("clicks-count", "z", "\x00\x00\x00\x00\x00\x00\x00\x07")
		held := k.Broker.Hold(devbroker.TxnOffsetCommit, "clicker")
		k.Send("clicks", "a", "x")
		<-held.Arrived()
		k.Send("clicks", "a", "block")
		<-inside
		held.Release()
		k.Until("starts again", func() bool { return a.Processor.Stats().Tasks[0].State == "waiting" })
		ended := make(chan error, 1)
		go func() { ended <- a.StopFailing() }()
		var in bool
		select {
		case <-ended:
			in = true
		case <-time.After(5 * time.Minute):
		}
		close(release)
		if !in {
			<-ended
		}
		require.True(k.T, in, "Run does not end")
	})
}
