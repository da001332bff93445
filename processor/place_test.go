package processor_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
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

// losses collects what is told of inputs that do not go on where they stood.
type losses struct {
	mu   sync.Mutex
	told []observe.Reset
}

func (l *losses) option() processor.Option {
	return processor.Observe(observe.Observer{Reset: func(r observe.Reset) {
		l.mu.Lock()
		defer l.mu.Unlock()
		if _, ok := errors.AsType[*policy.InputError](r.Cause); ok {
			l.told = append(l.told, r)
		}
	}})
}

// only gives the one loss told of, nil for none.
func (l *losses) only(k *streamtest.Kit) *policy.InputError {
	k.T.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.told) == 0 {
		return nil
	}
	require.Len(k.T, l.told, 1)
	e, _ := errors.AsType[*policy.InputError](l.told[0].Cause)
	require.Equal(k.T, [2]int64{e.From, e.To}, [2]int64{l.told[0].From, l.told[0].To})
	require.Equal(k.T, observe.Place{Group: "clicker", Topic: "clicks", Partition: 0}, l.told[0].Place)
	return e
}

func onLost(l policy.Lost) processor.Option { return processor.Inputs(policy.OnLost(l)) }

// sendClicks sends n clicks of alice.
func sendClicks(k *streamtest.Kit, n int) {
	k.T.Helper()
	for range n {
		k.Send("clicks", "alice", "x")
	}
}

// requireClicks waits until the table has counted n clicks of alice, and requires that it stays so.
func requireClicks(k *streamtest.Kit, i *streamtest.Instance, n int64) {
	k.T.Helper()
	k.Until("counted", func() bool { return streamtest.FoldOf(k, counts)["alice"] >= n })
	time.Sleep(5 * time.Second)
	require.Equal(k.T, map[string]int64{"alice": n}, requireFold(k, i, "alice"))
}

// requireFails requires that the instance's Run ends with the *InputError.
func requireFails(k *streamtest.Kit, i *streamtest.Instance, cause string) *policy.InputError {
	k.T.Helper()
	var e *policy.InputError
	require.ErrorAs(k.T, i.Wait(), &e)
	require.ErrorContains(k.T, e, cause)
	require.EqualValues(k.T, state.UnknownOffset, e.Next)
	return e
}

// counted10 makes a group that has counted ten clicks of alice and was stopped.
func counted10(k *streamtest.Kit) *topology.Group {
	k.T.Helper()
	k.Topic("clicks", 1)
	g := clicker(k.T)
	a := k.Start(g)
	sendClicks(k, 10)
	k.Settle(g)
	require.NoError(k.T, a.Stop())
	return g
}

func TestR37_RetentionPassedTheCommittedOffset(t *testing.T) {
	for name, c := range map[string]struct {
		lost      policy.Lost
		next, sum int64
	}{
		"by default": {0, 15, 15}, "earliest": {policy.LostEarliest, 15, 15}, "latest": {policy.LostLatest, 20, 10},
		"checkpoint": {policy.LostCheckpoint, 15, 15}, "fail": {policy.LostFail, state.UnknownOffset, 10},
	} {
		t.Run(name, func(t *testing.T) {
			streamtest.Run(t, func(k *streamtest.Kit) {
				g := counted10(k)
				sendClicks(k, 10)
				require.NoError(k.T, k.Broker.DeleteRecords("clicks", 0, 15))
				var lost losses
				var options []processor.Option
				if c.lost != 0 {
					options = append(options, onLost(c.lost))
				}
				a := k.Launch("a", g, append(options, lost.option())...)
				if c.lost == policy.LostFail {
					e := requireFails(k, a, "the committed offset 10 is below the log start 15")
					require.Equal(k.T, [2]int64{10, 15}, [2]int64{e.From, e.To})
					require.NotNil(k.T, lost.only(k))
					return
				}
				requireClicks(k, a, c.sum)
				e := lost.only(k)
				require.Equal(k.T, [3]int64{10, c.next, c.next}, [3]int64{e.From, e.To, e.Next})
				sendClicks(k, 1)
				requireClicks(k, a, c.sum+1)
			})
		})
	}
}

