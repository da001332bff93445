package kafka

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/IBM/sarama"

	"github.com/tarnstream/tarn/state"
)

// Topic is what metadata says of a topic. Err is nil for a topic that exists, a *state.TopicMissingError for one that
// does not, else an *Error (no right to see it, for one).
type Topic struct {
	Name       string
	ID         state.TopicID
	Partitions []Partition // by partition number
	Err        error
}

// Partition is one partition's leader; Leader is -1 while there is none.
type Partition struct {
	Leader   int32
	Epoch    int32
	Replicas []int32
}

// Refresh asks a broker for fresh metadata of the named topics (at least one) and remembers it. It never creates a topic.
// An error is about the request; a topic's own trouble stands in its Err.
func (c *Client) Refresh(ctx context.Context, topics ...string) (map[string]Topic, error) {
	if len(topics) == 0 {
		topics = []string{"__consumer_offsets"} // an empty list would ask for every topic of the cluster
	}
	var res *sarama.MetadataResponse
	err := c.onAny(ctx, ForMetadata, func(b *sarama.Broker) (err error) {
		res, err = b.GetMetadata(&sarama.MetadataRequest{Version: 10, Topics: topics})
		return err
	})
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.nodes = make(map[int32]string, len(res.Brokers))
	for _, b := range res.Brokers {
		c.nodes[b.ID()] = b.Addr()
	}
	c.control = res.ControllerID
	if res.ClusterID != nil {
		c.clusterID = *res.ClusterID
	}
	found := make(map[string]Topic, len(topics))
	for _, t := range res.Topics {
		found[t.Name] = toTopic(t)
		c.topics[t.Name] = found[t.Name]
	}
	return found, nil
}

// Topics is Refresh, tried again until ctx ends while no broker answers.
func (c *Client) Topics(ctx context.Context, topics ...string) (found map[string]Topic, err error) {
	err = retry(ctx, func() error {
		found, err = c.Refresh(ctx, topics...)
		return err
	})
	return found, err
}

func toTopic(t *sarama.TopicMetadata) Topic {
	out := Topic{Name: t.Name, ID: state.TopicID(t.Uuid), Partitions: make([]Partition, len(t.Partitions))}
	switch t.Err {
	case sarama.ErrNoError, sarama.ErrLeaderNotAvailable:
	case sarama.ErrUnknownTopicOrPartition:
		out.Err = &state.TopicMissingError{Topic: t.Name}
		return out
	default:
		out.Err = codeError(t.Err, "Metadata", t.Name, -1)
		return out
	}
	for i := range out.Partitions {
		out.Partitions[i] = Partition{Leader: -1, Epoch: state.UnknownEpoch}
	}
	for _, p := range t.Partitions {
		if int(p.ID) < len(out.Partitions) {
			out.Partitions[p.ID] = Partition{Leader: p.Leader, Epoch: p.LeaderEpoch, Replicas: p.Replicas}
		}
	}
	return out
}

// WatchPartitions looks now and then whether the topics have the numbers of partitions given. It ends with a
// *PartitionCountError for the first that has not, or, without an error, with ctx. A broker that does not answer and a
// topic that is missing are left to those who read.
func (c *Client) WatchPartitions(ctx context.Context, every time.Duration, counts map[string]int32) error {
	names := slices.Sorted(maps.Keys(counts))
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
		found, err := c.Refresh(ctx, names...)
		if err != nil {
			continue
		}
		for _, name := range names {
			if t, ok := found[name]; ok && t.Err == nil {
				if err := t.count(counts[name]); err != nil {
					return err
				}
			}
		}
	}
}

// count compares the number of partitions.
func (t *Topic) count(was int32) error {
	if is := int32(len(t.Partitions)); is != was {
		return &PartitionCountError{Topic: t.Name, Was: was, Is: is}
	}
	return nil
}

// cached is what metadata said last of a topic.
func (c *Client) cached(topic string) (Topic, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	t, ok := c.topics[topic]
	return t, ok
}

// leader gives the broker that leads a partition, from the last metadata or, where that knows none, from fresh.
// Errors: *state.TopicMissingError, *UnreachableError, *Error (retriable while there is no leader).
func (c *Client) leader(ctx context.Context, topic string, partition int32) (Partition, error) {
	t, ok := c.cached(topic)
	if !ok || t.Err != nil || int(partition) >= len(t.Partitions) || t.Partitions[partition].Leader < 0 {
		fresh, err := c.Refresh(ctx, topic)
		if err != nil {
			return Partition{}, err
		}
		t = fresh[topic]
	}
	switch {
	case t.Err != nil:
		return Partition{}, t.Err
	case int(partition) >= len(t.Partitions):
		return Partition{}, &Error{Code: int16(sarama.ErrUnknownTopicOrPartition), Request: "Metadata", Topic: topic, Partition: partition}
	case t.Partitions[partition].Leader < 0:
		return Partition{}, &Error{Code: int16(sarama.ErrLeaderNotAvailable), Request: "Metadata", Topic: topic, Partition: partition}
	}
	return t.Partitions[partition], nil
}

// coordKey is a group or a transactional id.
type coordKey struct {
	kind sarama.CoordinatorType
	id   string
}

func ofGroup(group string) coordKey    { return coordKey{sarama.CoordinatorGroup, group} }
func ofTransaction(id string) coordKey { return coordKey{sarama.CoordinatorTransaction, id} }

// coordinator gives the broker that coordinates a group or a producer's transactions; forgetCoordinator makes the next call
// ask afresh.
func (c *Client) coordinator(ctx context.Context, of coordKey) (int32, error) {
	c.mu.Lock()
	node, ok := c.coords[of]
	c.mu.Unlock()
	if ok {
		return node, nil
	}
	var res *sarama.FindCoordinatorResponse
	err := c.onAny(ctx, ForMetadata, func(b *sarama.Broker) (err error) {
		if of.kind == sarama.CoordinatorTransaction {
			if err := c.checkTransactions(b); err != nil {
				return err
			}
		}
		res, err = b.FindCoordinator(&sarama.FindCoordinatorRequest{Version: 2, CoordinatorKey: of.id, CoordinatorType: of.kind})
		return err
	})
	if err != nil {
		return -1, err
	}
	if err := of.in(codeError(res.Err, "FindCoordinator", "", -1)); err != nil {
		return -1, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.coords[of] = res.Coordinator.ID()
	c.nodes[res.Coordinator.ID()] = res.Coordinator.Addr()
	return res.Coordinator.ID(), nil
}

func (c *Client) forgetCoordinator(of coordKey) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.coords, of)
}

// onCoordinator runs fn on a coordinator. After a transport error the coordinator is looked up afresh.
func (c *Client) onCoordinator(ctx context.Context, of coordKey, u use, fn func(*sarama.Broker) error) error {
	node, err := c.coordinator(ctx, of)
	if err != nil {
		return err
	}
	err = c.onNode(ctx, node, u, fn)
	if err != nil {
		c.forgetCoordinator(of)
	}
	return err
}
