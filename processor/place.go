package processor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/tarnstream/tarn/internal/scope"
	"github.com/tarnstream/tarn/observe"
	"github.com/tarnstream/tarn/policy"
	"github.com/tarnstream/tarn/state"
)

// placing is what an input says of its beginning and of a lost place, or what holds for the group.
func (c *config) placing(in *scope.Input) (scope.Begin, scope.Lost) {
	begin := cmp.Or(in.Begin, c.inputs.Begin, scope.BeginEarliest)
	if in.Loop { // its records are the group's own
		begin = scope.BeginEarliest
	}
	return begin, cmp.Or(in.Lost, c.inputs.Lost, scope.LostCareful)
}

// place sets the inputs' positions. One that the group has not committed is committed before anything is read: a crash
// after the first effects would else leave tables without an offset, which look as if the offset had been lost (R57). And a
// group that begins at the end must not begin at a later end after a restart.
func (t *task) place(ctx context.Context, committed offsets) error {
	tables, err := t.counted()
	if err != nil {
		return err
	}
	known := false // the group has an offset of some input here
	for _, in := range t.inputs {
		known = known || committed[in.topic][t.partition].Position >= 0
	}
	moved := offsets{}
	for _, in := range t.inputs {
		o := committed[in.topic][t.partition]
		s := standing{committed: mark{o.TopicID, o.Position}, counted: tables.at(in.topic), begins: tables.begins(in.topic, known)}
		elsewhere, err := t.settle(ctx, in, s)
		if err != nil {
			return err
		}
		if elsewhere {
			moved.put(in.topic, t.partition, mark{in.id, in.position})
		}
	}
	if len(moved) > 0 {
		if err := t.env.commitOffsets(ctx, t.env.claimOf(t), moved); err != nil {
			return fmt.Errorf("processor: group %s: commit where the inputs of task %d begin: %w", t.env.group.Name, t.partition, err)
		}
	}
	for _, in := range t.inputs {
		in.committed.Store(&mark{in.id, in.position})
	}
	return nil
}

// counted is what the tables of a task have of its inputs.
type counted struct {
	filled bool // some table has rows
	// inputs are the newest input positions in the checkpoints, nil where they are not known: a store that has read on in
	// its topic does not know how far those inputs had come that the records were made of.
	inputs map[string]mark
}

// counted looks at the tables as they have been restored.
func (t *task) counted() (counted, error) {
	c := counted{inputs: map[string]mark{}}
	for _, cell := range t.cells {
		filled, err := hasRows(cell.store)
		if err != nil {
			return c, err
		}
		if !filled {
			continue
		}
		c.filled = true
		if cell.check.Inputs == nil {
			c.inputs = nil
		}
		for topic, at := range cell.check.Inputs {
			if old, ok := c.inputs[topic]; c.inputs != nil && (!ok || at > old.position) {
				c.inputs[topic] = mark{cell.check.InputTopics[topic], at}
			}
		}
	}
	return c, nil
}

func hasRows(s state.Store) (bool, error) {
	rows := s.Range(nil, nil)
	found := rows.Next()
	return found, rows.Close()
}

// at is where the checkpoints have an input.
func (c counted) at(topic string) mark {
	if m, ok := c.inputs[topic]; ok {
		return m
	}
	return mark{position: state.UnknownOffset}
}

// begins tells whether an input without a committed offset has nothing to go on from. Where the checkpoints do not tell
// which inputs the tables are made of, an offset of another input shows that the group's offsets are there, and that this
// input was added to it.
func (c counted) begins(topic string, offsets bool) bool {
	if !c.filled {
		return true
	}
	if c.inputs == nil {
		return offsets
	}
	_, read := c.inputs[topic]
	return !read
}

// settle decides where to read on, tells what is lost, and reads on there; elsewhere tells that it is not where the group
// stood. No fetch goes out before.
func (t *task) settle(ctx context.Context, in *input, s standing) (elsewhere bool, err error) {
	b, err := t.bounds(ctx, in, s)
	if err != nil {
		return false, fmt.Errorf("processor: group %s: input %s/%d: %w", t.env.group.Name, in.topic, t.partition, err)
	}
	c := s.decide(b, in.begin, in.lost)
	if c.loss != nil {
		t.tellLoss(in, c.loss)
	}
	if c.next == state.UnknownOffset {
		return false, c.loss
	}
	in.id, in.position = b.TopicID, c.next
	in.cursor.SeekTo(c.next)
	return c.loss != nil || c.next != s.committed.position, nil
}

func (t *task) tellLoss(in *input, e *policy.InputError) {
	e.Group, e.Topic, e.Partition = t.env.group.Name, in.topic, t.partition
	observe.Tell(t.env.conf.observe.Reset, observe.Reset{Place: t.env.place(in.topic, t.partition), Cause: e, From: e.From, To: e.To})
}

// beyondAgain is the wait before an end below the committed offset is believed: a new leader may not know it at once.
const beyondAgain = 100 * time.Millisecond

// bounds asks for the log's bounds until both are known.
func (t *task) bounds(ctx context.Context, in *input, s standing) (state.Bounds, error) {
	for again := false; ; again = true {
		b, err := in.cursor.Bounds(ctx)
		if err != nil {
			return b, err
		}
		if known := b.Start >= 0 && b.End >= 0; known && (again || s.committed.position <= b.End) {
			return b, nil
		}
		if !pause(ctx, beyondAgain) {
			return b, context.Cause(ctx)
		}
	}
}

// refused decides where to read on when the broker refuses an input's position: retention has passed a slow task, or the
// log was truncated or made again. All that was read before the refusal has been handled. Any other trouble ends the task.
func (t *task) refused(ctx context.Context, in *input, cause error) error {
	if _, ok := errors.AsType[*state.OutOfRangeError](cause); !ok {
		return cause
	}
	ctx, cancel := until(ctx, t.stopped)
	defer cancel()
	if in.refused++; in.refused > 1 && !pause(ctx, refusedAgain<<min(in.refused-2, mostDoublings)) {
		return context.Cause(ctx)
	}
	at := mark{in.id, in.position}
	elsewhere, err := t.settle(ctx, in, standing{committed: at, counted: at})
	if elsewhere {
		t.worked.Store(true)
	}
	return err
}

// refusedAgain is the wait after a second refusal without an answer in between, as where a log's start moves all the time;
// it doubles up to 6.4 s.
const (
	refusedAgain  = 100 * time.Millisecond
	mostDoublings = 6
)
