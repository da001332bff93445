package processor_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tarnstream/tarn/devbroker"
	"github.com/tarnstream/tarn/internal/scope"
	"github.com/tarnstream/tarn/observe"
	"github.com/tarnstream/tarn/processor"
	"github.com/tarnstream/tarn/streamtest"
)

// steps are the requests of a transaction, in their order.
var steps = []devbroker.Request{devbroker.AddPartitionsToTxn, devbroker.AddOffsetsToTxn, devbroker.Produce, devbroker.TxnOffsetCommit, devbroker.EndTxn}

// holds stop a request before the broker has done it, or after.
var holds = map[string]func(*devbroker.Broker, devbroker.Request, string) *devbroker.Held{
	"before it": (*devbroker.Broker).Hold, "after it": (*devbroker.Broker).HoldAnswer}

// requireEach requires that every key has counted n times.
func requireEach(k *streamtest.Kit, i *streamtest.Instance, n int64, keys ...string) {
	k.T.Helper()
	rows := requireFold(k, i, keys...)
	for _, key := range keys {
		require.Equal(k.T, n, rows[key], key)
	}
}

func sendEach(k *streamtest.Kit, keys ...string) {
	for _, key := range keys {
		k.Send("clicks", key, "x")
	}
}

// Killed before or after any request of a commit, and back with its state directory or without: what it counts is exact, and
// nothing is read again that the store had.
func TestR14_KilledAtEachStepOfACommit(t *testing.T) {
	for _, request := range steps {
		for when, hold := range holds {
			for with, name := range map[string]string{"with its directory": "a", "without": "b"} {
				t.Run(request.String()+", "+when+", "+with, func(t *testing.T) {
					streamtest.Run(t, func(k *streamtest.Kit) {
						k.Topic("clicks", 2)
						g, keys := clicker(k.T), users(10)
						a := k.StartAs("a", g, processor.FlushInterval(time.Second))
						click(k, g, keys...)
						k.Advance(2 * time.Second)
						held := hold(k.Broker, request, "")
						sendEach(k, keys...)
						<-held.Arrived()
						a.Crash()
						held.Drop()
						var seen plans
						a = k.StartAs(name, g, seen.option())
						k.Settle(g)
						requireEach(k, a, 2, keys...)
						if name == "a" {
							for _, d := range seen.decided {
								require.NotEqual(k.T, "rebuild", d.String())
							}
						}
					})
				})
			}
		}
	}
}

// An abort, while the next commit is filling: what was in both counts once.
func TestR63_AbortWhileTheNextCommitFills(t *testing.T) {
	for _, code := range []devbroker.Code{devbroker.InvalidTxnState, devbroker.ProducerFenced, devbroker.InvalidProducerEpoch, devbroker.UnknownMemberID} {
		for _, request := range []devbroker.Request{devbroker.AddPartitionsToTxn, devbroker.TxnOffsetCommit, devbroker.EndTxn} {
			if code == devbroker.UnknownMemberID && request != devbroker.TxnOffsetCommit {
				continue
			}
			t.Run(code.String()+" to "+request.String(), func(t *testing.T) {
				streamtest.Run(t, func(k *streamtest.Kit) {
					k.Topic("clicks", 2)
					g, keys := clicker(k.T), users(10)
					var seen diary
					a := k.StartAs("a", g, seen.option())
					click(k, g, keys...)
					held := k.Broker.Hold(devbroker.Produce, "")
					sendEach(k, keys...)
					<-held.Arrived()
					sendEach(k, keys...)
					k.Advance(time.Second)
					fault := k.Broker.Fail(devbroker.Fault{Request: request, Err: code, Count: 1, TopLevel: request == devbroker.EndTxn})
					held.Release()
					sendEach(k, keys...)
					k.Settle(g)
					require.Equal(k.T, 1, fault.Hits())
					requireEach(k, a, 4, keys...)
					require.True(k.T, failed(of(&seen, &seen.commits)), "the abort is told")
				})
			})
		}
	}
}

func failed(commits []observe.Commit) bool {
	for _, c := range commits {
		if c.Err != nil {
			return true
		}
	}
	return false
}

// A process that is cut off in the middle of a commit does not know what became of it: the coordinator says so when it is back.
func TestR63_OutcomeUnknown(t *testing.T) {
	for _, request := range steps {
		for name, away := range map[string]time.Duration{"for a moment": time.Second, "past its session": 20 * time.Second} {
			t.Run(request.String()+", "+name, func(t *testing.T) {
				streamtest.Run(t, func(k *streamtest.Kit) {
					k.Topic("clicks", 2)
					g, keys := clicker(k.T), users(10)
					a := k.StartAs("a", g)
					b := k.StartAs("b", g)
					k.Until("shared", func() bool { return a.Running() == 1 && b.Running() == 1 })
					click(k, g, keys...)
					held := k.Broker.HoldAnswer(request, "")
					sendEach(k, keys...)
					<-held.Arrived()
					a.Disconnect()
					b.Disconnect()
					held.Drop()
					k.Advance(away)
					a.Connect()
					b.Connect()
					sendEach(k, keys...)
					k.Settle(g)
					k.Check()
					for _, key := range keys {
						require.EqualValues(k.T, 3, streamtest.FoldOf(k, counts)[key], key)
					}
				})
			})
		}
	}
}

