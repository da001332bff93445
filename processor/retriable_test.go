package processor_test

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tarnstream/tarn/codec"
	"github.com/tarnstream/tarn/devbroker"
	"github.com/tarnstream/tarn/processor"
	"github.com/tarnstream/tarn/streamtest"
	"github.com/tarnstream/tarn/topology"
)

// Codes by which a broker asks for another try, beside those that devbroker names.
const (
	notEnoughReplicas            devbroker.Code = 19
	notEnoughReplicasAfterAppend devbroker.Code = 20
	notController                devbroker.Code = 41
)

// tried is, for each kind of request on the way of a processor, what is answered for a while. A lost connection is tried
// with each of them.
var tried = map[devbroker.Request][]devbroker.Code{
	devbroker.Metadata:        {devbroker.LeaderNotAvailable},
	devbroker.FindCoordinator: {devbroker.CoordinatorLoading, devbroker.CoordinatorNotAvailable},
	devbroker.JoinGroup:       {devbroker.CoordinatorLoading, devbroker.CoordinatorNotAvailable, devbroker.NotCoordinator},
	devbroker.SyncGroup:       {devbroker.CoordinatorLoading, devbroker.CoordinatorNotAvailable, devbroker.NotCoordinator, devbroker.RebalanceInProgress},
	devbroker.Heartbeat:       {devbroker.CoordinatorLoading, devbroker.CoordinatorNotAvailable, devbroker.NotCoordinator, devbroker.RebalanceInProgress},
	devbroker.OffsetFetch:     {devbroker.CoordinatorLoading, devbroker.CoordinatorNotAvailable, devbroker.NotCoordinator, devbroker.UnstableOffsetCommit},
	devbroker.OffsetCommit: {devbroker.CoordinatorLoading, devbroker.CoordinatorNotAvailable, devbroker.NotCoordinator, devbroker.Timeout,
		devbroker.RebalanceInProgress, devbroker.IllegalGeneration},
	devbroker.ListOffsets: {devbroker.NotLeader, devbroker.LeaderNotAvailable, devbroker.OffsetNotAvailable, devbroker.UnknownTopic,
		devbroker.LeaderEpochFenced, devbroker.UnknownLeaderEpoch},
	devbroker.Fetch: {devbroker.NotLeader, devbroker.LeaderEpochFenced, devbroker.UnknownLeaderEpoch, devbroker.UnknownTopic,
		devbroker.StorageError, devbroker.OffsetNotAvailable},
	devbroker.Produce: {devbroker.NotLeader, devbroker.Timeout, devbroker.UnknownTopic, devbroker.StorageError, notEnoughReplicas,
		notEnoughReplicasAfterAppend},
	devbroker.AddPartitionsToTxn: transactional, devbroker.AddOffsetsToTxn: transactional, devbroker.EndTxn: transactional,
	devbroker.TxnOffsetCommit: {devbroker.CoordinatorLoading, devbroker.CoordinatorNotAvailable, devbroker.NotCoordinator,
		devbroker.RebalanceInProgress, devbroker.IllegalGeneration},
	devbroker.InitProducerID:  {devbroker.CoordinatorLoading, devbroker.CoordinatorNotAvailable, devbroker.ConcurrentTransactions, devbroker.Timeout},
	devbroker.DescribeConfigs: {devbroker.Timeout},
	devbroker.CreateTopics:    {notController, devbroker.Timeout},
	devbroker.LeaveGroup:      {devbroker.CoordinatorLoading, devbroker.CoordinatorNotAvailable, devbroker.NotCoordinator},
}

var transactional = []devbroker.Code{devbroker.CoordinatorLoading, devbroker.CoordinatorNotAvailable, devbroker.NotCoordinator, devbroker.ConcurrentTransactions}

// guarantee is what a processor makes a request for.
func guarantee(request devbroker.Request) []processor.Option {
	if request == devbroker.OffsetCommit {
		return []processor.Option{processor.AtLeastOnce()}
	}
	return nil
}

// whole are the requests whose answers have one code for all of it.
var whole = []devbroker.Request{devbroker.FindCoordinator, devbroker.JoinGroup, devbroker.SyncGroup, devbroker.Heartbeat,
	devbroker.OffsetFetch, devbroker.InitProducerID, devbroker.LeaveGroup, devbroker.AddOffsetsToTxn, devbroker.EndTxn}

// An echoing group makes requests of every kind: it has an input, a table and an output.
var clicksSeen = topology.NewStream("clicks-out", codec.Int64)

func echoing(t *testing.T) *topology.Group {
	return define(t, "clicker", topology.Persist(counts), topology.Output(clicksSeen),
		topology.Input(clicks, func(ctx *topology.Context, v string) error {
			if err := onClick(ctx, v); err != nil {
				return err
			}
			n, _, err := counts.Get(ctx)
			if err != nil {
				return err
			}
			return clicksSeen.Emit(ctx, ctx.Key(), n)
		}))
}

