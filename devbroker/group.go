package devbroker

import (
	"context"
	"errors"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// GroupInfo is a consumer group as the broker sees it.
type GroupInfo struct {
	State      string // Empty, PreparingRebalance, CompletingRebalance, Stable or Dead; "" where there is no such group
	Generation int32
	Members    []Member
	Commits    map[string]map[int32]Commit // by topic and partition
}

// A Member is a member of a group.
type Member struct {
	ID         string
	InstanceID string // "" for a dynamic member
	ClientID   string
	Topics     []string           // subscribed
	Assigned   map[string][]int32 // partitions by topic, where the assignment is of protocol type consumer
}

// A Commit is a committed offset.
type Commit struct {
	Offset      int64
	LeaderEpoch int32 // -1 where none was given
	Metadata    string
}

// Group describes a group; of one that does not exist all fields are zero.
func (b *Broker) Group(name string) (GroupInfo, error) {
	var info GroupInfo
	err := b.use(func(c *kfake.Cluster) error {
		if g := c.GroupInfo(name); g != nil {
			info = groupInfo(g)
		}
		return nil
	})
	return info, err
}

// WaitGroup waits until done says so of a group, or for the end of ctx, whose error it then returns with the last state.
func (b *Broker) WaitGroup(ctx context.Context, name string, done func(GroupInfo) bool) (GroupInfo, error) {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		info, err := b.Group(name)
		if err != nil || done(info) {
			return info, err
		}
		select {
		case <-ctx.Done():
			return info, ctx.Err()
		case <-tick.C:
		}
	}
}

func groupInfo(g *kfake.GroupInfo) GroupInfo {
	info := GroupInfo{State: g.State, Generation: g.Epoch, Commits: map[string]map[int32]Commit{}}
	for _, m := range g.Members {
		member := Member{ID: m.MemberID, ClientID: m.ClientID, Topics: m.SubscribedTopics, Assigned: m.Assignment}
		if m.InstanceID != nil {
			member.InstanceID = *m.InstanceID
		}
		info.Members = append(info.Members, member)
	}
	for topic, parts := range g.Commits {
		info.Commits[topic] = map[int32]Commit{}
		for p, c := range parts {
			info.Commits[topic][p] = Commit{Offset: c.Offset, LeaderEpoch: c.LeaderEpoch, Metadata: c.Metadata}
		}
	}
	return info
}

// SetOffset commits an offset for a group without members, as kafka-consumer-groups.sh --reset-offsets does.
func (b *Broker) SetOffset(group, topic string, partition int32, c Commit) error {
	req := kmsg.NewPtrOffsetCommitRequest()
	req.Version, req.Group = flexible[kmsg.OffsetCommit], group
	t := kmsg.NewOffsetCommitRequestTopic()
	t.Topic = topic
	p := kmsg.NewOffsetCommitRequestTopicPartition()
	p.Partition, p.Offset, p.LeaderEpoch, p.Metadata = partition, c.Offset, c.LeaderEpoch, &c.Metadata
	t.Partitions = append(t.Partitions, p)
	req.Topics = append(req.Topics, t)
	resp, err := b.askCoordinator(group, req)
	if err != nil {
		return err
	}
	return partitionError("set offset", topic, partition, kerr.ErrorForCode(resp.(*kmsg.OffsetCommitResponse).Topics[0].Partitions[0].ErrorCode))
}

// DeleteOffsets forgets what a group without members has committed of a topic, as when it has expired.
func (b *Broker) DeleteOffsets(group, topic string) error {
	_, n, err := b.Config(topic)
	if err != nil {
		return err
	}
	req := kmsg.NewPtrOffsetDeleteRequest()
	req.Group = group
	t := kmsg.NewOffsetDeleteRequestTopic()
	t.Topic = topic
	for p := range int32(n) {
		t.Partitions = append(t.Partitions, kmsg.OffsetDeleteRequestTopicPartition{Partition: p})
	}
	req.Topics = append(req.Topics, t)
	resp, err := b.askCoordinator(group, req)
	if err != nil {
		return err
	}
	answer := resp.(*kmsg.OffsetDeleteResponse)
	err = topicError("delete offsets", topic, kerr.ErrorForCode(answer.ErrorCode))
	for _, t := range answer.Topics {
		for _, p := range t.Partitions {
			err = errors.Join(err, partitionError("delete offsets", topic, p.Partition, kerr.ErrorForCode(p.ErrorCode)))
		}
	}
	return err
}
