package processor

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tarnstream/tarn/internal/kafka"
	"github.com/tarnstream/tarn/internal/scope"
	"github.com/tarnstream/tarn/observe"
	"github.com/tarnstream/tarn/state"
)

// errRevoked and errLost are the causes that end a task's context.
var (
	errRevoked = errors.New("processor: partition given away")
	errLost    = errors.New("processor: partition lost")
)

// task is one partition number of the group, run by one goroutine: it restores the tables, then handles records.
//
// Others talk to it through flags and wake only, so that it looks at them between two records and never waits for a
// lock while it works: seal asks for the open layer, stop for the end. A task inside a callback is left out of a
// commit, not waited for.
//
// How a task ends, in this order:
//
//	stop or lose   the loop ends after the record in hand: by stop its last layer is still committed, by lose nothing is
//	ended          the loop has returned, and the committer has the last layer
//	dismiss        nobody needs the stores any more: after the last commit and flush, or at once when it is lost
//	closed         the stores are closed, and those of the task before it on this partition, too (R27)
type task struct {
	partition int32
	env       *environment
	log       *slog.Logger
	again     atomic.Int32 // restarts in a row, without a commit in between

	lease    context.Context // ends when the partition is lost: nothing of the task may be written any more
	endLease context.CancelCauseFunc
	stopped  context.Context // ends when the task shall stop
	halt     context.CancelCauseFunc
	ended    chan struct{}
	gone     chan struct{} // dismissed
	once     sync.Once
	closed   chan struct{}
	state    atomic.Int32

	attention atomic.Bool // something below is set, or the lease is lost
	stopping  atomic.Bool
	sealing   atomic.Bool
	outdated  atomic.Bool // rows went from the tables by themselves
	worked    atomic.Bool // positions have moved since the last seal
	unsettled atomic.Bool // a sealed layer is in a commit
	wake      chan struct{}

	frame  *scope.Frame
	kept   []keptTable // as readers outside see them, in the group's order
	cells  []*cell
	joins  []*follower         // of the joined tables
	reads  []scope.ReadBacking // joined and looked-up tables, in the group's order
	inputs []*input
	failed failure
	// account is the task's part of the ledger; charged is what of it stands for the open layer.
	account *account
	charged int
	walks   walks
	meter   *meter

	letters letterBox
}

// The states of a task, in their order.
const (
	taskWaiting int32 = iota
	taskRestoring
	taskRunning
	taskClosing
)

var taskStates = [...]string{observe.TaskWaiting, observe.TaskRestoring, observe.TaskRunning, observe.TaskClosing}

func newTask(env *environment, partition int32) *task {
	t := &task{partition: partition, env: env, account: &account{ledger: &env.budget.ledger}, log: env.log.With("task", partition), wake: make(chan struct{}, 1),
		ended: make(chan struct{}), gone: make(chan struct{}), closed: make(chan struct{}), meter: newMeter(env, partition),
		kept: make([]keptTable, len(env.group.Tables))}
	t.lease, t.endLease = context.WithCancelCause(context.Background())
	t.stopped, t.halt = context.WithCancelCause(context.Background())
	return t
}

// run is the task's goroutine. before is closed when the last task of this partition in this process has closed.
func (t *task) run(ctx context.Context, before <-chan struct{}) {
	ctx, cancel := until(ctx, t.lease)
	defer cancel()
	err := protect(func() error { return t.live(ctx, before) })
	t.state.Store(taskClosing)
	for _, in := range t.inputs {
		in.cursor.Close()
	}
	for _, f := range t.joins {
		f.stop()
	}
	t.walks.end()
	if t.lease.Err() != nil || errors.Is(err, errRevoked) || ctx.Err() != nil && errors.Is(err, context.Cause(ctx)) {
		err = nil // an end that was asked for
	}
	close(t.ended)
	if err != nil {
		t.env.fail(err)
	}
	t.finish(before)
}

// finish closes the stores once nobody needs them.
func (t *task) finish(before <-chan struct{}) {
	<-t.gone
	for _, c := range t.cells {
		if err := c.store.Close(); err != nil {
			t.log.Warn("store does not close cleanly", "table", c.topic, "error", err)
		}
	}
	for _, f := range t.joins {
		<-f.done
	}
	t.account.close()
	if t.frame != nil {
		t.env.budget.tasks.Add(-1)
	}
	<-before
	close(t.closed)
}

// until gives a context that ends with either of two.
func until(ctx, other context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(other, func() { cancel(context.Cause(other)) })
	return ctx, func() { stop(); cancel(nil) }
}

