package kafka_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tarnstream/tarn/devbroker"
	"github.com/tarnstream/tarn/internal/kafka"
	"github.com/tarnstream/tarn/state"
)

var outside = kafka.Member{Generation: -1}

func TestCommitOffsets(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		b := newBench(t, devbroker.Virtual())
		require.NoError(t, b.client.CommitOffsets(t.Context(), "g", outside, nil))
		require.NoError(t, b.client.CommitOffsets(t.Context(), "g", outside, map[string]map[int32]kafka.Offset{"t": {
			0: {Position: 7, LeaderEpoch: 3, TopicID: state.TopicID{1, 15: 0xff}},
			1: {Position: 0, LeaderEpoch: state.UnknownEpoch},
		}}))
		got, err := b.client.CommittedOffsets(t.Context(), "g", map[string][]int32{"t": {0, 1}})
		require.NoError(t, err)
		require.Equal(t, map[string]map[int32]kafka.Offset{"t": {
			0: {Position: 7, LeaderEpoch: 3, TopicID: state.TopicID{1, 15: 0xff}},
			1: {Position: 0, LeaderEpoch: state.UnknownEpoch},
		}}, got)
	})
}

// TestR20_CommittedOffsetsUnknown: no commit, no group, and an answer that is not there yet are never position 0.
func TestR20_CommittedOffsetsUnknown(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		b := newBench(t, devbroker.Virtual())
		ask := map[string][]int32{"t": {0, 1}, "other": {5}}
		unknown := kafka.Offset{Position: state.UnknownOffset, LeaderEpoch: state.UnknownEpoch}
		got, err := b.client.CommittedOffsets(t.Context(), "nobody", ask)
		require.NoError(t, err)
		require.Equal(t, map[string]map[int32]kafka.Offset{"t": {0: unknown, 1: unknown}, "other": {5: unknown}}, got)

		require.NoError(t, b.client.CommitOffsets(t.Context(), "g", outside, map[string]map[int32]kafka.Offset{"t": {0: {Position: 4}}}))
		for _, code := range []devbroker.Code{7, 14, 15, 16, 88} {
			for _, top := range []bool{true, false} {
				f := b.broker.Fail(devbroker.Fault{Request: devbroker.OffsetFetch, Group: "g", Err: code, TopLevel: top, Count: 2})
				got, err := b.client.CommittedOffsets(t.Context(), "g", ask)
				require.NoError(t, err)
				require.Equal(t, int64(4), got["t"][0].Position, "code %d", code)
				require.Equal(t, unknown, got["t"][1])
				require.Equal(t, 2, f.Hits())
			}
		}

		b.broker.Fail(devbroker.Fault{Request: devbroker.OffsetFetch, Group: "g", Err: devbroker.UnstableOffsetCommit, Count: -1})
		ctx, stop := context.WithTimeout(t.Context(), 5*time.Second)
		defer stop()
		_, err = b.client.CommittedOffsets(ctx, "g", ask)
		require.ErrorIs(t, err, context.DeadlineExceeded)
	})
}

