package processor

import (
	"context"
	"errors"
	"time"

	"github.com/tarnstream/tarn/internal/kafka"
	"github.com/tarnstream/tarn/state"
)

// offsets are what is committed of the inputs, by topic and partition.
type offsets map[string]map[int32]kafka.Offset

func (o offsets) put(topic string, partition int32, m mark) {
	if o[topic] == nil {
		o[topic] = map[int32]kafka.Offset{}
	}
	o[topic][partition] = kafka.Offset{Position: m.position, LeaderEpoch: state.UnknownEpoch, TopicID: m.topic}
}

func offsetsOf(turn []*sealed) offsets {
	o := offsets{}
	for _, s := range turn {
		for i, in := range s.task.inputs {
			o.put(in.topic, s.task.partition, s.marks[i])
		}
	}
	return o
}

// commitOffsets commits positions under the session's current generation. While the group forms a new generation and the
// claims live, it tries again under the next one. What the group says of the membership itself is asked of the
// coordinator: if it is true, the leases end, and ctx with them.
func (e *environment) commitOffsets(ctx context.Context, as claim, o offsets) error {
	for {
		member, ok := as()
		err := errors.New("no member yet")
		if ok {
			err = e.client.CommitOffsets(ctx, e.group.Name, member, o)
		}
		switch {
		case err == nil || ctx.Err() != nil:
			return err
		case errors.Is(err, kafka.ErrUnknownMember), errors.Is(err, kafka.ErrFencedInstance):
			e.member.Rejoin(err)
		case !ok, errors.Is(err, kafka.ErrIllegalGeneration), errors.Is(err, kafka.ErrRebalanceInProgress):
		default:
			return err
		}
		if !pause(ctx, commitRetry) {
			return context.Cause(ctx)
		}
	}
}

// claim is the identity that something is committed under, false when there is none any more.
type claim func() (kafka.Member, bool)

// claimOf gives that of tasks: the generation's, as long as no lease of them is over.
func (e *environment) claimOf(tasks ...*task) claim {
	return func() (kafka.Member, bool) {
		m, in := e.member.Current() // before the leases: one that ends later was of this generation
		for _, t := range tasks {
			in = in && t.lease.Err() == nil
		}
		return m, in
	}
}

func tasksOf(turn []*sealed) (tasks []*task) {
	for _, s := range turn {
		tasks = append(tasks, s.task)
	}
	return tasks
}

// claimed tells whether claims are known to live. A process that was frozen for longer than its session must not write
// over what others have written meanwhile; its leases end as soon as the membership has run.
func (e *environment) claimed() bool {
	_, ok := e.member.Current()
	return ok
}

// commitRetry is the wait before an offset commit is tried under the next generation.
const commitRetry = 20 * time.Millisecond
