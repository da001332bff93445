package kafka

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/IBM/sarama"

	"github.com/tarnstream/tarn/state"
)

// Bounds implements state.Log: fresh metadata, then earliest offset, last stable offset and end from the leader, then
// metadata again, so that all of it is of one topic under one leader. It does not touch the position; the caller's SeekTo
// decides. The topic's configs may be some seconds old. It works without Run.
//
// Errors: *state.TopicMissingError once that is confirmed, *Error with a code that asking again does not cure,
// *VersionError, or ctx's end together with the last trouble.
func (c *Cursor) Bounds(ctx context.Context) (state.Bounds, error) {
	var gone absence
	var last error
	for wait := newBackoff(); ; {
		b, err := c.bounds(ctx)
		if err == nil {
			c.pin(b.TopicID)
			return b, nil
		}
		absent := missing(err) || errors.Is(err, ErrNoPartition)
		switch {
		case ctx.Err() != nil:
			return state.Bounds{}, endedWith(ctx, last)
		case absent && gone.confirmed(time.Now(), absenceTimes, absenceTime), !absent && !retriable(err) && !errors.Is(err, errNoAnswer):
			return state.Bounds{}, err
		case !absent:
			gone = absence{}
		}
		last = err
		if wait.sleep(ctx) != nil {
			return state.Bounds{}, endedWith(ctx, last)
		}
	}
}

// pin ties the flow to the topic whose bounds the caller was told.
func (c *Cursor) pin(id state.TopicID) {
	c.reader.mu.Lock()
	defer c.reader.mu.Unlock()
	c.flow.id = id
}

func (c *Cursor) bounds(ctx context.Context) (state.Bounds, error) {
	before, err := c.lookUp(ctx)
	if err != nil {
		return state.Bounds{}, err
	}
	b, err := c.list(ctx, before.leader)
	if err != nil {
		return state.Bounds{}, err
	}
	now, err := c.lookUp(ctx)
	if err != nil {
		return state.Bounds{}, err
	}
	if now != before {
		return state.Bounds{}, codeError(sarama.ErrNotLeaderForPartition, "ListOffsets", c.flow.topic, c.flow.partition)
	}
	b.TopicID, b.LeaderEpoch, b.ClusterID = now.id, now.epoch, c.reader.client.ClusterID()
	err = c.addConfigs(ctx, &b)
	return b, err
}

// whereabouts is what must not change while bounds are listed.
type whereabouts struct {
	id            state.TopicID
	leader, epoch int32
}

// ErrNoPartition stands beside the code of a partition number that the topic does not have.
var ErrNoPartition = errors.New("kafka: the topic has fewer partitions")

// noPartition names a partition that metadata does not list.
func noPartition(topic string, partition int32) error {
	return errors.Join(codeError(sarama.ErrUnknownTopicOrPartition, "Metadata", topic, partition), ErrNoPartition)
}

func (c *Cursor) lookUp(ctx context.Context) (whereabouts, error) {
	f := c.flow
	found, err := c.reader.refresh(ctx, f.topic)
	if err != nil {
		return whereabouts{}, err
	}
	t := found[f.topic]
	if t.Err != nil {
		return whereabouts{}, t.Err
	}
	if int(f.partition) >= len(t.Partitions) {
		return whereabouts{}, noPartition(f.topic, f.partition)
	}
	p := t.Partitions[f.partition]
	if p.Leader < 0 {
		return whereabouts{}, codeError(sarama.ErrLeaderNotAvailable, "Metadata", f.topic, f.partition)
	}
	return whereabouts{t.ID, p.Leader, p.Epoch}, nil
}

// list asks in this order, so that start <= stable <= end in a log that grows meanwhile.
func (c *Cursor) list(ctx context.Context, leader int32) (state.Bounds, error) {
	var b state.Bounds
	for _, q := range []struct {
		to        *int64
		at        int64
		isolation sarama.IsolationLevel
	}{{&b.Start, sarama.OffsetOldest, sarama.ReadUncommitted}, {&b.Stable, sarama.OffsetNewest, sarama.ReadCommitted},
		{&b.End, sarama.OffsetNewest, sarama.ReadUncommitted}} {
		offset, err := c.listOne(ctx, leader, q.at, q.isolation)
		if err != nil {
			return state.Bounds{}, err
		}
		*q.to = offset
	}
	return b, nil
}

func (c *Cursor) listOne(ctx context.Context, leader int32, at int64, isolation sarama.IsolationLevel) (int64, error) {
	topic, partition := c.flow.topic, c.flow.partition
	req := &sarama.OffsetRequest{Version: 5, IsolationLevel: isolation}
	req.AddBlock(topic, partition, at, 1)
	var res *sarama.OffsetResponse
	err := c.reader.client.onNode(ctx, leader, use{ForOffsets, nil}, func(b *sarama.Broker) (err error) {
		res, err = b.GetAvailableOffsets(req)
		return err
	})
	if err != nil {
		return state.UnknownOffset, err
	}
	block := res.GetBlock(topic, partition)
	if block == nil {
		return state.UnknownOffset, errNoAnswer
	}
	if block.Err == sarama.ErrUnknown {
		return state.UnknownOffset, codeError(sarama.ErrRequestTimedOut, "ListOffsets", topic, partition)
	}
	if err := codeError(block.Err, "ListOffsets", topic, partition); err != nil {
		return state.UnknownOffset, err
	}
	return max(block.Offset, state.UnknownOffset), nil
}

// configAge is how old a topic's configs may be in Bounds.
const configAge = 5 * time.Second

// configCache spares a request for each partition of a topic.
type configCache struct {
	mu      sync.Mutex // never held over I/O
	entries map[string]configEntry
}

type configEntry struct {
	at     time.Time
	values map[string]string
}

func (c *configCache) get(topic string) (map[string]string, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok := c.entries[topic]
	return e.values, ok && time.Since(e.at) < configAge
}

func (c *configCache) put(topic string, values map[string]string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.entries[topic] = configEntry{time.Now(), values}
}

// addConfigs fills in the live cleanup.policy and delete.retention.ms. Who may not read them is told the cautious thing:
// compacted, with a retention that is not known, so that nothing is resumed that should be verified.
func (c *Cursor) addConfigs(ctx context.Context, b *state.Bounds) error {
	topic := c.flow.topic
	values, ok := c.reader.configs.get(topic)
	if !ok {
		all, err := c.reader.client.TopicConfigs(ctx, topic)
		switch {
		case err == nil:
			values = all[topic]
		case refusedConfigs(err):
			c.reader.cfg.Logger.Warn("topic configs may not be read; taken for compacted", "topic", topic, "err", err)
		default:
			return err
		}
		c.reader.configs.put(topic, values)
	}
	policy, known := values["cleanup.policy"]
	b.Compacted = !known || strings.Contains(policy, "compact")
	b.Deletes = strings.Contains(policy, "delete")
	b.DeleteRetention = -1
	if ms, err := strconv.ParseInt(values["delete.retention.ms"], 10, 64); err == nil {
		b.DeleteRetention = time.Duration(min(ms, int64(maxRetention/time.Millisecond))) * time.Millisecond
	}
	return nil
}

// maxRetention stands for any time too long for a time.Duration.
const maxRetention = 250 * 365 * 24 * time.Hour

func refusedConfigs(err error) bool {
	e, ok := errors.AsType[*Error](err)
	return ok && (sarama.KError(e.Code) == sarama.ErrTopicAuthorizationFailed || sarama.KError(e.Code) == sarama.ErrClusterAuthorizationFailed)
}