// Each retriable error of each kind of request, and a lost connection, change nothing in the result.
func TestR25_EveryRequestIsTriedAgain(t *testing.T) {
	for request, codes := range tried {
		t.Run(request.String(), func(t *testing.T) {
			streamtest.Run(t, func(k *streamtest.Kit) {
				k.Topic("clicks", 2)
				g, keys := echoing(k.T), users(10)
				count := int64(0)
				for _, code := range append(codes, 0) {
					var fault *devbroker.FaultHandle
					if code == 0 {
						k.Broker.Drop(request, 2)
					} else {
						fault = k.Broker.Fail(devbroker.Fault{Request: request, Err: code, Count: 2, TopLevel: slices.Contains(whole, request)})
					}
					began := time.Now()
					a := k.Start(g, guarantee(request)...)
					require.Less(k.T, time.Since(began), 10*time.Second, "%s %s", request, code)
					click(k, g, keys...)
					time.Sleep(5 * time.Second) // heartbeats
					click(k, g, keys...)
					count += 2
					rows := requireFold(k, a, keys...)
					for _, key := range keys {
						require.Equal(k.T, count, rows[key], "%s %s: %s", request, code, key)
					}
					require.Len(k.T, k.Records("clicks-out"), 20, "%s %s", request, code)
					require.NoError(k.T, a.Stop())
					if fault != nil {
						require.Positive(k.T, fault.Hits(), "%s %s", request, code)
						fault.Remove()
					}
					info, err := k.Broker.Group("clicker")
					require.NoError(k.T, err)
					require.Empty(k.T, info.Members, "it has left the group: %s %s", request, code)
					require.NoError(k.T, k.Broker.DeleteTopic("clicks-out"))
				}
			})
		})
	}
}

// What never gets better ends a start with its name, in the time that a start may take, and keeps no stop from ending.
func TestR25_TriesAreBounded(t *testing.T) {
	atStart := map[devbroker.Request]string{devbroker.Metadata: "no broker answers: 127.0.0.1:9092",
		devbroker.DescribeConfigs: "no broker answers: 127.0.0.1:9092", devbroker.CreateTopics: "create topics"}
	for request, says := range atStart {
		t.Run(request.String(), func(t *testing.T) {
			streamtest.Run(t, func(k *streamtest.Kit) {
				k.Topic("clicks", 2)
				k.Topic("clicks-count", 2, "cleanup.policy", "compact")
				k.Broker.Drop(request, -1)
				began := time.Now()
				err := k.Launch("a", echoing(k.T), processor.StartTimeout(10*time.Second)).Wait()
				require.Error(k.T, err)
				require.Less(k.T, time.Since(began), 15*time.Second)
				require.ErrorContains(k.T, err, says)
			})
		})
	}
	for request := range tried {
		t.Run("stop: "+request.String(), func(t *testing.T) {
			streamtest.Run(t, func(k *streamtest.Kit) {
				k.Topic("clicks", 2)
				g := echoing(k.T)
				a := k.Start(g, append(guarantee(request), processor.StopTimeout(10*time.Second))...)
				click(k, g, users(10)...)
				k.Broker.Drop(request, -1)
				for _, key := range users(10) {
					k.Send("clicks", key, "x")
				}
				time.Sleep(3 * time.Second)
				began := time.Now()
				require.NoError(k.T, a.Stop())
				require.Less(k.T, time.Since(began), 30*time.Second)
			})
		})
	}
}

// A request that is never answered is given up after a time, and made again.
func TestR25_EveryRequestTimesOut(t *testing.T) {
	for request := range tried {
		t.Run(request.String(), func(t *testing.T) {
			streamtest.Run(t, func(k *streamtest.Kit) {
				k.Topic("clicks", 2)
				g, keys := echoing(k.T), users(10)
				held := k.Broker.Hold(request, "")
				began := time.Now()
				a := k.Start(g, guarantee(request)...)
				click(k, g, keys...)
				if request == devbroker.Heartbeat || request == devbroker.DescribeConfigs {
					time.Sleep(time.Minute)
				}
				click(k, g, keys...)
				k.T.Logf("%s: %v", request, time.Since(began))
				rows := requireFold(k, a, keys...)
				for _, key := range keys {
					require.EqualValues(k.T, 2, rows[key], key)
				}
				require.NoError(k.T, a.Stop())
				require.Less(k.T, time.Since(began), 2*time.Minute)
				select {
				case <-held.Arrived():
				default:
					k.T.Error("there was no such request")
				}
				held.Drop()
			})
		})
	}
}
