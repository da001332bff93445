package kafka

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/IBM/sarama"
)

// adminTimeout is how long a broker may work on one request; an operation takes as many as ctx allows.
const adminTimeout = 10 * time.Second

// TopicSpec describes a topic to create.
type TopicSpec struct {
	Name       string
	Partitions int32
	// ReplicationFactor -1 (or 0) means the broker's default.
	ReplicationFactor int16
	// Configs are topic configs by name, cleanup.policy for one.
	Configs map[string]string
}

// CreateTopics creates the topics and waits until metadata shows each with a leader for every partition. A topic that exists
// already is left as it is and no error: whoever cares compares its metadata and configs. All faults are joined in one
// error, each an *Error with the topic's name; retriable ones are tried again until ctx ends.
func (c *Client) CreateTopics(ctx context.Context, specs []TopicSpec) error {
	todo := make(map[string]*sarama.TopicDetail, len(specs))
	awaited := make(map[string]int32, len(specs))
	for _, s := range specs {
		d := &sarama.TopicDetail{NumPartitions: s.Partitions, ReplicationFactor: cmp.Or(s.ReplicationFactor, -1), ConfigEntries: map[string]*string{}}
		for k, v := range s.Configs {
			d.ConfigEntries[k] = &v
		}
		todo[s.Name], awaited[s.Name] = d, s.Partitions
	}
	faults := map[string]error{}
	err := retry(ctx, func() error {
		if len(todo) == 0 {
			return nil
		}
		return c.createOnce(ctx, todo, awaited, faults)
	})
	for name := range faults {
		delete(awaited, name)
	}
	if err == nil {
		err = c.awaitTopics(ctx, awaited)
	}
	return errors.Join(append(sortedFaults(faults), err)...)
}

// createOnce takes from todo what is settled; topics that existed are awaited with any number of partitions.
func (c *Client) createOnce(ctx context.Context, todo map[string]*sarama.TopicDetail, awaited map[string]int32, faults map[string]error) error {
	var res *sarama.CreateTopicsResponse
	err := c.onController(ctx, func(b *sarama.Broker) (err error) {
		res, err = b.CreateTopics(&sarama.CreateTopicsRequest{Version: 5, TopicDetails: todo, Timeout: adminTimeout})
		return err
	})
	if err != nil {
		return err
	}
	var again error
	for name := range todo {
		e := &Error{Request: "CreateTopics", Topic: name, Partition: -1}
		if t := res.TopicErrors[name]; t == nil {
			again = errNoAnswer
			continue
		} else if e.Code = int16(t.Err); t.ErrMsg != nil {
			e.Detail = *t.ErrMsg
		}
		switch code := sarama.KError(e.Code); {
		case code == sarama.ErrNoError:
		case code == sarama.ErrTopicAlreadyExists:
			awaited[name] = -1
		case e.Retriable():
			c.forgetController()
			again = e
			continue
		default:
			faults[name] = e
		}
		delete(todo, name)
	}
	return again
}

// awaitTopics waits until every topic is there with that many partitions (any number where negative), all with a leader.
func (c *Client) awaitTopics(ctx context.Context, topics map[string]int32) error {
	if len(topics) == 0 {
		return nil
	}
	return retry(ctx, func() error {
		found, err := c.Refresh(ctx, slices.Sorted(maps.Keys(topics))...)
		if err != nil {
			return err
		}
		for name, n := range topics {
			t := found[name]
			if t.Err != nil && !missing(t.Err) {
				return t.Err
			}
			leaderless := slices.ContainsFunc(t.Partitions, func(p Partition) bool { return p.Leader < 0 })
			if len(t.Partitions) == 0 || n > 0 && len(t.Partitions) < int(n) || leaderless {
				return codeError(sarama.ErrLeaderNotAvailable, "Metadata", name, -1)
			}
		}
		return nil
	})
}

// DeleteTopics deletes the topics and waits until metadata shows them no more. One that does not exist is no error.
func (c *Client) DeleteTopics(ctx context.Context, names ...string) error {
	todo := slices.Clone(names)
	faults := map[string]error{}
	err := retry(ctx, func() error {
		if len(todo) == 0 {
			return nil
		}
		var res *sarama.DeleteTopicsResponse
		err := c.onController(ctx, func(b *sarama.Broker) (err error) {
			res, err = b.DeleteTopics(&sarama.DeleteTopicsRequest{Version: 4, Topics: todo, Timeout: adminTimeout})
			return err
		})
		if err != nil {
			return err
		}
		var again error
		todo = slices.DeleteFunc(todo, func(name string) bool {
			code, ok := res.TopicErrorCodes[name]
			switch {
			case !ok:
				again = errNoAnswer
			case code == sarama.ErrNoError || code == sarama.ErrUnknownTopicOrPartition:
				return true
			case retriableCode(code):
				c.forgetController()
				again = codeError(code, "DeleteTopics", name, -1)
			default:
				faults[name] = codeError(code, "DeleteTopics", name, -1)
				return true
			}
			return false
		})
		return again
	})
	if err == nil {
		err = c.awaitGone(ctx, slices.DeleteFunc(slices.Clone(names), func(n string) bool { return faults[n] != nil }))
	}
	return errors.Join(append(sortedFaults(faults), err)...)
}

func (c *Client) awaitGone(ctx context.Context, names []string) error {
	if len(names) == 0 {
		return nil
	}
	return retry(ctx, func() error {
		found, err := c.Refresh(ctx, names...)
		if err != nil {
			return err
		}
		for name, t := range found {
			if !missing(t.Err) {
				return &Error{Code: int16(sarama.ErrRequestTimedOut), Request: "DeleteTopics", Topic: name, Partition: -1, Detail: "still in the metadata"}
			}
		}
		return nil
	})
}

// onController runs fn on the broker that metadata names as the controller (any broker, where it forwards).
func (c *Client) onController(ctx context.Context, fn func(*sarama.Broker) error) error {
	c.mu.Lock()
	node := c.control
	c.mu.Unlock()
	if node < 0 {
		if _, err := c.Refresh(ctx); err != nil {
			return err
		}
		c.mu.Lock()
		node = c.control
		c.mu.Unlock()
	}
	if node < 0 {
		return codeError(sarama.ErrNotController, "Metadata", "", -1)
	}
	err := c.onNode(ctx, node, use{ForAdmin, nil}, fn)
	if err != nil {
		c.forgetController()
	}
	return err
}

func (c *Client) forgetController() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.control = -1
}

func (c *Client) forgetTopic(topic string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.topics, topic)
}

// sortedFaults gives the errors in the order of their names, with room for one more.
func sortedFaults(faults map[string]error) []error {
	out := make([]error, 0, len(faults)+1)
	for _, name := range slices.Sorted(maps.Keys(faults)) {
		out = append(out, fmt.Errorf("topic %q: %w", name, faults[name]))
	}
	return out
}
