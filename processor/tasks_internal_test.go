package processor

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tarnstream/tarn/internal/bubbletest"
	"github.com/tarnstream/tarn/internal/kafka"
	"github.com/tarnstream/tarn/internal/scope"
	worker "github.com/tarnstream/tarn/internal/task"
	"github.com/tarnstream/tarn/observe"
	"github.com/tarnstream/tarn/state"
)

// memory is a store that remembers what was written.
type memory struct {
	state.Store
	onWrite func() error

	mu   sync.Mutex
	rows map[string]*state.Row
}

func (m *memory) Write(b *state.Batch) error {
	if m.onWrite != nil {
		if err := m.onWrite(); err != nil {
			return err
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for key, row := range b.All() {
		m.rows[string(key)] = row
	}
	return nil
}

func (m *memory) Get(key []byte) (state.Row, bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if r := m.rows[string(key)]; r != nil {
		return *r, true, nil
	}
	return state.Row{}, false, nil
}

func (m *memory) Close() error { return nil }

func flushOne(t *testing.T, c *cell) error {
	_, _, err := c.flush(t.Context(), epochPatience)
	return err
}

func newMemory() *memory { return &memory{rows: map[string]*state.Row{}} }

// newTestBudget is one that nothing comes near.
func newTestBudget() *budget {
	b, err := newBudget(1<<40, crowd{tasks: 1, tables: 1, inputs: 1}, slog.New(slog.DiscardHandler))
	if err != nil {
		panic(err)
	}
	return b
}

func newEnv(t *testing.T, names ...string) *environment {
	g := &scope.Group{Name: "g"}
	for _, n := range names {
		g.Tables = append(g.Tables, scope.Table{Topic: scope.Topic{Name: n}})
	}
	env := &environment{group: g, log: slog.New(slog.DiscardHandler), now: time.Now, count: &counters{}, fail: func(error) {},
		conf: config{commitInterval: time.Second, flushInterval: time.Second, stopTimeout: time.Second}}
	env.budget = newTestBudget()
	env.commit, env.flush = newCommitter(env), newFlusher(env)
	env.tasks = newTasks(env, worker.New(context.Background()), make(chan struct{}))
	t.Cleanup(func() {
		env.tasks.workers.Stop(errRevoked)
		require.NoError(t, env.tasks.workers.Wait())
	})
	return env
}

func runningTask(env *environment, p int32, cells ...*cell) *task {
	t := newTask(env, p)
	t.cells = cells
	for i, c := range cells {
		t.kept[i].restored(c)
	}
	t.state.Store(taskRunning)
	env.tasks.live[p] = t
	env.tasks.last[p], env.tasks.open[t] = t, true
	env.tasks.workers.Go("stand-in", func(ctx context.Context) error {
		await(ctx, t.ended)
		if await(ctx, t.gone); ctx.Err() == nil {
			t.finish(closedChannel())
		}
		return nil
	})
	return t
}

func placed(key string, offset int64) scope.Change {
	return scope.Change{Key: key, Value: []byte(key), Offset: offset}
}

// The log has records of another writer below ours: what is on disk must not say that they were applied (R15).
func TestR15_NoFlushOverAGap(t *testing.T) {
	bubbletest.Run(t, func(t *testing.T) {
		env := newEnv(t, "table")
		slow, store := newMemory(), newMemory()
		first := newCell("table", 0, slow)
		first.promote([]scope.Change{placed("a", 0)}, nil, time.Now())
		second := newCell("table", 1, store)
		runningTask(env, 0, first)
		hit := runningTask(env, 1, second)
		slow.onWrite = func() error { time.Sleep(time.Second); return nil } // a slow disk keeps the flusher at task 0
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- env.flush.run(ctx) }()
		time.Sleep(1500 * time.Millisecond)

		c := placed("ours", 5) // 0 to 4 are another writer's
		_, gap := second.promote([]scope.Change{c}, nil, time.Now())
		require.True(t, gap)
		env.tasks.restart(hit, errOtherWriter) // as committer.promote does
		time.Sleep(time.Second)
		cancel()
		require.NoError(t, <-done)
		_, written, _ := store.Get([]byte("ours"))
		close(hit.ended)
		env.tasks.Lost([]int32{1})
		env.tasks.workers.Stop(errRevoked)
		synctest.Wait()
		require.False(t, written, "flushed with a checkpoint behind records that were never applied")
	})
}

// awaitDisk waits for the flush of one task; another task of the commit loses its lease meanwhile.
func TestAwaitDisk_AnothersLostLeaseIsNoError(t *testing.T) {
	bubbletest.Run(t, func(t *testing.T) {
		env := newEnv(t, "table")
		env.budget.layers = 1
		c := newCell("table", 0, newMemory())
		c.promote([]scope.Change{placed("a", 0)}, nil, time.Now())
		c.flushing <- struct{}{} // the flusher is at it
		full, other := runningTask(env, 0, c), runningTask(env, 1)
		ctx, cancel := context.WithCancelCause(t.Context()) // as commit makes it
		context.AfterFunc(other.lease, func() { cancel(context.Cause(other.lease)) })
		go func() { time.Sleep(time.Second); other.lose() }()
		require.NoError(t, env.commit.awaitDisk(ctx, []*sealed{{task: full}, {task: other}}))
	})
}

// A restart and a loss at the same time, in either order, leave no task behind for a partition that is gone.
func TestRestart_WhileThePartitionIsLost(t *testing.T) {
	for range 200 {
		env := newEnv(t, "table")
		old := runningTask(env, 0)
		close(old.ended)
		var both sync.WaitGroup
		both.Go(func() { env.tasks.restart(old, errOtherWriter) })
		both.Go(func() { env.tasks.Lost([]int32{0}) })
		both.Wait()
		require.Empty(t, env.tasks.all(), "tasks of partitions that belong to somebody else")
		env.tasks.workers.Stop(errRevoked)
		require.NoError(t, env.tasks.waitAll())
	}
}

// Ready speaks of the tasks that are left, also when the ones it waited for were given away.
func TestReady_WhenTheLastRestoringTaskIsGivenAway(t *testing.T) {
	env := newEnv(t, "table")
	runningTask(env, 0)
	restoring := runningTask(env, 1)
	restoring.state.Store(taskRestoring)
	env.tasks.assigned = true
	env.tasks.ran()
	close(restoring.ended)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- env.commit.run(ctx) }()
	env.tasks.Revoked(ctx, kafka.Member{}, []int32{1})
	cancel()
	require.NoError(t, <-done)
	select {
	case <-env.tasks.ready:
	default:
		t.Fatal("task 0 runs and is all there is")
	}
}