// The group's offset has gone back, the table has not: what is left of the input was counted.
func TestR37_TableNewerThanTheOffset(t *testing.T) {
	streamtest.Run(t, func(k *streamtest.Kit) {
		g := counted10(k)
		require.NoError(k.T, k.Broker.SetOffset("clicker", "clicks", 0, devbroker.Commit{Offset: 2}))
		require.NoError(k.T, k.Broker.DeleteRecords("clicks", 0, 5))
		requireFails(k, k.Launch("a", g), "the committed offset 2 is below the log start 5")
		var lost losses
		a := k.Start(g, onLost(policy.LostCheckpoint), lost.option())
		require.EqualValues(k.T, 10, lost.only(k).Next)
		sendClicks(k, 1)
		requireClicks(k, a, 11)
	})
}

func TestR57_NoCommittedOffsetWhileTheTableIsNotEmpty(t *testing.T) {
	for name, c := range map[string]struct {
		lost policy.Lost
		sum  int64
	}{"earliest": {policy.LostEarliest, 20}, "latest": {policy.LostLatest, 10}, "checkpoint": {policy.LostCheckpoint, 10}} {
		t.Run(name, func(t *testing.T) {
			streamtest.Run(t, func(k *streamtest.Kit) {
				g := counted10(k)
				require.NoError(k.T, k.Broker.DeleteOffsets("clicker", "clicks"))
				e := requireFails(k, k.Launch("a", g), "the group has no committed offset")
				require.EqualValues(k.T, state.UnknownOffset, e.Committed)
				require.Equal(k.T, map[string]int64{"alice": 10}, streamtest.FoldOf(k, counts))

				a := k.Start(g, onLost(c.lost))
				requireClicks(k, a, c.sum)
				require.NoError(k.T, a.Stop())
				requireClicks(k, k.Start(g), c.sum) // it is committed now
			})
		})
	}
}

// Kafka forgets the offsets of a group that is away for longer than offsets.retention.minutes, seven days by default.
func TestR57_OffsetsExpireWhileTheGroupIsAway(t *testing.T) {
	streamtest.Run(t, func(k *streamtest.Kit) {
		g := counted10(k)
		time.Sleep(8 * 24 * time.Hour)
		requireFails(k, k.Launch("a", g), "the group has no committed offset")
		a := k.Start(g, onLost(policy.LostCheckpoint))
		sendClicks(k, 1)
		requireClicks(k, a, 11)
	})
}

// After a crash the checkpoint does not know how far the input had come of which the tail of the table's topic was made.
func TestR57_CheckpointIsNotGuessed(t *testing.T) {
	streamtest.Run(t, func(k *streamtest.Kit) {
		k.Topic("clicks", 1)
		g := clicker(k.T)
		a := k.Start(g, processor.FlushInterval(time.Second))
		sendClicks(k, 5)
		k.Settle(g)
		time.Sleep(5 * time.Second) // flushed
		sendClicks(k, 5)
		k.Settle(g)
		a.Crash()
		time.Sleep(time.Minute) // the session ends
		require.NoError(k.T, k.Broker.DeleteOffsets("clicker", "clicks"))
		requireFails(k, k.Launch("a", g, onLost(policy.LostCheckpoint)), "the group has no committed offset")
	})
}

// A crash between the first effects and the first commit of their offsets is an ordinary crash.
func TestR57_CrashBeforeTheFirstRecordIsCommitted(t *testing.T) {
	streamtest.Run(t, func(k *streamtest.Kit) {
		k.Topic("clicks", 1)
		g := clicker(k.T)
		a := k.Start(g, processor.AtLeastOnce())
		held := k.Broker.Hold(devbroker.OffsetCommit, "clicker")
		sendClicks(k, 3)
		<-held.Arrived()
		require.NotEmpty(k.T, streamtest.FoldOf(k, counts), "the table has effects, the group not their offsets")
		a.Crash()
		held.Drop()
		a = k.Start(g, processor.AtLeastOnce())
		requireClicks(k, a, 6)
	})
}