func (t *task) live(ctx context.Context, before <-chan struct{}) error {
	starting, cancel := until(ctx, t.stopped)
	defer cancel()
	if err := t.takeOver(starting, before); err != nil {
		return err
	}
	if rest := restOf(t.again.Load()); rest > 0 && !pause(starting, rest) {
		return context.Cause(starting)
	}
	t.state.Store(taskRestoring)
	if err := t.prepare(ctx, starting); err != nil {
		return err
	}
	t.publish()
	t.state.Store(taskRunning)
	t.env.tasks.ran()
	defer t.failed.forget()
	return t.loop(ctx)
}

// takeOver waits until the task before this one on its partition has closed. One whose callback does not return, although
// its context has ended, would keep the partition from everybody: then Run ends, and another process can have it.
func (t *task) takeOver(ctx context.Context, before <-chan struct{}) error {
	deadline := time.NewTimer(t.env.conf.stopTimeout)
	defer deadline.Stop()
	select {
	case <-before:
		return nil
	case <-deadline.C:
		return &StuckError{Group: t.env.group.Name, Tasks: []int32{t.partition}}
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// restOf is how long a task waits before it starts again. One whose commits fail each time, since a broker answers so that
// nobody knows what became of them, would else start as often as commits are made.
func restOf(again int32) time.Duration {
	if again < 2 {
		return 0
	}
	return min(leastRest<<min(again-2, 10), mostRest)
}

const (
	leastRest = 100 * time.Millisecond
	mostRest  = 10 * time.Second
)

// loop handles records until it is told to stop.
func (t *task) loop(ctx context.Context) error {
	for {
		if t.attention.Swap(false) {
			if t.lease.Err() != nil { // asked of the lease: ctx follows it a moment later
				return errLost
			}
			if t.sealing.Swap(false) && !t.unsettled.Load() {
				if err := t.seal(); err != nil {
					return err
				}
			}
			if t.stopping.Load() {
				return t.seal()
			}
			t.walks.take()
			if t.outdated.Swap(false) {
				for _, l := range t.frame.Layers() {
					l.Drop()
				}
			}
		}
		busy := false
		if !t.full() && !t.paused() {
			var err error
			if busy, err = t.step(ctx); err == nil {
				var visited bool
				visited, err = t.visitSome(ctx)
				busy = busy || visited
			}
			t.publish()
			if err != nil {
				return errors.Join(err, t.seal()) // what came before the failed record is whole
			}
		}
		if busy {
			continue
		}
		select {
		case <-t.wake:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// full tells that there is no room for more changes, in the open layer or in the layers of all tasks: the task waits until
// a commit, or a flush, has made some.
func (t *task) full() bool {
	m := t.env.budget
	if t.charge() < m.mostOpen() && !m.ledger.full() {
		return false
	}
	t.env.commit.kickNow()
	return true
}

// chargeEvery is how exactly the ledger knows of an open layer.
const chargeEvery = 8 << 10

// charge has the ledger count what the open layer takes and will take when it is sealed.
func (t *task) charge() int {
	open := t.frame.Bytes() + t.letters.bytes
	if d := open - t.charged; d < 0 || d >= chargeEvery {
		t.account.add(int64(d), 0)
		t.charged = open
	}
	return open
}

// paused tells that a joined table is being rebuilt: records wait until it is current again. Its follower wakes the task
// at both ends.
func (t *task) paused() bool { return slices.ContainsFunc(t.joins, (*follower).holds) }

// step handles what is at hand, until something wants attention. It tells whether it did anything.
func (t *task) step(ctx context.Context) (bool, error) {
	in, err := t.pick(ctx)
	if in == nil || err != nil {
		return false, err
	}
	for n := 0; in.more(); n++ {
		if t.attention.Load() || n > 0 && t.full() {
			return true, nil
		}
		if n%scope.Ahead == 0 {
			t.frame.Expect(in.ahead())
		}
		if passed, err := t.handle(in); err != nil || !passed {
			return true, err
		}
	}
	if ctx.Err() != nil {
		return false, context.Cause(ctx)
	}
	return true, nil
}

// pick gives the input whose next record is the oldest among those at hand. While a record waits for another attempt it is
// that record's, once the wait is over: neither the order of its partition nor that of the inputs is left for it.
func (t *task) pick(ctx context.Context) (*input, error) {
	if t.failed.in != nil {
		return t.failed.due(), nil
	}
	var oldest *input
	for _, in := range t.inputs {
		moved, err := in.fill()
		if err != nil {
			err = t.refused(ctx, in, err)
		}
		if err != nil {
			return nil, err
		}
		if moved {
			t.worked.Store(true)
		}
		if in.more() && (oldest == nil || in.peek().Timestamp < oldest.peek().Timestamp) {
			oldest = in
		}
	}
	return oldest, nil
}

// handle handles the input's record in hand. It is not passed when it has to wait for another attempt.
func (t *task) handle(in *input) (passed bool, err error) {
	r := in.peek()
	if r.Value == nil && in.onDelete == nil {
		t.env.count.nulls.Add(1)
	} else if err := t.call(in, r); err != nil {
		if passed, err := t.fail(in, err); err != nil || !passed {
			return false, err
		}
	}
	if t.failed.attempts > 0 {
		t.failed.passed()
	}
	in.done()
	if !t.worked.Load() {
		t.worked.Store(true)
	}
	return true, nil
}

// call runs the user's callback with the input's record in hand.
func (t *task) call(in *input, r *state.Record) error {
	call := in.call
	if r.Value == nil {
		call = in.onDelete
	}
	return t.attempt(scope.Record{Topic: in.topic, Partition: t.partition, Offset: r.Offset, Timestamp: r.Timestamp,
		Key: r.Key, Value: r.Value, Headers: in.headers(r)}, call)
}

// attempt runs the user's callback.
func (t *task) attempt(r scope.Record, call func(*scope.Frame) error) error {
	return protect(func() error { return t.frame.Run(r, call) })
}

// Get implements scope.Backing.
func (t *task) Get(table int, key string) ([]byte, *scope.Mark, bool, error) {
	return t.cells[table].readMarked(key)
}

// askSeal asks for the open layer; it tells whether one will come.
func (t *task) askSeal() bool {
	if t.state.Load() != taskRunning || !t.worked.Load() || t.unsettled.Load() {
		return false
	}
	t.sealing.Store(true)
	t.nudge()
	return true
}

// stop asks the task to end after the record in hand.
func (t *task) stop() {
	t.stopping.Store(true)
	t.halt(errRevoked)
	t.nudge()
}

func (t *task) nudge() {
	t.attention.Store(true)
	select {
	case t.wake <- struct{}{}:
	default:
	}
}

// seal does the open layer's effects and hands it to the committer. While an older one is unsettled it waits in the open
// layer; the last seal of a task is held by the committer until the older one is settled.
func (t *task) seal() error {
	if !t.worked.Swap(false) {
		return nil
	}
	if err := t.effects(); err != nil {
		return err
	}
	t.unsettled.Store(true)
	t.charge()
	charged := t.charged
	t.charged = 0
	tables, emitted := t.frame.Seal()
	s := &sealed{task: t, charged: charged, tables: tables, batches: t.batches(tables, emitted), marks: make([]mark, len(t.inputs)), through: t.walks.through}
	t.walks.through = nil
	for i, in := range t.inputs {
		s.marks[i], in.sealed = mark{in.id, in.position}, in.position
	}
	for i, c := range t.cells {
		c.seal(tables[i])
	}
	t.publish() // before the commit: who waits for that finds it counted
	t.env.commit.offer(s)
	return nil
}

// settled tells the task that its sealed layer is in Kafka.
func (t *task) settled() {
	t.again.Store(0)
	t.unsettled.Store(false)
	t.nudge()
}

// batches turns a sealed layer into what the producer sends: one batch for each table with changes, in the group's
// order, then one for each partition of the outputs, then the dead letters.
func (t *task) batches(tables [][]scope.Change, emitted []scope.Emission) []kafka.OutBatch {
	var out []kafka.OutBatch
	for i, changes := range tables {
		if len(changes) > 0 {
			out = append(out, changelogBatch(t.env.group.Tables[i].Name, t.partition, changes))
		}
	}
	return append(append(out, emissionBatches(t.env, emitted)...), t.letters.take()...)
}

// lose ends the lease: the loop ends after the record in hand, and nothing of the task is written any more.
func (t *task) lose() {
	t.endLease(errLost)
	t.nudge()
}

// dismiss lets the stores be closed once the loop has ended, and ends the lease, so that no flush starts any more.
func (t *task) dismiss() {
	t.lose()
	t.once.Do(func() { close(t.gone) })
}

func (t *task) hasEnded() bool { return isClosed(t.ended) }

// hasRun tells whether the task may have handled records: it has come through its restore.
func (t *task) hasRun() bool { return !t.hasEnded() || t.frame != nil }
