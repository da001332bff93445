package devbroker

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func TestR56_FaultHitsOnePartitionOnce(t *testing.T) {
	b := start(t)
	topic(t, b, "t", 2)
	for p := range int32(2) {
		require.NoError(t, b.Produce("t", p, rec("k", "v")...))
	}
	f := b.Fail(Fault{Request: Fetch, Topic: "t", Partitions: []int32{1}, Err: OutOfRange})
	require.Equal(t, []string{"v"}, values(t, b, "t", 1), "the broker's own reading is not hit")
	in := wire(t, b, 0)
	for _, want := range []int16{int16(OutOfRange), 0} {
		resp, err := in.exchange(fetchRequest("t", 0, 0, 1))
		require.NoError(t, err)
		ps := resp.(*kmsg.FetchResponse).Topics[0].Partitions
		require.Equal(t, []int16{0, want}, []int16{ps[0].ErrorCode, ps[1].ErrorCode})
		require.Len(t, batches(ps[0].RecordBatches), 1)
	}
	require.NoError(t, f.Wait(short(t), 1))
	require.Equal(t, 1, f.Hits())
}

func TestFaultUntilRemoved(t *testing.T) {
	b := start(t)
	topic(t, b, "t", 1)
	f := b.Fail(Fault{Request: ListOffsets, Err: NotLeader, Count: -1})
	in := wire(t, b, 0)
	list := func() int16 {
		req := kmsg.NewPtrListOffsetsRequest()
		req.Version = 2 // below the versions that could carry a mark
		rt := kmsg.NewListOffsetsRequestTopic()
		rt.Topic = "t"
		rt.Partitions = append(rt.Partitions, kmsg.NewListOffsetsRequestTopicPartition())
		req.Topics = append(req.Topics, rt)
		resp, err := in.exchange(req)
		require.NoError(t, err)
		return resp.(*kmsg.ListOffsetsResponse).Topics[0].Partitions[0].ErrorCode
	}
	for range 3 {
		require.Equal(t, int16(NotLeader), list())
	}
	require.Equal(t, 3, f.Hits())
	f.Remove()
	f.Remove()
	require.Zero(t, list())
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, f.Wait(ctx, 4), context.Canceled)
}

func TestTimeoutOnProduceStillWrites(t *testing.T) {
	b := start(t)
	topic(t, b, "t", 1)
	b.Fail(Fault{Request: Produce, Topic: "t", Err: Timeout})
	require.Equal(t, int16(Timeout), produce(t, wire(t, b, 0), "x").Topics[0].Partitions[0].ErrorCode)
	require.Equal(t, []string{"x"}, values(t, b, "t", 0))
}

func TestCodesThatTheClientHasNoNameFor(t *testing.T) {
	b := start(t)
	topic(t, b, "t", 1)
	b.Fail(Fault{Request: Fetch, Err: 999})
	require.Equal(t, int16(999), fetch(t, wire(t, b, 0), place{"t", 0}, 0).ErrorCode)
	require.Equal(t, "999", Code(999).String())
	require.Equal(t, "NONE", Code(0).String())
	require.Equal(t, "UNKNOWN_SERVER_ERROR", UnknownServerError.String())
	require.Equal(t, "Fetch", Fetch.String())
	require.Equal(t, "any request", AnyRequest.String())
	require.Equal(t, JoinGroup, RequestOf(11))
}

func TestDropClosesTheConnection(t *testing.T) {
	b := start(t)
	topic(t, b, "t", 1)
	b.Drop(Fetch, 2)
	require.Empty(t, values(t, b, "t", 0), "the broker's own reading is not dropped")
	for range 2 {
		_, err := wire(t, b, 0).exchange(fetchRequest("t", 0, 0))
		require.Error(t, err)
	}
	require.Zero(t, fetch(t, wire(t, b, 0), place{"t", 0}, 0).ErrorCode)
	b.Drop(Fetch, -1)
	_, err := wire(t, b, 0).exchange(fetchRequest("t", 0, 0))
	require.Error(t, err)
	b.Undrop()
	require.Zero(t, fetch(t, wire(t, b, 0), place{"t", 0}, 0).ErrorCode)
}

// TestEveryOwnRequestIsMarked guards the broker's own requests against the test's faults: one that cannot carry the
// mark would be hit.
func TestEveryOwnRequestIsMarked(t *testing.T) {
	b := start(t)
	topic(t, b, "t", 1)
	all := b.Fail(Fault{Count: -1})
	defer all.Remove()
	tx, err := b.Begin("tx", 0)
	require.NoError(t, err)
	require.NoError(t, tx.Produce("t", 0, rec("k", "v")...))
	require.NoError(t, tx.Commit())
	require.NoError(t, b.Produce("t", 0, rec("k", "w")...))
	require.NoError(t, b.SetConfig("t", "retention.ms", "1"))
	require.NoError(t, b.SetConfig("t", "retention.ms", ""))
	require.NoError(t, b.AddPartitions("t", 2))
	require.Equal(t, []string{"v", "w"}, values(t, b, "t", 0))
	require.Zero(t, all.Hits())
}

func produceRequest(value string) *kmsg.ProduceRequest {
	req := kmsg.NewPtrProduceRequest()
	req.Version, req.Acks, req.TimeoutMillis = 7, -1, 1000
	rt := kmsg.NewProduceRequestTopic()
	rt.Topic = "t"
	rp := kmsg.NewProduceRequestTopicPartition()
	rp.Records = newBatch(anonymous, rec("k", value), now())
	rt.Partitions = append(rt.Partitions, rp)
	req.Topics = append(req.Topics, rt)
	return req
}

func produce(t *testing.T, in *inner, value string) *kmsg.ProduceResponse {
	t.Helper()
	resp, err := in.exchange(produceRequest(value))
	require.NoError(t, err)
	return resp.(*kmsg.ProduceResponse)
}

func TestGroupAsTheBrokerSeesIt(t *testing.T) {
	b := start(t, GroupMinSession(1_000_000))
	topic(t, b, "t", 2)
	none, err := b.Group("g")
	require.NoError(t, err)
	require.Empty(t, none.State)
	c := client(t, b, kgo.ConsumeTopics("t"), kgo.ConsumerGroup("g"), kgo.DisableAutoCommit(), kgo.InstanceID("me"))
	info, err := b.WaitGroup(short(t), "g", func(g GroupInfo) bool {
		return g.State == "Stable" && len(g.Members) == 1 && len(g.Members[0].Assigned["t"]) == 2
	})
	require.NoError(t, err)
	require.Equal(t, "me", info.Members[0].InstanceID)
	require.Positive(t, info.Generation)
	require.NoError(t, b.Produce("t", 1, rec("k", "v")...))
	require.NoError(t, c.PollFetches(short(t)).Err())
	require.NoError(t, c.CommitUncommittedOffsets(short(t)))
	info, err = b.Group("g")
	require.NoError(t, err)
	require.Equal(t, int64(1), info.Commits["t"][1].Offset)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = b.WaitGroup(ctx, "g", func(GroupInfo) bool { return false })
	require.ErrorIs(t, err, context.Canceled)
}