// A Produce of an aborted transaction that arrives when the next one is open becomes no part of it.
func TestR63_DelayedProduceOfAnAbortedTransaction(t *testing.T) {
	streamtest.Run(t, func(k *streamtest.Kit) {
		k.Topic("clicks", 1)
		g, keys := clicker(k.T), users(10)
		a := k.StartAs("a", g)
		click(k, g, keys...)
		delayed := k.Broker.Hold(devbroker.Produce, "")
		sendEach(k, keys...)
		<-delayed.Arrived()
		a.Disconnect()
		k.Advance(12 * time.Second) // past its session: the commit is given up
		a.Connect()
		open := k.Broker.Hold(devbroker.TxnOffsetCommit, "clicker")
		<-open.Arrived()
		delayed.Release()
		k.Advance(time.Second)
		open.Release()
		k.Settle(g)
		requireEach(k, a, 2, keys...)
	})
}

// The old owner's last transaction is not complete when the new one starts: that waits for its offsets, and then reads its rows.
func TestR66_LastOwnersTransactionStillCompletes(t *testing.T) {
	for name, commits := range map[string]bool{"committed": true, "never": false} {
		t.Run(name, func(t *testing.T) {
			streamtest.Run(t, func(k *streamtest.Kit) {
				k.Topic("clicks", 2)
				g, keys := clicker(k.T), users(10)
				a := k.StartAs("a", g)
				click(k, g, keys...)
				held := k.Broker.Hold(devbroker.EndTxn, "")
				sendEach(k, keys...)
				<-held.Arrived()
				a.Crash()
				b := k.Launch("b", g)
				k.Advance(11 * time.Second) // a's session is over, and b has its tasks
				if commits {
					held.Release()
				} else {
					held.Drop()
				}
				<-b.Processor.Ready()
				k.Settle(g)
				requireEach(k, b, 2, keys...)
			})
		})
	}
}

// Partitions that are given away in the middle of a commit that does not end in time count once, whatever became of it.
func TestR66_GivenAwayInTheMiddleOfACommit(t *testing.T) {
	for _, request := range []devbroker.Request{devbroker.TxnOffsetCommit, devbroker.EndTxn} {
		for when, hold := range holds {
			for _, how := range []string{"by a stop", "by a rebalance"} {
				t.Run(request.String()+", "+when+", "+how, func(t *testing.T) {
					streamtest.Run(t, func(k *streamtest.Kit) {
						k.Topic("clicks", 4)
						g, keys := clicker(k.T), users(10)
						a := k.StartAs("a", g, processor.StopTimeout(5*time.Second))
						click(k, g, keys...)
						held := hold(k.Broker, request, "")
						sendEach(k, keys...)
						<-held.Arrived()
						b := k.Launch("b", g)
						if how == "by a stop" {
							require.NoError(k.T, a.Stop())
						} else {
							k.Advance(40 * time.Second)
						}
						held.Release()
						sendEach(k, keys...)
						<-b.Processor.Ready()
						k.Settle(g)
						k.Check()
						for _, key := range keys {
							require.EqualValues(k.T, 3, streamtest.FoldOf(k, counts)[key], key)
						}
					})
				})
			}
		}
	}
}

// A session that ends while partitions are given away takes them, too: the commit under way must not go on under the next
// generation, while another process has them.
func TestR66_LossInTheMiddleOfARevoke(t *testing.T) {
	for name, options := range map[string][]processor.Option{"exactly once": nil, "at least once": {processor.AtLeastOnce()}} {
		for _, away := range []time.Duration{6 * time.Second, 6100 * time.Millisecond, 6200 * time.Millisecond, 6300 * time.Millisecond, 6500 * time.Millisecond, 7 * time.Second} {
			t.Run(fmt.Sprint(name, ", ", away), func(t *testing.T) {
				streamtest.Run(t, func(k *streamtest.Kit) {
					k.Topic("clicks", 2)
					g, keys := clicker(k.T), users(10)
					moving := slices.DeleteFunc(users(10), func(key string) bool { return scope.Murmur2.Partition([]byte(key), 2) == 0 })
					options := append(options, processor.SessionTimeout(6*time.Second), processor.CommitInterval(10*time.Second), processor.FlushInterval(time.Minute))
					a := k.StartAs("a", g, options...)
					click(k, g, keys...)
					held := k.Broker.Hold(devbroker.Produce, "")
					sendEach(k, moving...)
					b := k.Launch("b", g, options...)
					k.SlowDisk("a", 4*time.Second)
					<-held.Arrived() // the commit of what is given away
					a.Disconnect()
					k.Advance(away)
					a.Connect()
					for range 20 { // whoever has it counts on
						sendEach(k, moving...)
						k.Advance(500 * time.Millisecond)
					}
					k.SlowDisk("a", 0)
					<-b.Processor.Ready()
					k.Settle(g)
					k.Check()
					last := map[string]int64{}
					for _, r := range streamtest.Records(k, counts) {
						if name == "exactly once" {
							require.Greater(k.T, r.Value, last[r.Key], r.Key)
						}
						last[r.Key] = r.Value
					}
					for _, key := range moving {
						require.GreaterOrEqual(k.T, last[key], int64(22), key)
					}
				})
			})
		}
	}
}
