package kafka_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tarnstream/tarn/devbroker"
	"github.com/tarnstream/tarn/internal/kafka"
	"github.com/tarnstream/tarn/state"
)

func TestCreateTopics(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		b := newBench(t, devbroker.Virtual(), devbroker.Brokers(3))
		specs := []kafka.TopicSpec{
			{Name: "table", Partitions: 3, Configs: map[string]string{"cleanup.policy": "compact", "delete.retention.ms": "1234"}},
			{Name: "t", Partitions: 9}, // it exists, with two
			{Name: "out", Partitions: 1, ReplicationFactor: -1},
		}
		require.NoError(t, b.client.CreateTopics(t.Context(), specs))
		require.NoError(t, b.client.CreateTopics(t.Context(), specs))
		found, err := b.client.Refresh(t.Context(), "table", "t", "out")
		require.NoError(t, err)
		require.Len(t, found["table"].Partitions, 3)
		require.Len(t, found["t"].Partitions, 2, "an existing topic is left as it is")
		for _, p := range found["table"].Partitions {
			require.GreaterOrEqual(t, p.Leader, int32(0))
		}

		configs, err := b.client.TopicConfigs(t.Context(), "table", "t")
		require.NoError(t, err)
		require.Equal(t, "compact", configs["table"]["cleanup.policy"])
		require.Equal(t, "1234", configs["table"]["delete.retention.ms"])
		require.Equal(t, "delete", configs["t"]["cleanup.policy"], "defaults are told too")
	})
}

// TestCreateTopicsFaults: all faults in one error, the good topic is made nevertheless.
func TestCreateTopicsFaults(t *testing.T) {
	b := newBench(t)
	err := b.client.CreateTopics(t.Context(), []kafka.TopicSpec{
		{Name: "none", Partitions: 0}, {Name: "good", Partitions: 1}, {Name: "wide", Partitions: 1, ReplicationFactor: 99},
	})
	require.Error(t, err)
	codes := map[string]int16{}
	for _, e := range err.(interface{ Unwrap() []error }).Unwrap() {
		code, ok := errors.AsType[*kafka.Error](e)
		require.True(t, ok, "%v", e)
		codes[code.Topic] = code.Code
	}
	require.Equal(t, map[string]int16{"none": 37, "wide": 38}, codes)
	found, err := b.client.Refresh(t.Context(), "good")
	require.NoError(t, err)
	require.NoError(t, found["good"].Err)
}

// TestR25_CreateTopicsRetries: the controller moves, answers late, the connection breaks.
func TestR25_CreateTopicsRetries(t *testing.T) {
	faults := map[string]func(b *devbroker.Broker){
		"dropped": func(b *devbroker.Broker) { b.Drop(devbroker.CreateTopics, 1) },
	}
	for name, code := range map[string]devbroker.Code{"not controller": 41, "timed out": 7, "throttled": 89} {
		faults[name] = func(b *devbroker.Broker) {
			b.Fail(devbroker.Fault{Request: devbroker.CreateTopics, Err: code, Count: 2})
		}
	}
	for name, fault := range faults {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				b := newBench(t, devbroker.Virtual(), devbroker.Brokers(3))
				fault(b.broker)
				require.NoError(t, b.client.CreateTopics(t.Context(), []kafka.TopicSpec{{Name: "new", Partitions: 2}}))
				_, n, err := b.broker.Config("new")
				require.NoError(t, err)
				require.Equal(t, 2, n)
			})
		})
	}
}

// TestCreateTopicsDeadline: what stood in the way is in the error.
func TestCreateTopicsDeadline(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		b := newBench(t, devbroker.Virtual())
		b.broker.Fail(devbroker.Fault{Request: devbroker.CreateTopics, Err: 41, Count: -1})
		ctx, stop := context.WithTimeout(t.Context(), 3*time.Second)
		defer stop()
		err := b.client.CreateTopics(ctx, []kafka.TopicSpec{{Name: "new", Partitions: 2}})
		require.ErrorIs(t, err, context.DeadlineExceeded)
		code, ok := errors.AsType[*kafka.Error](err)
		require.True(t, ok)
		require.Equal(t, int16(41), code.Code)
	})
}

func TestDeleteTopics(t *testing.T) {
	b := newBench(t)
	require.NoError(t, b.client.DeleteTopics(t.Context(), "t", "never was"))
	found, err := b.client.Refresh(t.Context(), "t")
	require.NoError(t, err)
	var gone *state.TopicMissingError
	require.ErrorAs(t, found["t"].Err, &gone)
	_, err = b.client.TopicConfigs(t.Context(), "t")
	require.ErrorAs(t, err, &gone)
	require.NoError(t, b.client.CreateTopics(t.Context(), []kafka.TopicSpec{{Name: "t", Partitions: 1}}))
}

func TestDeleteRecords(t *testing.T) {
	b := newBench(t, devbroker.Brokers(2))
	p := b.producer(kafka.ProducerConfig{})
	require.NoError(t, p.Produce(t.Context(), []kafka.OutBatch{batchOf(0, 0, 10), batchOf(1, 0, 10)}))
	b.broker.Drop(devbroker.RequestOf(21), 1)
	require.NoError(t, b.client.DeleteRecords(t.Context(), "t", map[int32]int64{0: 4, 1: -1}))
	for partition, start := range []int64{4, 10} {
		bounds, err := b.broker.Bounds("t", int32(partition))
		require.NoError(t, err)
		require.Equal(t, start, bounds.Start)
	}
	err := b.client.DeleteRecords(t.Context(), "t", map[int32]int64{0: 11})
	code, ok := errors.AsType[*kafka.Error](err)
	require.True(t, ok, "%v", err)
	require.Equal(t, int16(1), code.Code)
}

// TestDeleteRecordsOfOthers: a partition that nobody leads keeps no other from being emptied.
func TestDeleteRecordsOfOthers(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		b := newBench(t, devbroker.Virtual(), devbroker.Brokers(2))
		for p := range int32(2) {
			require.NoError(t, b.broker.MoveLeader("t", p, p))
			b.write(p, 0, 10)
		}
		require.NoError(t, b.broker.StopNode(1))
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		err := b.client.DeleteRecords(ctx, "t", map[int32]int64{0: 4, 1: 4, 7: 4})
		require.ErrorIs(t, err, context.DeadlineExceeded)
		for partition, start := range []int64{4, 0} {
			bounds, err := b.broker.Bounds("t", int32(partition))
			require.NoError(t, err)
			require.Equal(t, start, bounds.Start)
		}
	})
}
