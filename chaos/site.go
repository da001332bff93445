package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/IBM/sarama"

	"github.com/tarnstream/tarn/internal/realkafka"
)

// patience bounds whatever must happen sooner or later.
const patience = 2 * time.Minute

// site is the cluster, and sarama's own clients, which know nothing of tarn.
type site struct {
	cluster *realkafka.Cluster
	client  sarama.Client
	admin   sarama.ClusterAdmin
}

func saramaConfig() *sarama.Config {
	conf := sarama.NewConfig()
	conf.Version = sarama.V2_8_0_0
	conf.Producer.RequiredAcks = sarama.WaitForAll
	conf.Producer.Idempotent = true
	conf.Producer.Return.Successes = true
	conf.Producer.Partitioner = sarama.NewHashPartitioner
	conf.Producer.Retry.Max = int(patience / retryPause)
	conf.Producer.Retry.Backoff = retryPause
	conf.Net.MaxOpenRequests = 1
	conf.Metadata.RefreshFrequency = 5 * time.Second
	conf.Metadata.Retry.Max = int(patience / retryPause)
	conf.Metadata.Retry.Backoff = retryPause
	conf.Consumer.IsolationLevel = sarama.ReadCommitted
	conf.Consumer.Return.Errors = true
	conf.Consumer.Retry.Backoff = retryPause
	return conf
}

const retryPause = 200 * time.Millisecond

func newSite(ctx context.Context, c config) (s *site, err error) {
	s = &site{}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.close())
		}
	}()
	s.cluster, err = realkafka.Start(ctx, realkafka.Options{Brokers: c.brokers, Version: c.kafka, Dir: filepath.Join(c.dir, "kafka"), Config: map[string]string{
		"min.insync.replicas": fmt.Sprint((c.brokers + 1) / 2), // of the internal topics, too: what they have acknowledged stays
		// A transaction whose process never comes back is ended when it is over, not up to ten seconds later.
		"transaction.abort.timed.out.transaction.cleanup.interval.ms": "1000",
	}})
	if err != nil {
		return s, err
	}
	if s.client, err = sarama.NewClient(s.cluster.Addrs(), saramaConfig()); err != nil {
		return s, err
	}
	if s.admin, err = sarama.NewClusterAdmin(s.cluster.Addrs(), saramaConfig()); err != nil {
		return s, err
	}
	return s, s.create(ctx, c)
}

func (s *site) close() error {
	var errs []error
	if s.admin != nil {
		errs = append(errs, s.admin.Close())
	}
	if s.client != nil {
		errs = append(errs, s.client.Close())
	}
	if s.cluster != nil {
		errs = append(errs, s.cluster.Close())
	}
	return errors.Join(errs...)
}

// create makes the topics. The table's is compacted all the time, and allows DeleteRecords, which a merely compacted one refuses.
func (s *site) create(ctx context.Context, c config) error {
	forever := map[string]string{"retention.ms": "-1", "retention.bytes": "-1"}
	table := realkafka.CompactSoon(int(time.Hour / time.Millisecond))
	table["cleanup.policy"], table["retention.ms"], table["segment.ms"] = "compact,delete", "-1", "3000"
	for topic, configs := range map[string]map[string]string{numbers.Name(): forever, tallies.Name(): table, steps.Name(): forever} {
		detail := &sarama.TopicDetail{NumPartitions: int32(c.partitions), ReplicationFactor: -1, ConfigEntries: map[string]*string{}}
		for key, value := range configs {
			detail.ConfigEntries[key] = &value
		}
		if err := s.admin.CreateTopic(topic, detail, false); err != nil {
			return fmt.Errorf("topic %s: %w", topic, err)
		}
	}
	return s.whole(ctx)
}

// whole returns when every replica of every partition is in sync, of Kafka's own topics, too: the next broker may go.
func (s *site) whole(ctx context.Context) error {
	return s.everywhere(ctx, func(p *sarama.PartitionMetadata) error {
		if len(p.Isr) < len(p.Replicas) {
			return fmt.Errorf("%d of %d replicas are in sync", len(p.Isr), len(p.Replicas))
		}
		return nil
	})
}

// deposed returns when a killed broker leads nothing any more. One that is back before that takes its old leaderships up for a
// moment: as a transactions' coordinator it reads what it alone has written, and may send the markers of a commit that the next
// coordinator knows nothing of and aborts.
func (s *site) deposed(ctx context.Context, id int) error {
	return s.everywhere(ctx, func(p *sarama.PartitionMetadata) error {
		if p.Leader == int32(id) {
			return fmt.Errorf("the killed broker %d leads", id)
		}
		return nil
	})
}