// A flush fails; the flush at the stop fails too. Readers see what is committed all the same.
func TestCell_ReadsAfterFailedFlushes(t *testing.T) {
	store := newMemory()
	store.onWrite = func() error { return errors.New("disk full") }
	c := newCell("table", 0, store)
	c.promote([]scope.Change{placed("a", 0)}, nil, time.Now())
	require.Error(t, flushOne(t, c))
	require.Error(t, flushOne(t, c))
	_, ok, err := c.read("a", false)
	require.NoError(t, err)
	require.True(t, ok)
}

type nothing struct{}

func (nothing) Get(int, string) ([]byte, *scope.Mark, bool, error) { return nil, nil, false, nil }
func (nothing) Range(int) scope.Rows                               { return nil }

type ints struct{}

func (ints) Encode(dst []byte, v int) ([]byte, error) { return append(dst, byte(v)), nil }
func (ints) Decode(d []byte) (int, error)             { return int(d[0]), nil }

// Rows that are only read must leave the cache too.
func TestOverlay_CacheOfReadRowsIsBounded(t *testing.T) {
	o := scope.NewOverlay("table", 0, ints{}, nothing{})
	b := newTestBudget()
	b.rows = 8 << 20
	o.SetCache(b.rowLimit)
	key := make([]byte, 1000)
	for i := range 100_000 {
		key[0], key[1], key[2] = byte(i), byte(i>>8), byte(i>>16)
		_, _, err := o.Get(key)
		require.NoError(t, err)
		if i%1000 == 0 {
			o.Seal()
		}
	}
	_, cached := o.Bytes()
	require.LessOrEqual(t, cached, 10<<20, "a seal ago it was no more than 8 MiB")
}

// A request to seal that comes late finds the layer before it in a commit: the open layer waits (see seal).
func TestSeal_NeverASecondUnsettledLayer(t *testing.T) {
	env := newEnv(t, "table")
	store := newMemory()
	c := newCell("table", 0, store)
	env.group.Tables[0].NewOverlay = func(i int, b scope.Backing) scope.Layer { return scope.NewOverlay("table", i, ints{}, b) }
	tk := runningTask(env, 0, c)
	tk.frame = scope.NewFrame(t.Context(), env.group, tk)
	write := func(key string) {
		require.NoError(t, tk.frame.Run(scope.Record{}, func(f *scope.Frame) error {
			o, err := scope.Of[int](f, nil, "table")
			if err != nil {
				return err
			}
			return o.Set([]byte(key), 1, 0)
		}))
		tk.worked.Store(true)
	}
	// the committer has looked (not unsettled) and is about to ask again, the task answers its older request
	write("a")
	tk.seal()
	write("b")
	tk.sealing.Store(true) // the second half of askSeal
	tk.nudge()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_ = tk.loop(ctx)
	_, ok, err := c.read("a", true)
	require.NoError(t, err)
	require.True(t, ok, "the task reads its own layer that is in a commit")
}

