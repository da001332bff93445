package devbroker

import (
	"context"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(victimDir); dir != "" {
		victim(dir)
	}
	goleak.VerifyTestMain(m)
}

func start(t *testing.T, opts ...Option) *Broker {
	t.Helper()
	b, err := Start(opts...)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, b.Close()) })
	return b
}

func topic(t *testing.T, b *Broker, name string, partitions int) {
	t.Helper()
	require.NoError(t, b.CreateTopic(name, partitions, nil))
}

// rec makes records k=v from pairs.
func rec(pairs ...string) []Record {
	var all []Record
	for i := 0; i < len(pairs); i += 2 {
		all = append(all, Record{Key: []byte(pairs[i]), Value: []byte(pairs[i+1])})
	}
	return all
}

func values(t *testing.T, b *Broker, name string, partition int32) []string {
	t.Helper()
	records, err := b.Records(name, partition)
	require.NoError(t, err)
	all := []string{}
	for _, r := range records {
		all = append(all, string(r.Value))
	}
	return all
}

func client(t *testing.T, b *Broker, opts ...kgo.Opt) *kgo.Client {
	t.Helper()
	opts = append([]kgo.Opt{
		kgo.SeedBrokers(b.Addrs()...), kgo.FetchMaxWait(50 * time.Millisecond), kgo.Dialer(b.Dialer().DialContext),
		kgo.DefaultProduceTopic("t"), kgo.RecordPartitioner(kgo.ManualPartitioner()),
	}, opts...)
	c, err := kgo.NewClient(opts...)
	require.NoError(t, err)
	t.Cleanup(c.Close)
	return c
}

// wire is a foreign client's connection, for requests at a version of the test's choice.
func wire(t *testing.T, b *Broker, node int) *inner {
	t.Helper()
	conn, err := b.Dialer().Dial("tcp", b.Addrs()[node])
	require.NoError(t, err)
	t.Cleanup(func() { conn.Close() })
	return &inner{conn: conn}
}

func fetchRequest(name string, offset int64, partitions ...int32) *kmsg.FetchRequest {
	req := (&log{topic: name, position: offset}).request()
	req.Topics[0].Partitions = nil
	for _, n := range partitions {
		p := kmsg.NewFetchRequestTopicPartition()
		p.Partition, p.FetchOffset, p.PartitionMaxBytes = n, offset, 1<<20
		req.Topics[0].Partitions = append(req.Topics[0].Partitions, p)
	}
	return req
}

func fetch(t *testing.T, in *inner, at place, offset int64) kmsg.FetchResponseTopicPartition {
	t.Helper()
	resp, err := in.exchange(fetchRequest(at.topic, offset, at.partition))
	require.NoError(t, err)
	return resp.(*kmsg.FetchResponse).Topics[0].Partitions[0]
}

func batches(raw []byte) []kmsg.RecordBatch {
	var all []kmsg.RecordBatch
	for {
		b, _, rest, ok := nextBatch(raw)
		if !ok {
			return all
		}
		all, raw = append(all, b), rest
	}
}

func short(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func closed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}