// everywhere returns when holds is nil for every partition there is.
func (s *site) everywhere(ctx context.Context, holds func(*sarama.PartitionMetadata) error) error {
	return persist(ctx, func() error {
		found, err := s.admin.DescribeTopics(nil) // all
		if err != nil {
			return err
		}
		known := map[string]bool{}
		for _, t := range found {
			known[t.Name] = t.Err == sarama.ErrNoError
			for _, p := range t.Partitions {
				err := holds(p)
				if p.Err != sarama.ErrNoError {
					err = p.Err
				}
				if err != nil {
					return fmt.Errorf("%s/%d: %w", t.Name, p.ID, err)
				}
			}
		}
		for _, topic := range []string{numbers.Name(), tallies.Name(), steps.Name()} {
			if !known[topic] {
				return fmt.Errorf("%s: %w", topic, sarama.ErrUnknownTopicOrPartition)
			}
		}
		return nil
	})
}

// persist does until it succeeds: a broker that it goes to may be away.
func persist(ctx context.Context, do func() error) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		err := do()
		if err == nil {
			return nil
		}
		if !rest(ctx, retryPause) {
			return errors.Join(context.Cause(ctx), err)
		}
	}
}

// rest tells whether ctx has lived for d.
func rest(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// groupCoordinator is the id of the broker that coordinates the group now.
func (s *site) groupCoordinator(ctx context.Context) (id int, err error) {
	err = persist(ctx, func() error {
		if err := s.client.RefreshCoordinator(groupName); err != nil {
			return err
		}
		b, err := s.client.Coordinator(groupName)
		if err == nil {
			id = int(b.ID())
		}
		return err
	})
	return id, err
}

// transactionCoordinator is the id of the broker that coordinates the transactions of one of the processes now.
func (s *site) transactionCoordinator(ctx context.Context, draw func(n int) int) (id int, err error) {
	err = persist(ctx, func() error {
		found, err := s.admin.DescribeConsumerGroups([]string{groupName})
		if err != nil {
			return err
		}
		var names []string
		for _, m := range found[0].Members {
			if m.GroupInstanceId != nil {
				names = append(names, groupName+"-"+*m.GroupInstanceId)
			}
		}
		if len(names) == 0 {
			return errors.New("the group has no members")
		}
		name := names[draw(len(names))]
		if err := s.client.RefreshTransactionCoordinator(name); err != nil {
			return err
		}
		b, err := s.client.TransactionCoordinator(name)
		if err == nil {
			id = int(b.ID())
		}
		return err
	})
	return id, err
}

// committed gives the group's place in each partition of its input, 0 for none.
func (s *site) committed(ctx context.Context, partitions int) (offsets map[int32]int64, err error) {
	var all []int32
	for p := range int32(partitions) {
		all = append(all, p)
	}
	err = persist(ctx, func() error {
		found, err := s.admin.ListConsumerGroupOffsets(groupName, map[string][]int32{numbers.Name(): all})
		if err != nil {
			return err
		}
		if found.Err != sarama.ErrNoError {
			return found.Err
		}
		offsets = map[int32]int64{}
		for _, p := range all {
			block := found.GetBlock(numbers.Name(), p)
			if block == nil || block.Err != sarama.ErrNoError {
				return fmt.Errorf("no committed offset of %s/%d: %+v", numbers.Name(), p, block)
			}
			offsets[p] = max(0, block.Offset)
		}
		return nil
	})
	return offsets, err
}

// behind tells of a partition of the input with records that the group has not committed, "" for none.
func (s *site) behind(ctx context.Context, partitions int) (string, error) {
	committed, err := s.committed(ctx, partitions)
	if err != nil {
		return "", err
	}
	var text []string
	for p, at := range committed {
		end, err := s.client.GetOffset(numbers.Name(), p, sarama.OffsetNewest)
		if err != nil {
			return "", err
		}
		if at < end {
			text = append(text, fmt.Sprintf("partition %d: %d of %d", p, at, end))
		}
	}
	return strings.Join(text, ", "), nil
}

// trim raises the log starts of a topic.
func (s *site) trim(ctx context.Context, topic string, starts map[int32]int64) error {
	return persist(ctx, func() error { return s.admin.DeleteRecords(topic, starts) })
}

// endMark is the key of the record that ends a topic.
const endMark = "~end"

// finish writes an end mark into each partition.
func (s *site) finish(partitions int) error {
	conf := saramaConfig()
	conf.Producer.Partitioner = sarama.NewManualPartitioner
	p, err := sarama.NewSyncProducer(s.cluster.Addrs(), conf)
	if err != nil {
		return err
	}
	var marks []*sarama.ProducerMessage
	for _, topic := range []string{numbers.Name(), tallies.Name(), steps.Name()} {
		for n := range int32(partitions) {
			marks = append(marks, &sarama.ProducerMessage{Topic: topic, Partition: n, Key: sarama.StringEncoder(endMark), Value: sarama.StringEncoder("0")})
		}
	}
	return errors.Join(p.SendMessages(marks), p.Close())
}
