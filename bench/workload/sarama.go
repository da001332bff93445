package workload

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/IBM/sarama"

	"github.com/tarnstream/tarn/internal/task"
)

// SaramaSettings says how sarama is set up, in its three floors.
const SaramaSettings = "sarama.NewConfig, Version 2.8; a ConsumerGroup (initial offset oldest, 1 s auto-commit) that counts in a Go map for each partition; " +
	"Broker.Fetch with a connection for each partition, 4 MiB asked for at a time"

func saramaConfig() *sarama.Config {
	c := sarama.NewConfig()
	c.Version = sarama.V2_8_0_0
	c.Consumer.Offsets.Initial = sarama.OffsetOldest
	return c
}

// saramaCount counts in maps, which end with the process: no changelog, no store. Its time ends with the last record handled.
func saramaCount(ctx context.Context, j Job) (out Outcome, err error) {
	group, err := sarama.NewConsumerGroup(j.Brokers, j.Group, saramaConfig())
	if err != nil {
		return out, err
	}
	defer func() { err = errors.Join(err, group.Close()) }()
	counting := &mapCounts{clock: newClock(j.Records)}
	stop, ended := start(ctx, func(ctx context.Context) error { return group.Consume(ctx, []string{j.Topic}, counting) })
	if err := counting.clock.wait(ctx, ended); err != nil {
		return out, err
	}
	counting.clock.stop(&out)
	if err := stop(); err != nil {
		return out, err
	}
	for _, counts := range counting.all {
		for _, n := range counts {
			out.Rows++
			out.Sum += *n
		}
	}
	return out, nil
}

// mapCounts is a sarama.ConsumerGroupHandler with a map for each claim.
type mapCounts struct {
	clock *clock
	mu    sync.Mutex
	all   []map[string]*int64
}

func (c *mapCounts) Setup(sarama.ConsumerGroupSession) error   { return nil }
func (c *mapCounts) Cleanup(sarama.ConsumerGroupSession) error { return nil }

func (c *mapCounts) ConsumeClaim(session sarama.ConsumerGroupSession, claim sarama.ConsumerGroupClaim) error {
	counts := map[string]*int64{}
	c.mu.Lock()
	c.all = append(c.all, counts)
	c.mu.Unlock()
	for m := range claim.Messages() {
		n, ok := counts[string(m.Key)]
		if !ok {
			n = new(int64)
			counts[string(m.Key)] = n
		}
		*n++
		session.MarkMessage(m, "")
		c.clock.tick()
	}
	return nil
}

// rawFetch throws the records away: what nobody can be faster than.
func rawFetch(ctx context.Context, j Job) (out Outcome, err error) {
	c := newClock(j.Records)
	err = fetchAll(ctx, j, func(_ int32, records []*sarama.Record) error {
		c.ticks(int64(len(records)))
		return nil
	})
	if err == nil && c.handled.Load() != j.Records {
		err = fmt.Errorf("%d records of %d", c.handled.Load(), j.Records)
	}
	c.stop(&out)
	return out, err
}

// fetchBytes is what is asked for at a time.
const fetchBytes = 4 << 20

// fetchAll reads every partition to its end, each on a connection and a goroutine of its own. take is called from all of them.
func fetchAll(ctx context.Context, j Job, take func(partition int32, records []*sarama.Record) error) (err error) {
	client, err := sarama.NewClient(j.Brokers, saramaConfig())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, client.Close()) }()
	partitions, err := client.Partitions(j.Topic)
	if err != nil {
		return err
	}
	// One after the other: who asks a Client's Broker while somebody else opens it may find it not connected.
	spans := make([]span, len(partitions))
	for i, p := range partitions {
		if err := context.Cause(ctx); err != nil {
			return err
		}
		if spans[i], err = spanOf(client, tp{j.Topic, p}); err != nil {
			return err
		}
	}
	all := task.New(ctx)
	for _, s := range spans {
		all.Go("fetch", func(ctx context.Context) error {
			return s.fetch(ctx, client.Config(), func(records []*sarama.Record) error { return take(s.of.partition, records) })
		})
	}
	return all.Wait()
}

type tp struct {
	topic     string
	partition int32
}

// span is what a partition has, and where.
type span struct {
	of      tp
	leader  string
	at, end int64
}

func spanOf(client sarama.Client, of tp) (s span, err error) {
	s.of = of
	if s.at, err = client.GetOffset(of.topic, of.partition, sarama.OffsetOldest); err != nil {
		return s, err
	}
	if s.end, err = client.GetOffset(of.topic, of.partition, sarama.OffsetNewest); err != nil {
		return s, err
	}
	leader, err := client.Leader(of.topic, of.partition)
	if err != nil {
		return s, err
	}
	s.leader = leader.Addr()
	return s, nil
}

func (s span) fetch(ctx context.Context, config *sarama.Config, take func([]*sarama.Record) error) (err error) {
	broker := sarama.NewBroker(s.leader)
	if err := broker.Open(config); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, broker.Close()) }()
	for s.at < s.end {
		if err := context.Cause(ctx); err != nil {
			return err
		}
		if s.at, err = fetchOnce(broker, s.of, s.at, take); err != nil {
			return err
		}
	}
	return nil
}

// fetchOnce takes one answer and gives the offset behind it.
func fetchOnce(broker *sarama.Broker, of tp, at int64, take func([]*sarama.Record) error) (next int64, err error) {
	request := &sarama.FetchRequest{Version: 11, MaxWaitTime: 500, MinBytes: 1, MaxBytes: fetchBytes, SessionEpoch: -1}
	request.AddBlock(of.topic, of.partition, at, fetchBytes, -1)
	answer, err := broker.Fetch(request)
	if err != nil {
		return at, err
	}
	block := answer.GetBlock(of.topic, of.partition)
	if block == nil || !errors.Is(block.Err, sarama.ErrNoError) {
		return at, fmt.Errorf("workload: %s/%d at %d: %+v", of.topic, of.partition, at, block)
	}
	for _, set := range block.RecordsSet {
		batch := set.RecordBatch
		records := batch.Records
		for len(records) > 0 && batch.FirstOffset+records[0].OffsetDelta < at {
			records = records[1:] // a batch may begin below
		}
		if err := take(records); err != nil {
			return at, err
		}
		at, next = batch.LastOffset()+1, batch.LastOffset()+1
	}
	if next == 0 {
		return at, fmt.Errorf("workload: %s/%d has nothing at %d, below its end", of.topic, of.partition, at)
	}
	return next, nil
}
