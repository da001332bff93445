package devbroker

import (
	"net"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"
)

func TestForeignClientWritesAndReads(t *testing.T) {
	b := start(t, Brokers(3))
	topic(t, b, "t", 4)
	require.Len(t, b.Addrs(), 3)
	c := client(t, b, kgo.ConsumeTopics("t"))
	for p := range int32(4) {
		require.NoError(t, c.ProduceSync(short(t), &kgo.Record{Partition: p, Value: []byte{byte('a' + p)}}).FirstErr())
	}
	var seen []string
	for len(seen) < 4 {
		f := c.PollFetches(short(t))
		require.NoError(t, f.Err())
		f.EachRecord(func(r *kgo.Record) { seen = append(seen, string(r.Value)) })
	}
	require.ElementsMatch(t, []string{"a", "b", "c", "d"}, seen)
	require.Equal(t, []string{"c"}, values(t, b, "t", 2))
}

func TestRecordsKeepWhatWasProduced(t *testing.T) {
	b := start(t)
	topic(t, b, "t", 1)
	at := time.UnixMilli(1_700_000_000_123)
	in := []Record{
		{Key: []byte("k"), Value: []byte("v"), Timestamp: at, Headers: []Header{{"h", []byte("1")}, {"h", nil}}},
		{Key: []byte("k"), Timestamp: at.Add(-time.Hour)},
		{Key: []byte{}, Value: []byte{}, Timestamp: at},
		{Value: []byte("no key"), Timestamp: at},
	}
	require.NoError(t, b.Produce("t", 0, in...))
	out, err := b.Records("t", 0)
	require.NoError(t, err)
	for i := range in {
		in[i].Offset = int64(i)
	}
	require.Equal(t, in, out)

	fold, err := b.Fold("t", 0)
	require.NoError(t, err)
	require.Equal(t, map[string][]byte{"": {}}, fold)
	bounds, err := b.Bounds("t", 0)
	require.NoError(t, err)
	require.Equal(t, Bounds{Start: 0, End: 4, Stable: 4, Leader: 0, Epoch: bounds.Epoch}, bounds)
}

func TestTopicsAndTheirSettings(t *testing.T) {
	b := start(t, Brokers(2))
	require.NoError(t, b.CreateTopic("t", 2, map[string]string{"cleanup.policy": "compact"}))
	first := b.TopicID("t")
	require.NotZero(t, first)
	require.NoError(t, b.SetConfig("t", "delete.retention.ms", "1000"))
	require.NoError(t, b.AddPartitions("t", 3))
	config, n, err := b.Config("t")
	require.NoError(t, err)
	require.Equal(t, 3, n)
	require.Equal(t, map[string]string{"cleanup.policy": "compact", "delete.retention.ms": "1000"}, config)

	err = b.CreateTopic("t", 1, nil)
	require.EqualError(t, err, "devbroker: create topic t: TOPIC_ALREADY_EXISTS")
	require.NoError(t, b.DeleteTopic("t"))
	require.Zero(t, b.TopicID("t"))
	_, err = b.Bounds("t", 0)
	require.EqualError(t, err, "devbroker: bounds t/0: UNKNOWN_TOPIC_OR_PARTITION")
	require.NoError(t, b.CreateTopic("t", 1, nil))
	require.NotEqual(t, first, b.TopicID("t"))
}

func TestLogStartAndLeadersMove(t *testing.T) {
	b := start(t, Brokers(3))
	topic(t, b, "t", 1)
	require.NoError(t, b.Produce("t", 0, rec("a", "1", "b", "2", "c", "3")...))
	require.NoError(t, b.DeleteRecords("t", 0, 2))
	require.Equal(t, []string{"3"}, values(t, b, "t", 0))
	require.Error(t, b.DeleteRecords("t", 0, 99))

	before, err := b.Bounds("t", 0)
	require.NoError(t, err)
	require.Equal(t, int64(2), before.Start)
	require.NoError(t, b.MoveLeader("t", 0, (before.Leader+1)%3))
	after, err := b.Bounds("t", 0)
	require.NoError(t, err)
	require.Equal(t, (before.Leader+1)%3, after.Leader)
	require.Equal(t, before.Epoch+1, after.Epoch)
	require.Equal(t, []string{"3"}, values(t, b, "t", 0))
	require.Error(t, b.MoveLeader("t", 0, 7))
	require.NoError(t, b.ShuffleLeaders())
	require.NoError(t, b.MoveCoordinators())
	require.Contains(t, []int32{0, 1, 2}, b.Coordinator("g"))
}

func TestCompactAndRetention(t *testing.T) {
	b := start(t)
	require.NoError(t, b.CreateTopic("t", 1, map[string]string{"cleanup.policy": "compact"}))
	require.NoError(t, b.CreateTopic("old", 1, map[string]string{"retention.ms": "1000"}))
	for _, v := range []string{"1", "2", "3"} {
		require.NoError(t, b.Produce("t", 0, rec("k", v)...))
	}
	require.NoError(t, b.Produce("old", 0, Record{Timestamp: time.Now().Add(-time.Hour), Value: []byte("x")}))
	require.NoError(t, b.Compact())
	require.NoError(t, b.ApplyRetention())
	require.Equal(t, []string{"2", "3"}, values(t, b, "t", 0), "the newest batch takes no part")
	require.Empty(t, values(t, b, "old", 0))
}

func TestOptionFaultsAreToldAtOnce(t *testing.T) {
	_, err := Start(Brokers(0), Port(-1), MaxMessageBytes(-1), GroupMinSession(-1), SASL("NTLM", "", ""))
	for _, part := range []string{"Brokers(0)", "Port(-1)", "MaxMessageBytes(-1)", "GroupMinSession", "NTLM", "without a name"} {
		require.ErrorContains(t, err, part)
	}
}

func TestMaxMessageBytes(t *testing.T) {
	b := start(t, MaxMessageBytes(1000))
	topic(t, b, "t", 1)
	require.NoError(t, b.Produce("t", 0, Record{Value: make([]byte, 500)}))
	err := b.Produce("t", 0, Record{Value: make([]byte, 2000)})
	require.EqualError(t, err, "devbroker: produce t/0: MESSAGE_TOO_LARGE")
}

func TestTakenPortIsAnErrorAndNothingStaysBehind(t *testing.T) {
	a := start(t)
	_, text, err := net.SplitHostPort(a.Addrs()[0])
	require.NoError(t, err)
	port, err := strconv.Atoi(text)
	require.NoError(t, err)
	dir := t.TempDir()
	_, err = Start(Port(port), Dir(dir))
	require.ErrorContains(t, err, "address already in use")
	start(t, Dir(dir)) // its lock was let go
}

func TestCloseIsFinalAndMayBeRepeated(t *testing.T) {
	b := start(t)
	topic(t, b, "t", 1)
	addr := b.Addrs()[0]
	f := b.Fail(Fault{Request: Fetch})
	require.NoError(t, b.Close())
	require.NoError(t, b.Close())
	require.ErrorIs(t, b.CreateTopic("u", 1, nil), ErrClosed)
	require.ErrorIs(t, b.Produce("t", 0, rec("k", "v")...), ErrClosed)
	_, err := b.Records("t", 0)
	require.ErrorIs(t, err, ErrClosed)
	_, err = b.Group("g")
	require.ErrorIs(t, err, ErrClosed)
	require.ErrorIs(t, b.Resume(), ErrClosed)
	f.Remove()
	_, err = net.DialTimeout("tcp", addr, time.Second)
	require.Error(t, err)
}
