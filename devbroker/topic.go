package devbroker

import (
	"errors"
	"fmt"
	"math"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Bounds is what the broker knows of one partition's log.
type Bounds struct {
	Start  int64 // first offset present
	End    int64 // next offset to be written
	Stable int64 // last stable offset: below it every transaction has ended
	Epoch  int32 // leader epoch
	Leader int32 // node
}

// CreateTopic creates a topic; config may be nil.
func (b *Broker) CreateTopic(name string, partitions int, config map[string]string) error {
	if partitions < 1 || partitions > math.MaxInt32 {
		return fmt.Errorf("devbroker: create topic %s: %d partitions", name, partitions)
	}
	return b.use(func(c *kfake.Cluster) error {
		return topicError("create topic", name, c.CreateTopic(name, int32(partitions), config))
	})
}

// DeleteTopic deletes a topic. Created again it has another id.
func (b *Broker) DeleteTopic(name string) error {
	err := b.use(func(c *kfake.Cluster) error { return topicError("delete topic", name, c.DeleteTopic(name)) })
	if err == nil {
		b.hollow.forget(name)
	}
	return err
}

// AddPartitions raises a topic's number of partitions to total.
func (b *Broker) AddPartitions(name string, total int) error {
	req := kmsg.NewPtrCreatePartitionsRequest()
	req.Version, req.TimeoutMillis = 3, 5000
	t := kmsg.NewCreatePartitionsRequestTopic()
	t.Topic, t.Count = name, int32(min(total, math.MaxInt32))
	req.Topics = append(req.Topics, t)
	resp, err := b.ask(int32(len(b.gates)-1), req) // the last node is the controller
	if err != nil {
		return err
	}
	return topicError("add partitions", name, kerr.ErrorForCode(resp.(*kmsg.CreatePartitionsResponse).Topics[0].ErrorCode))
}

// SetConfig changes one setting of a topic; an empty value puts the default back.
func (b *Broker) SetConfig(topic, key, value string) error {
	req := kmsg.NewPtrIncrementalAlterConfigsRequest()
	req.Version = 1
	r := kmsg.NewIncrementalAlterConfigsRequestResource()
	r.ResourceType, r.ResourceName = kmsg.ConfigResourceTypeTopic, topic
	c := kmsg.NewIncrementalAlterConfigsRequestResourceConfig()
	c.Name, c.Op, c.Value = key, kmsg.IncrementalAlterConfigOpSet, &value
	if value == "" {
		c.Op, c.Value = kmsg.IncrementalAlterConfigOpDelete, nil
	}
	r.Configs = append(r.Configs, c)
	req.Resources = append(req.Resources, r)
	resp, err := b.ask(0, req)
	if err != nil {
		return err
	}
	return topicError("set config", topic, kerr.ErrorForCode(resp.(*kmsg.IncrementalAlterConfigsResponse).Resources[0].ErrorCode))
}

// Config gives the settings of a topic that are not at their defaults, and its number of partitions.
func (b *Broker) Config(topic string) (config map[string]string, partitions int, err error) {
	config = map[string]string{}
	err = b.use(func(c *kfake.Cluster) error {
		info := c.TopicInfo(topic)
		if info == nil {
			return &Error{Op: "config", Topic: topic, Partition: -1, Code: UnknownTopic}
		}
		for k, v := range info.Configs {
			if v != nil {
				config[k] = *v
			}
		}
		partitions = len(c.PartitionInfos(topic))
		return nil
	})
	return config, partitions, err
}

// TopicID is the id of a topic, zeros where there is none.
func (b *Broker) TopicID(name string) [16]byte {
	var id [16]byte
	_ = b.use(func(c *kfake.Cluster) error { // a closed broker has no topics
		if info := c.TopicInfo(name); info != nil {
			id = info.TopicID
		}
		return nil
	})
	return id
}

// Bounds gives the offsets, the epoch and the leader of a partition.
func (b *Broker) Bounds(topic string, partition int32) (Bounds, error) {
	var bounds Bounds
	err := b.use(func(c *kfake.Cluster) error {
		p := c.PartitionInfo(topic, partition)
		if p == nil {
			return &Error{Op: "bounds", Topic: topic, Partition: partition, Code: UnknownTopic}
		}
		bounds = Bounds{Start: p.LogStartOffset, End: p.HighWatermark, Stable: p.LastStableOffset, Epoch: p.Epoch, Leader: p.Leader}
		return nil
	})
	return bounds, err
}

// DeleteRecords raises a partition's log start to offset; -1 empties the log.
func (b *Broker) DeleteRecords(topic string, partition int32, offset int64) error {
	return b.use(func(c *kfake.Cluster) error {
		return partitionError("delete records", topic, partition, c.DeleteRecords(topic, partition, offset))
	})
}

// Compact compacts the compacted topics in the way of the table in the package's doc. See Clean for Kafka's way.
func (b *Broker) Compact() error {
	return b.use(func(c *kfake.Cluster) error { c.Compact(); return nil })
}

// ApplyRetention removes what retention.ms and retention.bytes no longer keep.
func (b *Broker) ApplyRetention() error {
	return b.use(func(c *kfake.Cluster) error { c.ApplyRetention(); return nil })
}

// MoveLeader makes a node the leader of a partition, under a new epoch even where it was the leader before.
func (b *Broker) MoveLeader(topic string, partition, node int32) error {
	return b.use(func(c *kfake.Cluster) error {
		if err := c.MoveTopicPartition(topic, partition, node); err != nil {
			return fmt.Errorf("devbroker: move leader of %s/%d to %d: %w", topic, partition, node, err)
		}
		return nil
	})
}

// ShuffleLeaders gives every partition a leader by chance, and a new epoch.
func (b *Broker) ShuffleLeaders() error {
	return b.use(func(c *kfake.Cluster) error { c.ShufflePartitionLeaders(); return nil })
}

// MoveCoordinators gives groups and transactional ids other coordinators, where there are several nodes.
func (b *Broker) MoveCoordinators() error {
	return b.use(func(c *kfake.Cluster) error { c.RehashCoordinators(); return nil })
}

// Coordinator is the node that coordinates a group or a transactional id, -1 after Close.
func (b *Broker) Coordinator(id string) int32 {
	node := int32(-1)
	_ = b.use(func(c *kfake.Cluster) error { node = c.CoordinatorFor(id); return nil }) // closed: -1
	return node
}

func topicError(op, topic string, err error) error { return partitionError(op, topic, -1, err) }

// partitionError turns the cluster's error into our own.
func partitionError(op, topic string, partition int32, err error) error {
	if err == nil {
		return nil
	}
	if k, ok := errors.AsType[*kerr.Error](err); ok {
		return &Error{Op: op, Topic: topic, Partition: partition, Code: Code(k.Code)}
	}
	return fmt.Errorf("devbroker: %s %s: %w", op, topic, err)
}