func TestFlusher_TellsOfAFailure(t *testing.T) {
	env := newEnv(t, "table")
	full := errors.New("disk full")
	var told []observe.Flush
	env.conf.observe.Flush = func(f observe.Flush) { told = append(told, f) }
	store := newMemory()
	store.onWrite = func() error { return full }
	c := newCell("table", 3, store)
	c.promote([]scope.Change{placed("key", 0)}, nil, time.Now())
	require.ErrorIs(t, env.flush.task(t.Context(), runningTask(env, 3, c)), full)
	require.Len(t, told, 1)
	require.ErrorIs(t, told[0].Err, full)
	require.Equal(t, observe.Place{Group: "g", Topic: "table", Partition: 3}, told[0].Place)
	require.Equal(t, 1, told[0].Rows)
	require.Zero(t, env.count.flushes.Load())
}

// A panic outside a callback is a defect of ours. The run ends with it, instead of going on with nobody at work.
func TestPanic_EndsTheRun(t *testing.T) {
	env := newEnv(t, "table")
	env.restoring = closedChannel() // to send on it panics
	failed := make(chan error, 1)
	env.fail = func(err error) { failed <- err }
	env.tasks.Assigned(t.Context(), kafka.Member{}, []int32{0})
	require.ErrorAs(t, <-failed, new(*PanicError))
	env.tasks.Lost([]int32{0})

	env.group.Reads, env.readPartitions = []scope.Read{{}}, []int32{1}
	f := newFollower(env, 0, 0, func() {})
	f.start(env.tasks.workers)
	require.ErrorAs(t, <-failed, new(*PanicError))
	<-f.done
	require.ErrorAs(t, f.current(t.Context()), new(*PanicError))
}

// While a flush is under way its rows are frozen, and those committed meanwhile are not.
func TestCell_StatsOfTheLayers(t *testing.T) {
	store := newMemory()
	c, marks := newCell("table", 0, store), map[string]*scope.Mark{}
	commit := func(changes ...scope.Change) {
		for i := range changes {
			key := changes[i].Key
			marks[key] = cmp.Or(marks[key], new(scope.Mark))
			changes[i].Mark = marks[key]
		}
		_, gap := c.promote(changes, nil, time.Now())
		require.False(t, gap)
	}
	seen := func() (s observe.TableStats) { c.stats(&s); return s }
	layer := func(keys ...string) (l observe.LayerStats) {
		for _, key := range keys {
			l.Rows, l.Bytes = l.Rows+1, l.Bytes+int64(changeBytes+2*len(key))
		}
		return l
	}
	commit(placed("one", 0), placed("two", 1))
	store.onWrite = func() error {
		commit(placed("three", 2))
		require.Equal(t, layer("one", "two"), seen().Frozen)
		require.Equal(t, layer("three"), seen().Committed)
		return nil
	}
	require.NoError(t, flushOne(t, c))
	require.Zero(t, seen().Frozen)
	require.Equal(t, layer("three"), seen().Committed)
	require.EqualValues(t, 3, seen().Position)
	commit(placed("three", 3))
	require.Equal(t, layer("three"), seen().Committed, "the same row weighs once")
}

// A partition that comes back while its store is looked at, or removed, waits for the end of it; one that is here, or has
// not closed yet, is not held.
func TestHold_APartitionThatComesBackJustThen(t *testing.T) {
	env := newEnv(t, "table")
	before := func() <-chan struct{} {
		env.tasks.mu.Lock()
		defer env.tasks.mu.Unlock()
		return env.tasks.before(0)
	}
	last, release := env.tasks.hold(0)
	require.Nil(t, last)
	came := before()
	require.False(t, isClosed(came))
	release()
	require.True(t, isClosed(came))
	require.True(t, isClosed(before()))

	here := runningTask(env, 0)
	_, release = env.tasks.hold(0)
	require.Nil(t, release, "it is here")
	env.tasks.mu.Lock()
	delete(env.tasks.live, 0)
	env.tasks.mu.Unlock()
	_, release = env.tasks.hold(0)
	require.Nil(t, release, "it has not closed")
	close(here.ended)
	here.dismiss()
	<-here.closed
	last, release = env.tasks.hold(0)
	require.Same(t, here, last)
	require.False(t, isClosed(before()))
	release()
	require.True(t, isClosed(before()))
}