// TestR25_CommitOffsetsRetries: each retriable fault of a commit and of the way to the coordinator.
func TestR25_CommitOffsetsRetries(t *testing.T) {
	faults := map[string]func(b *devbroker.Broker){
		"dropped": func(b *devbroker.Broker) { b.Drop(devbroker.OffsetCommit, 1) },
		"severed": func(b *devbroker.Broker) { b.Sever() },
		"moved":   func(b *devbroker.Broker) { _ = b.MoveCoordinators() },
		"lookup": func(b *devbroker.Broker) {
			b.Sever()
			b.Fail(devbroker.Fault{Request: devbroker.FindCoordinator, Err: devbroker.CoordinatorNotAvailable})
		},
		"dropped after": func(b *devbroker.Broker) {
			h := b.HoldAnswer(devbroker.OffsetCommit, "g")
			go func() {
				<-h.Arrived()
				h.Drop()
			}()
		},
		"one partition": func(b *devbroker.Broker) {
			b.Fail(devbroker.Fault{Request: devbroker.OffsetCommit, Group: "g", Topic: "t", Partitions: []int32{1}, Err: devbroker.UnknownTopic})
		},
	}
	for _, code := range []devbroker.Code{3, 7, 14, 15, 16} {
		faults[fmt.Sprint("code ", int(code))] = func(b *devbroker.Broker) {
			b.Fail(devbroker.Fault{Request: devbroker.OffsetCommit, Group: "g", Err: code, Count: 2})
		}
	}
	for name, fault := range faults {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				b := newBench(t, devbroker.Virtual(), devbroker.Brokers(3))
				for round := range int64(3) {
					fault(b.broker)
					require.NoError(t, b.client.CommitOffsets(t.Context(), "g", outside,
						map[string]map[int32]kafka.Offset{"t": {0: {Position: 10 + round}, 1: {Position: 20 + round}}}))
					got, err := b.client.CommittedOffsets(t.Context(), "g", map[string][]int32{"t": {0, 1}})
					require.NoError(t, err)
					require.Equal(t, 10+round, got["t"][0].Position)
					require.Equal(t, 20+round, got["t"][1].Position)
				}
			})
		})
	}
}

// TestCommitOffsetsOwnership: what the group says of the member comes back at once, for errors.Is.
func TestCommitOffsetsOwnership(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		b := newBench(t, devbroker.Virtual())
		offsets := map[string]map[int32]kafka.Offset{"t": {0: {Position: 1}, 1: {Position: 2}}}
		for code, want := range map[devbroker.Code]error{22: kafka.ErrIllegalGeneration, 25: kafka.ErrUnknownMember,
			27: kafka.ErrRebalanceInProgress, 82: kafka.ErrFencedInstance} {
			f := b.broker.Fail(devbroker.Fault{Request: devbroker.OffsetCommit, Group: "g", Err: code, Count: -1})
			start := time.Now()
			err := b.client.CommitOffsets(t.Context(), "g", kafka.Member{ID: "m", InstanceID: "i", Generation: 3}, offsets)
			require.ErrorIs(t, err, want)
			require.Less(t, time.Since(start), 20*time.Millisecond, "no retry")
			f.Remove()
		}
		f := b.broker.Fail(devbroker.Fault{Request: devbroker.OffsetCommit, Group: "g", Err: 30, Count: -1})
		err := b.client.CommitOffsets(t.Context(), "g", outside, offsets)
		code, ok := errors.AsType[*kafka.Error](err)
		require.True(t, ok)
		require.Equal(t, int16(30), code.Code)
		f.Remove()
		err = b.client.CommitOffsets(t.Context(), "g", kafka.Member{ID: "stranger", Generation: 3}, offsets)
		require.Error(t, err, "nobody is a member of a group nobody joined")
	})
}

// TestCommitOffsetsOfATopicThatIsGone: it is named, and the offsets of the others are committed.
func TestCommitOffsetsOfATopicThatIsGone(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		b := newBench(t, devbroker.Virtual())
		require.NoError(t, b.broker.CreateTopic("gone", 1, nil))
		b.broker.Fail(devbroker.Fault{Request: devbroker.OffsetCommit, Topic: "gone", Err: devbroker.UnknownTopic, Count: -1})
		start := time.Now()
		err := b.client.CommitOffsets(t.Context(), "g", outside, map[string]map[int32]kafka.Offset{"t": {0: {Position: 3}}, "gone": {0: {Position: 4}}})
		require.Equal(t, &state.TopicMissingError{Topic: "gone"}, err)
		require.WithinRange(t, time.Now(), start.Add(5*time.Second), start.Add(7*time.Second))
		got, err := b.client.CommittedOffsets(t.Context(), "g", map[string][]int32{"t": {0}})
		require.NoError(t, err)
		require.Equal(t, int64(3), got["t"][0].Position)
	})
}
