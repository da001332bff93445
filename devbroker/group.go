package devbroker

import (
	"context"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
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
