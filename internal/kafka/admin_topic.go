package kafka

import (
	"context"
	"errors"
	"maps"

	"github.com/IBM/sarama"

	"github.com/tarnstream/tarn/state"
)

// DeleteRecords raises the log start of partitions to the offsets given; -1 means the high watermark. Retriable trouble
// is tried again until ctx ends; that of one partition keeps no other waiting.
// An offset above the end is an *Error, as is a topic that is only compacted.
func (c *Client) DeleteRecords(ctx context.Context, topic string, offsets map[int32]int64) error {
	todo := maps.Clone(offsets)
	return retry(ctx, func() error {
		byNode, fault := c.byLeader(ctx, topic, todo)
		for node, at := range byNode {
			if err := c.deleteRecords(ctx, node, topic, at); err != nil {
				c.forgetTopic(topic)
				fault = worse(fault, err)
				continue
			}
			maps.DeleteFunc(todo, func(p int32, _ int64) bool { _, done := at[p]; return done })
		}
		return fault
	})
}

// byLeader divides partitions among their leaders; err tells of one that has none.
func (c *Client) byLeader(ctx context.Context, topic string, offsets map[int32]int64) (byNode map[int32]map[int32]int64, err error) {
	byNode = map[int32]map[int32]int64{}
	for p, o := range offsets {
		lead, fault := c.leader(ctx, topic, p)
		if fault != nil {
			err = worse(err, fault)
			continue
		}
		if byNode[lead.Leader] == nil {
			byNode[lead.Leader] = map[int32]int64{}
		}
		byNode[lead.Leader][p] = o
	}
	return byNode, err
}

// worse gives the error of two that asking again does not cure, where there is one.
func worse(a, b error) error {
	if a == nil || b != nil && retriable(a) {
		return b
	}
	return a
}

// deleteRecords asks one leader. To ask again for a partition that is done changes nothing.
func (c *Client) deleteRecords(ctx context.Context, node int32, topic string, at map[int32]int64) error {
	var res *sarama.DeleteRecordsResponse
	err := c.onNode(ctx, node, use{ForAdmin, nil}, func(b *sarama.Broker) (err error) {
		res, err = b.DeleteRecords(&sarama.DeleteRecordsRequest{Version: 1, Timeout: adminTimeout,
			Topics: map[string]*sarama.DeleteRecordsRequestTopic{topic: {PartitionOffsets: at}}})
		return err
	})
	if err != nil {
		return err
	}
	for p := range at {
		t := res.Topics[topic]
		if t == nil || t.Partitions[p] == nil {
			return errNoAnswer
		}
		if err := codeError(t.Partitions[p].Err, "DeleteRecords", topic, p); err != nil {
			return err
		}
	}
	return nil
}

// TopicConfigs reads the topics' live configs, defaults included, by topic and name. A topic that the broker asked does
// not know is a *state.TopicMissingError; the other topics' configs come with the joined errors.
func (c *Client) TopicConfigs(ctx context.Context, names ...string) (map[string]map[string]string, error) {
	found := make(map[string]map[string]string, len(names))
	if len(names) == 0 {
		return found, nil
	}
	req := &sarama.DescribeConfigsRequest{Version: 2}
	for _, n := range names {
		req.Resources = append(req.Resources, &sarama.ConfigResource{Type: sarama.TopicResource, Name: n})
	}
	faults := map[string]error{}
	err := retry(ctx, func() error {
		var res *sarama.DescribeConfigsResponse
		err := c.onAny(ctx, ForAdmin, func(b *sarama.Broker) (err error) {
			res, err = b.DescribeConfigs(req)
			return err
		})
		if err != nil {
			return err
		}
		clear(faults)
		return readConfigs(res, found, faults)
	})
	return found, errors.Join(append(sortedFaults(faults), err)...)
}

func readConfigs(res *sarama.DescribeConfigsResponse, found map[string]map[string]string, faults map[string]error) error {
	for _, r := range res.Resources {
		e := &Error{Code: r.ErrorCode, Request: "DescribeConfigs", Topic: r.Name, Partition: -1, Detail: r.ErrorMsg}
		switch code := sarama.KError(r.ErrorCode); {
		case code == sarama.ErrUnknownTopicOrPartition:
			faults[r.Name] = &state.TopicMissingError{Topic: r.Name}
			continue
		case code != sarama.ErrNoError && e.Retriable():
			return e
		case code != sarama.ErrNoError:
			faults[r.Name] = e
			continue
		}
		conf := make(map[string]string, len(r.Configs))
		for _, entry := range r.Configs {
			conf[entry.Name] = entry.Value
		}
		found[r.Name] = conf
	}
	return nil
}
