package devbroker

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func now() time.Time { return time.Now() }

type answer struct {
	resp kmsg.Response
	err  error
}

func inBackground(in *inner, req kmsg.Request) chan answer {
	done := make(chan answer, 1)
	go func() {
		resp, err := in.exchange(req)
		done <- answer{resp, err}
	}()
	return done
}

func recordsOf(a answer) int {
	n := 0
	for _, b := range batches(a.resp.(*kmsg.FetchResponse).Topics[0].Partitions[0].RecordBatches) {
		n += int(b.NumRecords)
	}
	return n
}

func TestR50_HeldAnswerIsOfTheTimeOfItsWork(t *testing.T) {
	for _, c := range []struct {
		name string
		hold func(b *Broker) *Held
		want int
	}{
		{"request", func(b *Broker) *Held { return b.Hold(Fetch, "t") }, 2},
		{"answer", func(b *Broker) *Held { return b.HoldAnswer(Fetch, "t") }, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := start(t)
			topic(t, b, "t", 1)
			topic(t, b, "other", 1)
			require.NoError(t, b.Produce("t", 0, rec("k", "1")...))
			h := c.hold(b)
			require.Zero(t, fetch(t, wire(t, b, 0), place{"other", 0}, 0).ErrorCode, "another topic's request passes")
			require.False(t, closed(h.Arrived()))
			held := inBackground(wire(t, b, 0), fetchRequest("t", 0, 0))
			<-h.Arrived()
			require.NoError(t, b.Produce("t", 0, rec("k", "2")...))
			require.Len(t, batches(fetch(t, wire(t, b, 0), place{"t", 0}, 0).RecordBatches), 2, "the next request passes")
			h.Release()
			h.Release()
			got := <-held
			require.NoError(t, got.err)
			require.Equal(t, c.want, recordsOf(got))
		})
	}
}

func TestHeldAnswerDroppedIsAnUnknownOutcome(t *testing.T) {
	b := start(t)
	topic(t, b, "t", 1)
	for _, c := range []struct {
		hold func(Request, string) *Held
		want []string
	}{
		{b.Hold, []string{}},
		{b.HoldAnswer, []string{"x"}},
	} {
		h := c.hold(Produce, "")
		got := inBackground(wire(t, b, 0), produceRequest("x"))
		<-h.Arrived()
		h.Drop()
		require.Error(t, (<-got).err)
		require.Equal(t, c.want, values(t, b, "t", 0))
	}
}

func TestHeldAnswersKeepTheirVersion(t *testing.T) {
	b := start(t)
	topic(t, b, "t", 1)
	for _, req := range []kmsg.Request{metadata(1), offsets("g", 1), list(1), produceRequest("x")} {
		h := b.HoldAnswer(RequestOf(req.Key()), "")
		want := inBackground(wire(t, b, 0), req)
		<-h.Arrived()
		h.Release()
		got := <-want
		require.NoError(t, got.err)
		require.Equal(t, req.GetVersion(), got.resp.GetVersion())
	}
	require.Panics(t, func() { b.HoldAnswer(JoinGroup, "") })
}

func metadata(version int16) *kmsg.MetadataRequest {
	req := kmsg.NewPtrMetadataRequest()
	req.Version = version
	return req
}

func offsets(group string, version int16) *kmsg.OffsetFetchRequest {
	req := kmsg.NewPtrOffsetFetchRequest()
	req.Version, req.Group = version, group
	return req
}

func list(version int16) *kmsg.ListOffsetsRequest {
	req := kmsg.NewPtrListOffsetsRequest()
	req.Version, req.ReplicaID = version, -1
	rt := kmsg.NewListOffsetsRequestTopic()
	rt.Topic = "t"
	rt.Partitions = append(rt.Partitions, kmsg.NewListOffsetsRequestTopicPartition())
	req.Topics = append(req.Topics, rt)
	return req
}

func TestReleasedBeforeItCameHoldsNothing(t *testing.T) {
	b := start(t)
	topic(t, b, "t", 1)
	b.Hold(Fetch, "").Release()
	require.Zero(t, fetch(t, wire(t, b, 0), place{"t", 0}, 0).ErrorCode)
}

func TestCloseReleasesWhatIsHeld(t *testing.T) {
	for _, opts := range [][]Option{nil, {Dir(t.TempDir())}} {
		b := start(t, opts...)
		topic(t, b, "t", 1)
		h, ha := b.Hold(Fetch, ""), b.HoldAnswer(Metadata, "")
		one := inBackground(wire(t, b, 0), fetchRequest("t", 0, 0))
		two := inBackground(wire(t, b, 0), metadata(9))
		<-h.Arrived()
		<-ha.Arrived()
		require.NoError(t, b.Close())
		require.Error(t, (<-one).err)
		require.Error(t, (<-two).err)
	}
}

func TestHoldAnyRequestOfAGroup(t *testing.T) {
	b := start(t)
	h := b.Hold(AnyRequest, "g")
	in := wire(t, b, 0)
	_, err := in.exchange(metadata(4))
	require.NoError(t, err)
	got := inBackground(in, offsets("g", 4))
	<-h.Arrived()
	h.Release()
	require.NoError(t, (<-got).err)
}