// An input that is added to a group has no offset and is not lost.
func TestR57_AnAddedInputBegins(t *testing.T) {
	for name, dir := range map[string]string{"on the same machine": "a", "on another": "b"} {
		t.Run(name, func(t *testing.T) {
			streamtest.Run(t, func(k *streamtest.Kit) {
				counted10(k)
				k.Topic("taps", 1)
				k.Send("taps", "alice", "x")
				g := define(k.T, "clicker", topology.Input(clicks, onClick), topology.Persist(counts),
					topology.Input(topology.NewStream("taps", codec.String), onClick))
				var lost losses
				a := k.StartAs(dir, g, lost.option())
				requireClicks(k, a, 11)
				require.Nil(k.T, lost.only(k))
			})
		})
	}
}

// remake deletes the input's topic and creates it with n clicks of alice.
func remake(k *streamtest.Kit, n int) {
	k.T.Helper()
	require.NoError(k.T, k.Broker.DeleteTopic("clicks"))
	k.Topic("clicks", 1)
	sendClicks(k, n)
}

// The input is made again with more records than the group had read: all of them are new.
func TestR58_InputTopicRecreated(t *testing.T) {
	for name, c := range map[string]struct {
		kept bool // the committed offset is still there
		dir  string
	}{"the offset went with it": {dir: "a"}, "the offset is still there": {kept: true, dir: "a"}, "and the machine is another": {kept: true, dir: "b"}} {
		t.Run(name, func(t *testing.T) {
			streamtest.Run(t, func(k *streamtest.Kit) {
				g := counted10(k)
				info, err := k.Broker.Group("clicker")
				require.NoError(k.T, err)
				was := k.Broker.TopicID("clicks")
				remake(k, 20)
				if c.kept {
					require.NoError(k.T, k.Broker.SetOffset("clicker", "clicks", 0, info.Commits["clicks"][0]))
				}
				lag, err := processor.Lag(k.T.Context(), g, k.Options("lag")...)
				require.NoError(k.T, err)
				require.EqualValues(k.T, 20, lag, "all of the new topic")
				var lost losses
				a := k.StartAs(c.dir, g, lost.option())
				requireClicks(k, a, 30)
				e := lost.only(k)
				require.Equal(k.T, [2][16]byte{was, k.Broker.TopicID("clicks")}, [2][16]byte{e.Was, e.Is})
				require.Equal(k.T, [3]int64{0, 0, 0}, [3]int64{e.From, e.To, e.Next})
				require.NoError(k.T, a.Stop())
				requireClicks(k, k.StartAs(c.dir, g, lost.option()), 30)
				require.NotNil(k.T, lost.only(k), "it is told once")
			})
		})
	}
}

// Neither the offset nor the store of this machine is left: nobody knows, and nobody guesses.
func TestR58_InputTopicRecreatedAndNothingIsLeft(t *testing.T) {
	streamtest.Run(t, func(k *streamtest.Kit) {
		g := counted10(k)
		remake(k, 20)
		require.NoError(k.T, os.RemoveAll(filepath.Join(k.Dir, "a")))
		requireFails(k, k.Launch("a", g), "the group has no committed offset")
		requireClicks(k, k.Start(g, onLost(policy.LostEarliest)), 30)
	})
}

func TestR58_InputTopicRecreatedUnderARunningProcessor(t *testing.T) {
	for _, lost := range []policy.Lost{policy.LostCareful, policy.LostFail} {
		streamtest.Run(t, func(k *streamtest.Kit) {
			k.Topic("clicks", 1)
			g := clicker(k.T)
			var seen plans
			var told losses
			a := k.Start(g, seen.option(), told.option(), onLost(lost))
			sendClicks(k, 10)
			k.Settle(g)
			// a fetch is by name: what one finds in the new topic before the id is known would be read twice
			fetch := k.Broker.Hold(devbroker.Fetch, "clicks")
			<-fetch.Arrived()
			remake(k, 20)
			time.Sleep(15 * time.Second) // ids are looked at every 10 s
			fetch.Release()
			if lost == policy.LostFail {
				requireFails(k, a, "deleted and created again")
				return
			}
			requireClicks(k, a, 30)
			require.NotNil(k.T, told.only(k))
			require.Len(k.T, seen.decided, 1, "the task goes on, it does not start again")
			info, err := k.Broker.Group("clicker")
			require.NoError(k.T, err)
			require.EqualValues(k.T, 20, info.Commits["clicks"][0].Offset)
		})
	}
}

