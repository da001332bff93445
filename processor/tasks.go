package processor

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/tarnstream/tarn/internal/kafka"
	worker "github.com/tarnstream/tarn/internal/task"
	"github.com/tarnstream/tarn/observe"
)

// tasks holds the tasks of this process and does what the membership says; it implements kafka.Handler.
type tasks struct {
	env     *environment
	workers *worker.Group

	mu       sync.Mutex
	live     map[int32]*task
	last     map[int32]*task         // the newest task of each partition, live or not
	open     map[*task]bool          // tasks that may not have closed yet
	holds    map[int32]chan struct{} // partitions whose stores are looked at while they are away; closed at the end of it
	stopped  bool                    // the membership has ended: nothing starts any more
	deadline time.Time               // of the stop, once it has begun
	assigned bool
	given    int           // so many tasks the newest generation has for this process
	ready    chan struct{} // closed by the first time that every task runs
	isReady  bool
}

func newTasks(env *environment, workers *worker.Group, ready chan struct{}) *tasks {
	return &tasks{env: env, workers: workers, live: map[int32]*task{}, last: map[int32]*task{}, open: map[*task]bool{},
		holds: map[int32]chan struct{}{}, ready: ready}
}

// all gives the live tasks in the order of their numbers.
func (ts *tasks) all() []*task {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	out := make([]*task, 0, len(ts.live))
	for _, p := range slices.Sorted(maps.Keys(ts.live)) {
		out = append(out, ts.live[p])
	}
	return out
}

// nudge makes every task look again.
func (ts *tasks) nudge() {
	for _, t := range ts.all() {
		t.nudge()
	}
}

func (ts *tasks) get(partition int32) *task {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	return ts.live[partition]
}

// Assigned starts tasks.
func (ts *tasks) Assigned(_ context.Context, _ kafka.Member, added []int32) {
	ts.mu.Lock()
	for _, p := range added {
		ts.start(p, 0)
	}
	ts.mu.Unlock()
	if fence := ts.env.commit.fence; fence != nil {
		fence.unbar()
	}
	ts.joined()
}

// joined is told when the group has given this process its tasks, be it none.
func (ts *tasks) joined() {
	ts.mu.Lock()
	ts.assigned = true
	ts.mu.Unlock()
	ts.ran()
}

// areGiven tells whether the process is in its group and has been given its tasks, be it none. Where it has lost all that it had,
// the next ones are in its generation before they are here.
func (ts *tasks) areGiven() bool {
	_, in := ts.env.member.Current()
	ts.mu.Lock()
	defer ts.mu.Unlock()
	return in && ts.assigned && (ts.given == 0 || len(ts.live) > 0)
}

// onEvent passes on what the membership tells, and hears how many tasks this process has in a generation.
func (ts *tasks) onEvent(e kafka.MemberEvent) {
	observe.Tell(ts.env.conf.observe.Rebalance, rebalanceOf(ts.env.group.Name, e))
	if e.Kind == kafka.MemberLost { // at once: Lost may have to wait for a call before it, while another session begins
		ts.lose(e.Tasks)
	}
	if e.Kind == kafka.MemberJoined {
		ts.mu.Lock()
		ts.given = len(e.Tasks)
		ts.mu.Unlock()
	}
	if e.Kind == kafka.MemberJoined && len(e.Tasks) == 0 {
		ts.joined()
	}
}

// start starts a task behind the last one of its partition. again is how often it had to be restarted in a row. mu is held.
func (ts *tasks) start(partition, again int32) {
	before := ts.before(partition)
	t := newTask(ts.env, partition)
	t.again.Store(again)
	ts.live[partition], ts.last[partition], ts.open[t] = t, t, true
	ts.workers.Go("task", func(ctx context.Context) error {
		t.run(ctx, before)
		ts.mu.Lock()
		defer ts.mu.Unlock()
		delete(ts.open, t)
		return nil
	})
}

// before gives what a new task of a partition has to wait for. mu is held.
func (ts *tasks) before(partition int32) <-chan struct{} {
	if held := ts.holds[partition]; held != nil { // the last one has closed then
		return held
	}
	if last := ts.last[partition]; last != nil {
		return last.closed
	}
	return closedChannel()
}

// hold keeps tasks of a partition that is away from starting until release is called, and gives the last one it had here,
// nil for none. release is nil where one is here, or has not closed yet.
func (ts *tasks) hold(partition int32) (last *task, release func()) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	last = ts.last[partition]
	if ts.live[partition] != nil || last != nil && !isClosed(last.closed) {
		return last, nil
	}
	held := make(chan struct{})
	ts.holds[partition] = held
	return last, func() {
		ts.mu.Lock()
		defer ts.mu.Unlock()
		delete(ts.holds, partition)
		close(held)
	}
}

func closedChannel() chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}

// ran closes ready once every task of the first assignment runs.
func (ts *tasks) ran() {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	if !ts.assigned || ts.isReady || !ts.env.lookups.areCurrent() {
		return
	}
	for _, t := range ts.live {
		if t.state.Load() != taskRunning {
			return
		}
	}
	ts.isReady = true
	close(ts.ready)
}

