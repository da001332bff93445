//go:build kafka

package e2e_test

import (
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/IBM/sarama"
	"github.com/stretchr/testify/require"

	"github.com/tarnstream/tarn/internal/realkafka"
)

// patience bounds whatever a test waits for. A broker on a loaded machine takes its time.
const patience = 60 * time.Second

// site is a Kafka cluster as one test uses it: by sarama's own clients, which know nothing of tarn.
type site struct {
	*testing.T
	cluster *realkafka.Cluster
	name    string // begins the names of topics and groups
	client  sarama.Client
	admin   sarama.ClusterAdmin
	out     sarama.SyncProducer
	keys    map[string]bool // written by put and transaction
}

func newSite(t *testing.T) *site {
	t.Parallel()
	return siteOn(t, shared)
}

func siteOn(t *testing.T, cluster *realkafka.Cluster) *site {
	t.Helper()
	name := strings.ToLower(strings.NewReplacer("Test", "", "/", "-", " ", "-").Replace(t.Name()))
	name += "-" + strconv.FormatUint(uint64(rand.Uint32()), 36) // for -count
	s := &site{T: t, cluster: cluster, name: name, keys: map[string]bool{}}
	var err error
	s.client, err = sarama.NewClient(cluster.Addrs(), saramaConfig())
	require.NoError(t, err)
	s.admin, err = sarama.NewClusterAdmin(cluster.Addrs(), saramaConfig())
	require.NoError(t, err)
	s.out, err = sarama.NewSyncProducer(cluster.Addrs(), saramaConfig())
	require.NoError(t, err)
	t.Cleanup(func() {
		require.NoError(t, s.out.Close())
		require.NoError(t, s.admin.Close())
		require.NoError(t, s.client.Close())
	})
	return s
}

func saramaConfig() *sarama.Config {
	conf := sarama.NewConfig()
	conf.Version = sarama.V2_8_0_0
	conf.Producer.RequiredAcks = sarama.WaitForAll
	conf.Producer.Return.Successes = true
	conf.Producer.Partitioner = sarama.NewManualPartitioner
	conf.Net.MaxOpenRequests = 1
	conf.Metadata.RefreshFrequency = time.Second
	conf.Consumer.IsolationLevel = sarama.ReadCommitted
	return conf
}

// topic gives the test's own topic of that short name.
func (s *site) topic(short string) string { return s.name + "-" + short }

// create makes a topic.
func (s *site) create(short string, partitions int32, configs ...map[string]string) {
	s.Helper()
	detail := &sarama.TopicDetail{NumPartitions: partitions, ReplicationFactor: -1, ConfigEntries: map[string]*string{}}
	for _, conf := range configs {
		for key, value := range conf {
			detail.ConfigEntries[key] = &value
		}
	}
	require.NoError(s, s.admin.CreateTopic(s.topic(short), detail, false))
	s.eventually("the topic has leaders", func() bool {
		for p := range partitions {
			if err := s.client.RefreshMetadata(s.topic(short)); err != nil {
				return false
			}
			if _, err := s.client.Leader(s.topic(short), p); err != nil {
				return false
			}
		}
		return true
	})
}

// remove deletes a topic and waits until it is gone.
func (s *site) remove(short string) {
	s.Helper()
	require.NoError(s, s.admin.DeleteTopic(s.topic(short)))
	s.eventually("the topic is gone", func() bool {
		found, err := s.admin.DescribeTopics([]string{s.topic(short)})
		return err == nil && found[0].Err == sarama.ErrUnknownTopicOrPartition
	})
}

func (s *site) eventually(what string, holds func() bool) {
	s.Helper()
	require.Eventually(s, holds, patience, 100*time.Millisecond, what)
}

// awaitSign waits until sign has come.
func (s *site) awaitSign(what string, sign <-chan struct{}) {
	s.Helper()
	select {
	case <-sign:
	case <-time.After(patience):
		require.FailNow(s, "still not: "+what)
	}
}

// put writes to partition 0; a value of none is a deletion.
func (s *site) put(short string, rows ...string) {
	s.Helper()
	for i := 0; i < len(rows); i += 2 {
		_, _, err := s.out.SendMessage(s.message(short, rows[i], rows[i+1]))
		require.NoError(s, err)
	}
}

// none is the value that deletes.
const none = "\x00none"

func (s *site) message(short, key, value string) *sarama.ProducerMessage {
	s.keys[key] = true
	m := &sarama.ProducerMessage{Topic: s.topic(short), Key: sarama.StringEncoder(key)}
	if value != none {
		m.Value = sarama.StringEncoder(value)
	}
	return m
}