// What others wrote beside an offset is left alone and says nothing.
func TestR58_ForeignMetadata(t *testing.T) {
	streamtest.Run(t, func(k *streamtest.Kit) {
		g := counted10(k)
		require.NoError(k.T, k.Broker.SetOffset("clicker", "clicks", 0, devbroker.Commit{Offset: 10, Metadata: "tarn/1 topic=none of yours"}))
		var lost losses
		a := k.Start(g, lost.option())
		sendClicks(k, 1)
		requireClicks(k, a, 11)
		require.Nil(k.T, lost.only(k))
		info, err := k.Broker.Group("clicker")
		require.NoError(k.T, err)
		require.True(k.T, strings.HasPrefix(info.Commits["clicks"][0].Metadata, "tarn/1 topic="))
	})
}

func TestInput_CommittedOffsetBeyondTheEnd(t *testing.T) {
	streamtest.Run(t, func(k *streamtest.Kit) {
		g := counted10(k)
		require.NoError(k.T, k.Broker.SetOffset("clicker", "clicks", 0, devbroker.Commit{Offset: 50}))
		requireFails(k, k.Launch("a", g), "the committed offset 50 is beyond the log end 10")
		a := k.Start(g, onLost(policy.LostLatest))
		sendClicks(k, 1)
		requireClicks(k, a, 11)
	})
}

// Retention passes a task that is behind: it goes on in place, and nothing is fetched before it is known where.
func TestR37_RetentionPassesARunningTask(t *testing.T) {
	for _, lost := range []policy.Lost{policy.LostCareful, policy.LostLatest, policy.LostFail} {
		streamtest.Run(t, func(k *streamtest.Kit) {
			k.Topic("clicks", 1)
			g := clicker(k.T)
			var seen plans
			var told losses
			a := k.Start(g, seen.option(), told.option(), onLost(lost))
			sendClicks(k, 10)
			k.Settle(g)
			fetch := k.Broker.Hold(devbroker.Fetch, "clicks")
			<-fetch.Arrived()
			sendClicks(k, 10)
			require.NoError(k.T, k.Broker.DeleteRecords("clicks", 0, 15))
			list := k.Broker.Hold(devbroker.ListOffsets, "clicks")
			fetch.Release()
			<-list.Arrived()
			early := k.Broker.Fail(devbroker.Fault{Request: devbroker.Fetch, Topic: "clicks", Err: devbroker.NotLeader, Count: -1})
			time.Sleep(10 * time.Second)
			require.Zero(k.T, early.Hits(), "fetched before the new position stands")
			early.Remove()
			list.Release()
			switch lost {
			case policy.LostFail:
				e := requireFails(k, a, "below the log start 15")
				require.Equal(k.T, [2]int64{10, 15}, [2]int64{e.From, e.To})
				return
			case policy.LostLatest:
				k.Until("told", func() bool { return told.only(k) != nil })
				requireClicks(k, a, 10)
				require.EqualValues(k.T, 20, told.only(k).To)
			default:
				requireClicks(k, a, 15)
				require.EqualValues(k.T, 15, told.only(k).To)
			}
			require.Len(k.T, seen.decided, 1, "the task goes on, it does not start again")
			k.Settle(g)
		})
	}
}

