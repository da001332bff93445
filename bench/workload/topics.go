package workload

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"strconv"
	"time"

	"github.com/tarnstream/tarn/internal/kafka"
	"github.com/tarnstream/tarn/internal/scope"
)

// Shape is what a topic is filled with.
type Shape struct {
	Partitions, Records, Keys, ValueBytes int
	// Seed draws keys and values: the same seed, the same records.
	Seed uint64
}

// numberBytes at the front of a value are its record's number in decimal, so that what was restored can be checked.
const numberBytes = 10

// Fault tells what of a shape cannot be.
func (s Shape) Fault() error {
	for name, n := range map[string]int{"partitions": s.Partitions, "records": s.Records, "keys": s.Keys} {
		if n < 1 {
			return fmt.Errorf("workload: %d %s: at least 1", n, name)
		}
	}
	if s.ValueBytes < numberBytes {
		return fmt.Errorf("workload: values of %d bytes: at least %d", s.ValueBytes, numberBytes)
	}
	return nil
}

// batchBytes is the size of the batches a topic is filled with: what a busy producer sends.
const batchBytes = 64 << 10

// gathered is how many records are handed to the producer at once.
const gathered = 20_000

// Fill makes a topic and writes its records, partitioned as goka does. The Outcome is what restoring it as a table gives.
func Fill(ctx context.Context, client *kafka.Client, topic kafka.TopicSpec, s Shape) (Outcome, error) {
	topic.Partitions = int32(s.Partitions)
	if err := client.CreateTopics(ctx, []kafka.TopicSpec{topic}); err != nil {
		return Outcome{}, err
	}
	p := client.NewProducer(kafka.ProducerConfig{MaxBatchBytes: batchBytes})
	defer p.Close()
	draw := rand.New(rand.NewPCG(s.Seed, 0))
	last := make(map[int]int, s.Keys)
	for from := 0; from < s.Records; from += gathered {
		batches := newBatches(topic.Name, s)
		for n := from; n < min(from+gathered, s.Records); n++ {
			last[batches.add(draw, n)] = n
		}
		if err := p.Produce(ctx, batches.all); err != nil {
			return Outcome{}, err
		}
	}
	out := Outcome{Rows: int64(len(last))}
	for _, n := range last {
		out.Sum += int64(n)
	}
	return out, nil
}

func keyOf(key int) string { return fmt.Sprintf("key-%08d", key) }

// batches are records for a topic, partitioned as goka does.
type batches struct {
	Shape
	all []kafka.OutBatch
	now int64
}

func newBatches(topic string, s Shape) *batches {
	b := &batches{Shape: s, all: make([]kafka.OutBatch, s.Partitions), now: time.Now().UnixMilli()}
	for i := range b.all {
		b.all[i].Topic, b.all[i].Partition = topic, int32(i)
	}
	return b
}

// add adds a record with a number, and gives its key.
func (b *batches) add(draw *rand.Rand, n int) (key int) {
	key = draw.IntN(b.Keys)
	r := kafka.OutRecord{Key: []byte(keyOf(key)), Value: value(n, b.ValueBytes, draw), Timestamp: b.now}
	to := &b.all[scope.FNV1a.Partition(r.Key, int32(b.Partitions))]
	to.Records = append(to.Records, r)
	return key
}

// value is a number and random letters.
func value(n, size int, draw *rand.Rand) []byte {
	v := fmt.Appendf(make([]byte, 0, size), "%0*d", numberBytes, n)
	for len(v) < size {
		v = append(v, byte('a'+draw.IntN(26)))
	}
	return v
}

func numberOf(value []byte) (int64, error) {
	if len(value) < numberBytes {
		return 0, fmt.Errorf("workload: a value of %d bytes", len(value))
	}
	return strconv.ParseInt(string(value[:numberBytes]), 10, 64)
}

// Fold gives the newest value of each key of a topic.
func Fold(ctx context.Context, client *kafka.Client, topic string) (map[string][]byte, error) {
	all := map[string][]byte{}
	return all, scan(ctx, client, topic, func(key, value []byte) {
		all[string(key)] = value
		if value == nil {
			delete(all, string(key))
		}
	})
}

// scan reads a topic to its end, as it is now.
func scan(ctx context.Context, client *kafka.Client, topic string, see func(key, value []byte)) error {
	topics, err := client.Refresh(ctx, topic)
	if err = cmp.Or(err, topics[topic].Err); err != nil {
		return err
	}
	reading := startReader(ctx, client)
	defer reading.stop()
	for p := range topics[topic].Partitions {
		if err := scanPartition(ctx, reading.Open(topic, int32(p), nil), see); err != nil {
			return err
		}
	}
	return nil
}

func scanPartition(ctx context.Context, c *kafka.Cursor, see func(key, value []byte)) error {
	defer c.Close()
	b, err := c.Bounds(ctx)
	if err != nil {
		return err
	}
	for at := b.Start; at < b.End; {
		got, err := c.Fetch(ctx, at)
		if err != nil {
			return err
		}
		for _, r := range got.Records {
			see(r.Key, r.Value)
		}
		at = got.Next
	}
	return nil
}
