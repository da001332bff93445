package processor

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/tarnstream/tarn/internal/kafka"
	"github.com/tarnstream/tarn/internal/scope"
	"github.com/tarnstream/tarn/policy"
	"github.com/tarnstream/tarn/state"
)

// letterTopics are the topics that dead letters go to by the policies that hold for the group's inputs.
func (c *config) letterTopics(g *scope.Group) (topics []scope.Topic, faults []error) {
	fault := func(format string, args ...any) { faults = append(faults, fmt.Errorf("processor: "+format, args...)) }
	for i := range g.Inputs {
		p := c.onError(&g.Inputs[i])
		if p.Last != scope.DeadLetter {
			continue
		}
		same := func(t scope.Topic) bool { return t.Name == p.Letters.Name }
		if at := slices.IndexFunc(topics, same); at < 0 {
			topics = append(topics, p.Letters)
		} else if !topics[at].Same(p.Letters) {
			fault("Inputs: the topic of dead letters %s is described in two ways", p.Letters.Name)
		}
	}
	if p := c.inputs.OnError; p != nil {
		if reason := g.LetterFault(p); reason != "" {
			fault("Inputs: OnError: %s", reason)
		}
	}
	return topics, faults
}

// letterBox gathers the dead letters of a task's open layer, and knows what their topics take.
type letterBox struct {
	topics map[string]letterTopic
	filled []kafka.OutBatch // one for each topic that has some
	bytes  int
}

type letterTopic struct {
	partition int32
	limits    *scope.Limits
}

// newLetterBox makes the letter box of a task.
func (e *environment) newLetterBox(task int32) letterBox {
	b := letterBox{topics: map[string]letterTopic{}}
	for _, t := range e.letters {
		limits := e.limits[t.Name]
		b.topics[t.Name] = letterTopic{partition: task % e.letterPartitions[t.Name], limits: &limits}
	}
	return b
}

// put adds a record that could not be handled, with bytes of its own: a slice of what was fetched would keep all of it. The
// letter's headers become no larger than the topic takes.
func (b *letterBox) put(topic string, r *state.Record, l *policy.Letter, cause error) error {
	to := b.topics[topic]
	out := kafka.OutRecord{Key: cloneBytes(r.Key), Value: cloneBytes(r.Value), Timestamp: r.Timestamp}
	if !to.limits.Timely(out.Timestamp) {
		out.Timestamp = time.Now().UnixMilli()
	}
	for {
		out.Headers = stateHeaders(l.Encode())
		size := kafka.EncodedSize(&out)
		if size <= to.limits.Bytes {
			b.bytes += size
			break
		}
		if !l.Shorten() {
			return &policy.DeadLetterError{Topic: topic, Size: size, Limit: to.limits.Bytes, Cause: cause}
		}
	}
	at := slices.IndexFunc(b.filled, func(o kafka.OutBatch) bool { return o.Topic == topic })
	if at < 0 {
		at = len(b.filled)
		b.filled = append(b.filled, kafka.OutBatch{Topic: topic, Partition: to.partition})
	}
	b.filled[at].Records = append(b.filled[at].Records, out)
	return nil
}

// take empties the box.
func (b *letterBox) take() []kafka.OutBatch {
	filled := b.filled
	b.filled, b.bytes = nil, 0
	return filled
}

// deadLetter puts the record in hand of an input into the letter box.
func (t *task) deadLetter(in *input, cause error) error {
	r := in.peek()
	l := policy.Letter{Topic: in.topic, Partition: t.partition, Offset: r.Offset, Group: t.env.group.Name,
		Attempts: t.failed.attempts, Kind: kindOf(cause), Error: cause.Error(), Headers: scope.CloneHeaders(in.headers(r))}
	if r.Timestamp != scope.NoTimestamp {
		l.Timestamp = time.UnixMilli(r.Timestamp)
	}
	if p, ok := errors.AsType[*PanicError](cause); ok {
		l.Error, l.Stack = fmt.Sprintf("panic: %v", p.Value), string(p.Stack)
	}
	return t.letters.put(in.onError.Letters.Name, r, &l, cause)
}