// An offset commit is under way while the position is reset: each names what was reached, and the newer one comes last.
func TestR52_CommitUnderWayDuringAReset(t *testing.T) {
	streamtest.Run(t, func(k *streamtest.Kit) {
		k.Topic("clicks", 1)
		g := clicker(k.T)
		var told losses
		a := k.Start(g, told.option())
		commit := k.Broker.Hold(devbroker.TxnOffsetCommit, "clicker")
		sendClicks(k, 10)
		<-commit.Arrived()
		fetch := k.Broker.Hold(devbroker.Fetch, "clicks")
		<-fetch.Arrived()
		sendClicks(k, 10)
		require.NoError(k.T, k.Broker.DeleteRecords("clicks", 0, 15))
		fetch.Release()
		k.Until("reset", func() bool { return told.only(k) != nil })
		time.Sleep(time.Second) // what is left is handled
		commit.Release()
		requireClicks(k, a, 15)
		k.Settle(g)
		info, err := k.Broker.Group("clicker")
		require.NoError(k.T, err)
		require.EqualValues(k.T, 20, info.Commits["clicks"][0].Offset)
		e := told.only(k)
		require.Equal(k.T, [2]int64{10, 15}, [2]int64{e.From, e.To})
	})
}

// A broker that refuses a position which lies in the log is asked again, with a growing wait, and nothing is lost.
func TestR54_PositionRefusedAgainAndAgain(t *testing.T) {
	streamtest.Run(t, func(k *streamtest.Kit) {
		k.Topic("clicks", 1)
		g := clicker(k.T)
		var told losses
		a := k.Start(g, told.option())
		fault := k.Broker.Fail(devbroker.Fault{Request: devbroker.Fetch, Topic: "clicks", Err: devbroker.OutOfRange, Count: -1})
		sendClicks(k, 10)
		time.Sleep(10 * time.Minute)
		require.InDelta(k.T, 100, fault.Hits(), 20, "a try every 6.4 s")
		fault.Remove()
		requireClicks(k, a, 10)
		require.Nil(k.T, told.only(k))
		require.NoError(k.T, a.Stop())
	})
}

func TestStop_WhileAPositionIsRefused(t *testing.T) {
	streamtest.Run(t, func(k *streamtest.Kit) {
		k.Topic("clicks", 1)
		g := clicker(k.T)
		a := k.Start(g)
		sendClicks(k, 10)
		k.Settle(g)
		list := k.Broker.Hold(devbroker.ListOffsets, "clicks")
		k.Broker.Fail(devbroker.Fault{Request: devbroker.Fetch, Topic: "clicks", Err: devbroker.OutOfRange})
		<-list.Arrived()
		began := time.Now()
		require.NoError(k.T, a.Stop())
		require.Less(k.T, time.Since(began), 5*time.Second)
		list.Release()
	})
}

// The choice of one input goes before the group's.
func TestPolicy_FromLatest(t *testing.T) {
	other := topology.NewStream("taps", codec.String)
	streamtest.Run(t, func(k *streamtest.Kit) {
		k.Topic("clicks", 1)
		k.Topic("taps", 1)
		sendClicks(k, 5)
		k.Send("taps", "bob", "x")
		g := define(k.T, "clicker", topology.Persist(counts), topology.Input(clicks, onClick),
			topology.Input(other, onClick, policy.FromEarliest()))
		a := k.Start(g, processor.Inputs(policy.FromLatest()))
		k.Settle(g)
		require.Equal(k.T, map[string]int64{"bob": 1}, requireFold(k, a, "alice", "bob"))
		require.NoError(k.T, a.Stop())
	})
}

// A group that began at the end and stopped before any record goes on there, not at a later end.
func TestPolicy_FromLatestIsCommittedAtOnce(t *testing.T) {
	streamtest.Run(t, func(k *streamtest.Kit) {
		k.Topic("clicks", 1)
		sendClicks(k, 5)
		g := clicker(k.T)
		latest := processor.Inputs(policy.FromLatest())
		require.NoError(k.T, k.Start(g, latest).Stop())
		sendClicks(k, 2)
		requireClicks(k, k.Start(g, latest), 2)
	})
}

func TestNew_OnLostWithoutAPolicy(t *testing.T) {
	_, err := processor.New(clicker(t), processor.Brokers("b:1"), processor.StateDir(t.TempDir()), onLost(99))
	require.ErrorContains(t, err, "OnLost: there is no policy 99")
	_, err = topology.Define("clicker", topology.Input(clicks, onClick, policy.OnLost(0)))
	require.ErrorContains(t, err, "OnLost: there is no policy 0")
}
