package kafka

import (
	"context"
	"errors"
	"time"

	"github.com/IBM/sarama"

	"github.com/tarnstream/tarn/state"
)

// Member is the identity an offset commit carries. Outside a group's membership it has no ID and Generation -1; the
// broker takes that only while the group has no members.
type Member struct {
	ID         string
	InstanceID string // empty for a dynamic member
	Generation int32
}

// Offset is a committed position: the next offset to read.
type Offset struct {
	// Position is state.UnknownOffset where the group has committed none. That is never 0.
	Position int64
	// LeaderEpoch is the epoch of the batch before Position, state.UnknownEpoch where it is not known.
	LeaderEpoch int32
	// TopicID is the topic that Position speaks of, zero where it is not known. It travels in the commit's metadata.
	TopicID state.TopicID
}

// CommitOffsets commits positions, by topic and partition, for a group. Retriable trouble (a coordinator that moves, a
// lost connection) is tried again until ctx ends, for the partitions not confirmed yet.
//
// errors.Is matches ErrIllegalGeneration, ErrRebalanceInProgress, ErrUnknownMember and ErrFencedInstance, which come
// back at once: the caller knows whether its claim still lives. A topic that brokers do not know for 5 s is a
// *state.TopicMissingError; what was to be committed of others is. No offsets, no request.
func (c *Client) CommitOffsets(ctx context.Context, group string, m Member, offsets map[string]map[int32]Offset) error {
	todo := newCommit(offsets)
	var gone absence
	return retry(ctx, func() error {
		if len(todo) == 0 {
			return nil
		}
		var res *sarama.OffsetCommitResponse
		err := c.onCoordinator(ctx, ofGroup(group), use{ForCommit, nil}, func(b *sarama.Broker) (err error) {
			res, err = b.CommitOffset(todo.request(group, m))
			return err
		})
		if err != nil {
			return err
		}
		err = ofGroup(group).in(todo.apply(res))
		if moved(err) {
			c.forgetCoordinator(ofGroup(group))
		}
		if e, ok := errors.AsType[*Error](err); !ok || e.Code != int16(sarama.ErrUnknownTopicOrPartition) {
			gone = absence{}
		} else if gone.confirmed(time.Now(), absenceTimes, goneTime) {
			return &state.TopicMissingError{Topic: e.Topic}
		}
		return err
	})
}

// goneTime is how long a topic with committed offsets may be unknown to the coordinator.
const goneTime = 5 * time.Second

// commit is what is not confirmed yet.
type commit map[laneKey]Offset

func newCommit(offsets map[string]map[int32]Offset) commit {
	todo := commit{}
	for topic, parts := range offsets {
		for p, o := range parts {
			todo[laneKey{topic, p}] = o
		}
	}
	return todo
}

func (t commit) request(group string, m Member) *sarama.OffsetCommitRequest {
	req := &sarama.OffsetCommitRequest{Version: 7, ConsumerGroup: group, ConsumerGroupGeneration: m.Generation, ConsumerID: m.ID}
	if m.InstanceID != "" {
		req.GroupInstanceId = &m.InstanceID
	}
	for k, o := range t {
		req.AddBlockWithLeaderEpoch(k.topic, k.partition, o.Position, o.LeaderEpoch, 0, encodeMetadata(o.TopicID))
	}
	return req
}

// apply removes what the answer confirms. The error is a final one where there is one, else a retriable one.
func (t commit) apply(res *sarama.OffsetCommitResponse) error {
	var again, final error
	for k := range t {
		code, ok := res.Errors[k.topic][k.partition]
		switch {
		case !ok:
			again = errNoAnswer
		case code == sarama.ErrNoError:
			delete(t, k)
		case retriableCode(code):
			again = codeError(code, "OffsetCommit", k.topic, k.partition)
		default:
			final = codeError(code, "OffsetCommit", k.topic, k.partition)
		}
	}
	if final != nil {
		return final
	}
	return again
}

// CommittedOffsets reads a group's committed positions of the partitions named, all of them. It asks for stable ones
// and waits, until ctx ends, while a transaction that commits some is pending. One without a commit has
// Position state.UnknownOffset.
func (c *Client) CommittedOffsets(ctx context.Context, group string, topics map[string][]int32) (map[string]map[int32]Offset, error) {
	var found map[string]map[int32]Offset
	if len(topics) == 0 {
		return found, nil
	}
	err := retry(ctx, func() error {
		var res *sarama.OffsetFetchResponse
		err := c.onCoordinator(ctx, ofGroup(group), use{ForCommit, nil}, func(b *sarama.Broker) (err error) {
			req := sarama.NewOffsetFetchRequest(sarama.V2_5_0_0, group, topics)
			req.RequireStable = true
			res, err = b.FetchOffset(req)
			return err
		})
		if err != nil {
			return err
		}
		found, err = readOffsets(res, topics)
		err = ofGroup(group).in(err)
		if moved(err) {
			c.forgetCoordinator(ofGroup(group))
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return found, nil
}

// readOffsets takes an answer only as a whole: a partition left out is not one without a commit.
func readOffsets(res *sarama.OffsetFetchResponse, topics map[string][]int32) (map[string]map[int32]Offset, error) {
	if err := codeError(res.Err, "OffsetFetch", "", -1); err != nil && res.Err != sarama.ErrGroupIDNotFound {
		return nil, err
	}
	found := make(map[string]map[int32]Offset, len(topics))
	for topic, parts := range topics {
		found[topic] = make(map[int32]Offset, len(parts))
		for _, p := range parts {
			b := res.Blocks[topic][p]
			if res.Err == sarama.ErrGroupIDNotFound { // a coordinator that is sure of it: nobody has committed anything
				b = &sarama.OffsetFetchResponseBlock{Offset: -1}
			}
			if b == nil {
				return nil, errNoAnswer
			}
			if err := codeError(b.Err, "OffsetFetch", topic, p); err != nil {
				return nil, err
			}
			o := Offset{Position: b.Offset, LeaderEpoch: b.LeaderEpoch, TopicID: decodeMetadata(b.Metadata)}
			if o.Position < 0 {
				o = Offset{Position: state.UnknownOffset, LeaderEpoch: state.UnknownEpoch}
			}
			found[topic][p] = o
		}
	}
	return found, nil
}

// moved tells whether the coordinator has to be looked up afresh.
func moved(err error) bool {
	e, ok := errors.AsType[*Error](err)
	if !ok {
		return false
	}
	switch sarama.KError(e.Code) {
	case sarama.ErrNotCoordinatorForConsumer, sarama.ErrConsumerCoordinatorNotAvailable, sarama.ErrRequestTimedOut:
		return true
	}
	return false
}
