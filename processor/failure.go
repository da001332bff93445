package processor

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/tarnstream/tarn/internal/scope"
	"github.com/tarnstream/tarn/observe"
	"github.com/tarnstream/tarn/policy"
	"github.com/tarnstream/tarn/topology"
)

// failure is a task's record that could not be handled yet. The task does not sleep on it: it waits where it waits for
// everything else, so that it can be sealed, stopped and lost meanwhile.
type failure struct {
	attempts int    // at the record in hand, without success
	in       *input // that waits for another attempt, nil for none
	until    time.Time
	alarm    *time.Timer // wakes the task
}

// wait keeps the record in hand of in for another attempt after d.
func (f *failure) wait(in *input, d time.Duration, wake chan struct{}) {
	f.in, f.until = in, time.Now().Add(d)
	f.alarm = time.AfterFunc(d, func() { notify(wake) })
}

// due gives the input whose record has waited long enough, nil before that. It goes on being the one until its record is
// passed: the task may have to turn to something else first.
func (f *failure) due() *input {
	if time.Now().Before(f.until) {
		return nil
	}
	return f.in
}

// passed ends it: the record was handled, or is not tried again.
func (f *failure) passed() { f.attempts, f.in = 0, nil }

// forget ends the wait.
func (f *failure) forget() {
	if f.alarm != nil {
		f.alarm.Stop()
	}
}

// onError is the policy that holds for an input.
func (c *config) onError(in *scope.Input) *scope.ErrorPolicy {
	switch {
	case in.OnError != nil:
		return in.OnError
	case c.inputs.OnError != nil:
		return c.inputs.OnError
	}
	return &scope.ErrorPolicy{}
}

// fail does what the input's policy says about its record in hand, nothing of which has stayed. passed tells that the task
// goes on behind the record; an error ends the task, and with it the run.
func (t *task) fail(in *input, err error) (passed bool, final error) {
	if final := t.trouble(); final != nil {
		return false, final
	}
	t.failed.attempts++
	action, wait := in.onError.Decide(t.failed.attempts, err)
	if is[*topology.UndeclaredError](err) { // all records will fail by it
		action = scope.Fail
	}
	if action == scope.DeadLetter {
		if full := t.deadLetter(in, err); full != nil {
			action, err = scope.Fail, full
		}
	}
	t.tell(in, err, action)
	switch action {
	case scope.Retry:
		t.env.count.retries.Add(1)
		t.failed.wait(in, wait, t.wake)
		return false, nil
	case scope.Skip:
		t.env.count.skipped.Add(1)
		return true, nil
	case scope.DeadLetter:
		t.env.count.deadLetters.Add(1)
		return true, nil
	}
	r := in.peek()
	return false, &RecordError{Group: t.env.group.Name, Topic: in.topic, Partition: t.partition, Offset: r.Offset,
		Key: cloneBytes(r.Key), Attempts: t.failed.attempts, Cause: err}
}

// trouble tells what a failed attempt is besides a matter of its record, nil where it is just that: no policy may pass a
// record because the disk failed, or because the task has lost its partition or was told to stop and has used up its time.
func (t *task) trouble() error {
	if err := t.over(); err != nil {
		return err
	}
	if err := t.frame.Trouble(); err != nil {
		return fmt.Errorf("processor: group %s: task %d: tables cannot be read: %w", t.env.group.Name, t.partition, err)
	}
	return nil
}

// over tells why nothing of what the task does counts any more, nil while it does.
func (t *task) over() error {
	if t.lease.Err() != nil { // asked of the lease: the frame's context follows it a moment later
		return errLost
	}
	return context.Cause(t.frame)
}

// kindOf is a failed attempt's kind of error.
func kindOf(err error) string {
	switch {
	case is[*PanicError](err):
		return policy.KindPanic
	case is[*topology.DecodeError](err):
		return policy.KindDecode
	case is[*topology.TooLargeError](err):
		return policy.KindTooLarge
	case is[*topology.TimestampError](err):
		return policy.KindTimestamp
	}
	return policy.KindCallback
}

func is[E error](err error) bool {
	_, ok := errors.AsType[E](err)
	return ok
}

// tell tells of a failed attempt at the record in hand.
func (t *task) tell(in *input, err error, action scope.Action) {
	r := in.peek()
	observe.Tell(t.env.conf.observe.RecordError, observe.RecordError{Place: t.env.place(in.topic, t.partition), Offset: r.Offset,
		Key: cloneBytes(r.Key), Cause: err, Kind: kindOf(err), Action: string(action), Attempt: t.failed.attempts})
}