// Revoked stops tasks after the record in hand, commits and flushes what they did, and closes their stores. When ctx
// ends first, by its deadline or by a loss, what is left is dropped: it is done again elsewhere.
func (ts *tasks) Revoked(ctx context.Context, _ kafka.Member, list []int32) {
	given := ts.take(list)
	for _, t := range given {
		t.stop()
	}
	for _, t := range given {
		await(ctx, t.ended)
	}
	for _, t := range given {
		if ctx.Err() != nil || !t.hasEnded() {
			t.lose()
		}
	}
	if slices.ContainsFunc(given, (*task).hasRun) { // else a committer that waits for a coordinator would hold up a stop for nothing
		ts.env.commit.single.last(ctx, given)
		if err := ts.env.commit.sync(ctx); err != nil {
			ts.env.log.Warn("last commit before giving tasks away failed", "tasks", list, "error", err)
		}
	}
	if ctx.Err() != nil { // what is left is not ours to write
		for _, t := range given {
			t.lose()
		}
	}
	ts.env.flush.last(ctx, given)
	ts.close(ctx, given)
}

// Lost drops tasks without a commit: they belong to somebody else already.
func (ts *tasks) Lost(list []int32) {
	ctx, cancel := context.WithTimeout(context.Background(), ts.env.conf.stopTimeout)
	defer cancel()
	ts.close(ctx, ts.take(list))
}

// lose ends leases, those of tasks that are being given away included: their commit must not go on under the next generation.
func (ts *tasks) lose(list []int32) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	for _, p := range list {
		if t := ts.last[p]; t != nil {
			t.lose()
		}
	}
}

// Generation lets commits go on under a new generation.
func (ts *tasks) Generation(kafka.Member) { ts.env.commit.kickNow() }

// restart drops a task, be it on its way out, and starts it again from its checkpoint, unless the partition was given away
// meanwhile. The committer calls it.
func (ts *tasks) restart(t *task, cause error) {
	t.dismiss()
	ts.startAgain(t, cause)
}

// startAgain starts a task again from its checkpoint. One on its way out is left alone.
func (ts *tasks) startAgain(t *task, cause error) {
	if ts.replace(t) {
		observe.Tell(ts.env.conf.observe.Rebalance, observe.Rebalance{Group: ts.env.group.Name, Generation: -1,
			Kind: observe.Restarted, Tasks: []int32{t.partition}, Cause: cause})
	}
}

// replace tells whether the task was still wanted.
func (ts *tasks) replace(t *task) bool {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	if ts.stopped || ts.live[t.partition] != t {
		return false
	}
	t.dismiss()
	ts.start(t.partition, t.again.Load()+1)
	return true
}

func (ts *tasks) take(list []int32) []*task {
	ts.mu.Lock()
	var out []*task
	for _, p := range list {
		if t := ts.live[p]; t != nil {
			out = append(out, t)
			delete(ts.live, p)
		}
	}
	ts.mu.Unlock()
	ts.ran() // Ready speaks of the tasks that are left
	return out
}

// close dismisses tasks and waits until they are closed, or ctx ends. One whose callback still runs closes later.
func (ts *tasks) close(ctx context.Context, given []*task) {
	for _, t := range given {
		t.dismiss()
	}
	for _, t := range given {
		if await(ctx, t.closed); !t.hasEnded() {
			t.log.Error("a callback does not return; its partition stays closed in this process")
			t.account.close() // it is never written: others need not wait for it
		}
	}
}

// await waits for done, or for the end of ctx.
func await(ctx context.Context, done <-chan struct{}) {
	select {
	case <-done:
	case <-ctx.Done():
	}
}

// stops begins the time that a stop may take, for what the membership does in it and for what comes then.
func (ts *tasks) stops() {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	if ts.deadline.IsZero() {
		ts.deadline = time.Now().Add(ts.env.conf.stopTimeout)
	}
}

// waitAll waits until every task has closed, to the end of the stop timeout at most. Tasks whose callback does not return are left
// behind and named.
func (ts *tasks) waitAll() error {
	ts.stops()
	ts.mu.Lock()
	ts.stopped = true
	open, deadline := slices.Collect(maps.Keys(ts.open)), ts.deadline
	ts.mu.Unlock()
	ctx, cancel := context.WithDeadline(context.Background(), deadline)
	defer cancel()
	stuck := &StuckError{Group: ts.env.group.Name}
	for _, t := range open {
		t.dismiss()
		if await(ctx, t.closed); !t.hasEnded() {
			stuck.Tasks = append(stuck.Tasks, t.partition)
		}
	}
	if len(stuck.Tasks) > 0 {
		slices.Sort(stuck.Tasks)
		return stuck
	}
	return ts.workers.Wait()
}

// StuckError says that callbacks did not return within the stop timeout: after a stop, or after their task was lost and its
// partition came back to this process, which then ends, so that another can have it. Their goroutines go on; nothing of what
// they do is written any more. A callback that waits should watch its Context.
type StuckError struct {
	Group string
	Tasks []int32
}

func (e *StuckError) Error() string {
	return fmt.Sprintf("processor: group %s: callbacks of tasks %v do not return", e.Group, e.Tasks)
}
