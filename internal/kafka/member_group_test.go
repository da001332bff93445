package kafka_test

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tarnstream/tarn/devbroker"
	"github.com/tarnstream/tarn/internal/kafka"
)

// desk is a group under test: a broker, and who holds which task. Everything runs in a synctest bubble.
type desk struct {
	t      *testing.T
	broker *devbroker.Broker

	mu     sync.Mutex
	holder map[int32]*clerk
	faults []string
}

func newDesk(t *testing.T, tasks int, opts ...devbroker.Option) *desk {
	b, err := devbroker.Start(append(opts, devbroker.Virtual())...)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, b.Close()) })
	require.NoError(t, b.CreateTopic("in", tasks, nil))
	require.NoError(t, b.CreateTopic("too", tasks, nil))
	return &desk{t: t, broker: b, holder: map[int32]*clerk{}}
}

// clerk is a member and its handler.
type clerk struct {
	desk   *desk
	name   string
	client *kafka.Client
	member *kafka.Membership
	cancel context.CancelFunc
	done   chan struct{}
	err    error

	// under desk.mu
	held        []int32
	lost        []int32 // every task ever lost
	revoked     []int32 // every task ever revoked
	generations []int32
	events      []kafka.MemberEventKind
	slow        func(ctx context.Context, m kafka.Member, tasks []int32) // what Revoked does first
}

// hire starts a member; the zero config is one of group g on both topics.
func (d *desk) hire(name string, cfg kafka.MembershipConfig) *clerk {
	d.t.Helper()
	w := &clerk{desk: d, name: name, done: make(chan struct{})}
	cfg.Group, cfg.Topics = "g", []string{"in", "too"}
	cfg.OnEvent = func(e kafka.MemberEvent) {
		d.mu.Lock()
		defer d.mu.Unlock()
		w.events = append(w.events, e.Kind)
	}
	w.client = newClientOf(d.t, d.broker)
	w.member = w.client.NewMembership(cfg)
	ctx, cancel := context.WithCancel(d.t.Context())
	w.cancel = cancel
	go func() {
		defer close(w.done)
		w.err = w.member.Run(ctx, w)
	}()
	d.t.Cleanup(func() { cancel(); <-w.done })
	return w
}

func (w *clerk) Assigned(_ context.Context, _ kafka.Member, added []int32) {
	w.desk.mu.Lock()
	defer w.desk.mu.Unlock()
	for _, t := range added {
		if o := w.desk.holder[t]; o != nil {
			w.desk.faults = append(w.desk.faults, w.name+" got a task that "+o.name+" holds")
		}
		w.desk.holder[t] = w
	}
	w.held = slices.Sorted(slices.Values(append(w.held, added...)))
}

func (w *clerk) Revoked(ctx context.Context, m kafka.Member, tasks []int32) {
	if w.slow != nil {
		w.slow(ctx, m, tasks)
	}
	w.close(tasks, &w.revoked)
}

func (w *clerk) Lost(tasks []int32) { w.close(tasks, &w.lost) }

func (w *clerk) Generation(m kafka.Member) {
	w.desk.mu.Lock()
	defer w.desk.mu.Unlock()
	w.generations = append(w.generations, m.Generation)
}

func (w *clerk) close(tasks []int32, to *[]int32) {
	w.desk.mu.Lock()
	defer w.desk.mu.Unlock()
	*to = append(*to, tasks...)
	w.held = slices.DeleteFunc(slices.Clone(w.held), func(t int32) bool { return slices.Contains(tasks, t) })
	for _, t := range tasks {
		if w.desk.holder[t] == w {
			delete(w.desk.holder, t)
		}
	}
}

// kill ends a member as kill -9 does: nobody is told. What it held is nobody's from then on.
func (w *clerk) kill() {
	w.client.Close()
	<-w.done
	require.ErrorIs(w.desk.t, w.err, kafka.ErrClosed)
}

// quit ends a member in order.
func (w *clerk) quit() {
	w.cancel()
	<-w.done
	require.NoError(w.desk.t, w.err)
}

func (w *clerk) tasks() []int32 {
	w.desk.mu.Lock()
	defer w.desk.mu.Unlock()
	return slices.Clone(w.held)
}

func (w *clerk) ever(list *[]int32) []int32 {
	w.desk.mu.Lock()
	defer w.desk.mu.Unlock()
	return slices.Clone(*list)
}

func (w *clerk) saw(kind kafka.MemberEventKind) bool {
	w.desk.mu.Lock()
	defer w.desk.mu.Unlock()
	return slices.Contains(w.events, kind)
}

// until lets virtual time pass until cond holds and tells how long it took.
func (d *desk) until(limit time.Duration, cond func() bool) time.Duration {
	d.t.Helper()
	begun := time.Now()
	for !cond() {
		require.Less(d.t, time.Since(begun), limit, "in virtual time")
		time.Sleep(50 * time.Millisecond)
	}
	return time.Since(begun)
}

// balanced waits until the members hold that many tasks each.
func (d *desk) balanced(limit time.Duration, counts map[*clerk]int) time.Duration {
	d.t.Helper()
	return d.until(limit, func() bool {
		for w, n := range counts {
			if len(w.tasks()) != n {
				return false
			}
		}
		return true
	})
}

// sound asserts that no task ever had two holders.
func (d *desk) sound() {
	d.t.Helper()
	d.mu.Lock()
	defer d.mu.Unlock()
	require.Empty(d.t, d.faults)
}
