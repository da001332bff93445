package processor

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/tarnstream/tarn/internal/kafka"
	worker "github.com/tarnstream/tarn/internal/task"
)

// tasks holds the tasks of this process and does what the membership says; it implements kafka.Handler.
type tasks struct {
	env     *environment
	workers *worker.Group

	mu       sync.Mutex
	live     map[int32]*task
	closing  map[int32]<-chan struct{} // partitions whose last task has not closed yet
	stuck    []*task                   // their callback did not return in time
	assigned bool
	ready    chan struct{} // closed by the first time that every task runs
	isReady  bool
}

func newTasks(env *environment, workers *worker.Group, ready chan struct{}) *tasks {
	return &tasks{env: env, workers: workers, live: map[int32]*task{}, closing: map[int32]<-chan struct{}{}, ready: ready}
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

func (ts *tasks) get(partition int32) *task {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	return ts.live[partition]
}

// Assigned starts tasks.
func (ts *tasks) Assigned(_ context.Context, _ kafka.Member, added []int32) {
	for _, p := range added {
		ts.start(p)
	}
	ts.mu.Lock()
	ts.assigned = true
	ts.mu.Unlock()
	ts.ran()
}

func (ts *tasks) start(partition int32) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	before, ok := ts.closing[partition]
	if !ok {
		none := make(chan struct{})
		close(none)
		before = none
	}
	t := newTask(ts.env, partition)
	ts.live[partition] = t
	ts.closing[partition] = t.closed
	ts.workers.Go("task", func(ctx context.Context) error {
		t.run(ctx, before)
		return nil
	})
}

// ran closes ready once every task of the first assignment runs.
func (ts *tasks) ran() {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	if !ts.assigned || ts.isReady {
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

// Revoked stops tasks after the record in hand, commits and flushes what they did, and closes their stores. Tasks whose
// callback does not return before ctx ends are dropped: what they did since the last commit is done again elsewhere.
func (ts *tasks) Revoked(ctx context.Context, _ kafka.Member, list []int32) {
	gone := ts.take(list)
	for _, t := range gone {
		t.stop()
	}
	for _, t := range gone {
		select {
		case <-t.ended:
		case <-ctx.Done():
			t.lose(errLost)
		}
	}
	if err := ts.env.commit.sync(ctx); err != nil {
		ts.env.log.Warn("last commit before giving tasks away failed", "tasks", list, "error", err)
	}
	for _, t := range gone {
		if t.lease.Err() == nil && t.frame != nil {
			if err := ts.env.flush.task(ctx, t, true); err != nil {
				t.log.Warn("last flush failed; the state on disk is right, only older", "error", err)
			}
		}
	}
	ts.close(gone)
}

// Lost drops tasks without a commit: they belong to somebody else already.
func (ts *tasks) Lost(list []int32) {
	gone := ts.take(list)
	for _, t := range gone {
		t.lose(errLost)
	}
	ts.close(gone)
}

// Generation lets commits go on under a new generation.
func (ts *tasks) Generation(kafka.Member) { ts.env.commit.kickNow() }

// restart drops a task and starts it again from its checkpoint.
func (ts *tasks) restart(t *task, cause string) {
	t.log.Warn("task starts again from its checkpoint", "cause", cause)
	t.lose(errLost)
	ts.workers.Go("restart", func(context.Context) error {
		ts.mu.Lock()
		mine := ts.live[t.partition] == t
		ts.mu.Unlock()
		if mine {
			ts.start(t.partition)
			ts.close([]*task{t})
		}
		return nil
	})
}

func (ts *tasks) take(list []int32) []*task {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	var out []*task
	for _, p := range list {
		if t := ts.live[p]; t != nil {
			out = append(out, t)
			delete(ts.live, p)
		}
	}
	return out
}

// close closes the stores of ended tasks. One whose callback still runs closes its own when it returns.
func (ts *tasks) close(gone []*task) {
	for _, t := range gone {
		if t.waitEnded(ts.env.conf.stopTimeout) {
			t.close()
			continue
		}
		t.log.Error("a callback does not return; its partition stays closed in this process")
		ts.mu.Lock()
		ts.stuck = append(ts.stuck, t)
		ts.mu.Unlock()
		t.abandon()
	}
}

// waitAll waits until every task has ended. Tasks whose callback does not return are left behind and named.
func (ts *tasks) waitAll() error {
	ts.mu.Lock()
	stuck := ts.stuck
	ts.mu.Unlock()
	if len(stuck) == 0 {
		return ts.workers.Wait()
	}
	e := &StuckError{Group: ts.env.group.Name}
	for _, t := range stuck {
		e.Tasks = append(e.Tasks, t.partition)
	}
	return e
}

// StuckError says that callbacks did not return within the stop timeout. Their goroutines go on; nothing of what they
// do is written any more. A callback that waits should watch its Context.
type StuckError struct {
	Group string
	Tasks []int32
}

func (e *StuckError) Error() string {
	return fmt.Sprintf("processor: group %s: callbacks of tasks %v do not return", e.Group, e.Tasks)
}