// transaction writes rows in a transaction, which end then commits or aborts.
func (s *site) transaction(short string, rows ...string) sarama.AsyncProducer {
	s.Helper()
	conf := saramaConfig()
	conf.Producer.Idempotent = true
	conf.Producer.Transaction.ID = s.topic("tx")
	conf.Producer.Transaction.Timeout = 30 * time.Second
	p, err := sarama.NewAsyncProducer(s.cluster.Addrs(), conf)
	require.NoError(s, err)
	require.NoError(s, p.BeginTxn())
	for i := 0; i < len(rows); i += 2 {
		p.Input() <- s.message(short, rows[i], rows[i+1])
		select {
		case <-p.Successes():
		case err := <-p.Errors():
			require.NoError(s, err)
		}
	}
	return p
}

// end ends a transaction.
func (s *site) end(p sarama.AsyncProducer, how func(sarama.AsyncProducer) error) {
	s.Helper()
	require.NoError(s, how(p))
	require.NoError(s, p.Close())
}

// bounds are the log start and the read-uncommitted end of partition 0.
func (s *site) bounds(short string) (start, end int64) {
	s.Helper()
	start, err := s.client.GetOffset(s.topic(short), 0, sarama.OffsetOldest)
	require.NoError(s, err)
	end, err = s.client.GetOffset(s.topic(short), 0, sarama.OffsetNewest)
	require.NoError(s, err)
	return start, end
}

// committed is the offset that the group has committed of partition 0, -1 without one.
func (s *site) committed(short string) int64 {
	s.Helper()
	topic := s.topic(short)
	var offset int64
	s.eventually("the group's coordinator answers", func() bool {
		found, err := s.admin.ListConsumerGroupOffsets(s.topic("group"), map[string][]int32{topic: {0}})
		if err != nil || found.Err != sarama.ErrNoError || found.GetBlock(topic, 0).Err != sarama.ErrNoError {
			return false
		}
		offset = found.GetBlock(topic, 0).Offset
		return true
	})
	return offset
}

// configure changes a config of a topic, and waits until the broker says so.
func (s *site) configure(short, key, value string) {
	s.Helper()
	set := map[string]sarama.IncrementalAlterConfigsEntry{key: {Operation: sarama.IncrementalAlterConfigsOperationSet, Value: &value}}
	require.NoError(s, s.admin.IncrementalAlterConfig(sarama.TopicResource, s.topic(short), set, false))
	s.eventually("the config is set", func() bool {
		found, err := s.admin.DescribeConfig(sarama.ConfigResource{Type: sarama.TopicResource, Name: s.topic(short), ConfigNames: []string{key}})
		return err == nil && len(found) == 1 && found[0].Value == value
	})
}

// trim raises the log start of partition 0.
func (s *site) trim(short string, start int64) {
	s.Helper()
	require.NoError(s, s.admin.DeleteRecords(s.topic(short), map[int32]int64{0: start}))
}

// endMark is the key that records writes behind what it reads, to see the end.
const endMark = "~end"

// records are those of partition 0 as a read_committed consumer gets them, up to now.
func (s *site) records(short string) []*sarama.ConsumerMessage {
	s.Helper()
	_, mark, err := s.out.SendMessage(&sarama.ProducerMessage{Topic: s.topic(short), Key: sarama.StringEncoder(endMark), Value: sarama.StringEncoder("x")})
	require.NoError(s, err)
	consumer, err := sarama.NewConsumerFromClient(s.client)
	require.NoError(s, err)
	defer consumer.Close()
	part, err := consumer.ConsumePartition(s.topic(short), 0, sarama.OffsetOldest)
	require.NoError(s, err)
	defer part.Close()
	deadline := time.After(patience)
	for all := []*sarama.ConsumerMessage(nil); ; {
		select {
		case m := <-part.Messages():
			if m.Offset >= mark {
				return all
			}
			if string(m.Key) != endMark {
				all = append(all, m)
			}
		case <-deadline:
			require.FailNow(s, "the topic is not read to its end")
		}
	}
}

// fold is what a table of the topic has.
func (s *site) fold(short string) map[string]string {
	s.Helper()
	rows := map[string]string{}
	for _, m := range s.records(short) {
		if m.Value == nil {
			delete(rows, string(m.Key))
		} else {
			rows[string(m.Key)] = string(m.Value)
		}
	}
	return rows
}

// cleanedOf writes filler until the cleaner has left no record of a key, and no deletion either.
func (s *site) cleanedOf(short, key string) {
	s.Helper()
	filler := 0
	s.eventually("the cleaner has left nothing of "+key, func() bool {
		filler++
		s.put(short, "filler", strconv.Itoa(filler))
		return !slices.ContainsFunc(s.records(short), func(m *sarama.ConsumerMessage) bool { return string(m.Key) == key })
	})
}
