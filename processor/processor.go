package processor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tarnstream/tarn/internal/kafka"
	"github.com/tarnstream/tarn/internal/scope"
	worker "github.com/tarnstream/tarn/internal/task"
	"github.com/tarnstream/tarn/observe"
	"github.com/tarnstream/tarn/state"
	"github.com/tarnstream/tarn/topology"
)

// restoresAtOnce bounds the tables' partitions that are restored at the same time.
const restoresAtOnce = 4

// Processor runs one group in this process. Make it with New.
type Processor struct {
	group  *topology.Group
	conf   config
	ran    atomic.Bool
	ready  chan struct{}
	over   chan struct{} // closed when Run has returned
	counts counters

	mu      sync.Mutex
	phase   string // as Stats names it
	ended   error  // what Run returned
	running *tasks
}

// New checks the options, all at once, and makes a Processor. It starts nothing and touches no network and no disk.
func New(group *topology.Group, options ...Option) (*Processor, error) {
	if group == nil {
		return nil, errors.New("processor: the group is nil")
	}
	d := group.Description()
	conf, err := configure(len(d.Tables)+len(d.Reads) > 0, options)
	_, faults := conf.letterTopics(d)
	if err := errors.Join(append([]error{err}, faults...)...); err != nil {
		return nil, err
	}
	return &Processor{group: group, conf: conf, ready: make(chan struct{}), over: make(chan struct{}), phase: observe.StateNew}, nil
}

// Ready is closed when this process has joined the group, the tables that the group looks up are current, and every task
// given to it so far has its own tables and the joined ones current and reads its inputs. An instance that is given no task, because others have them all, is ready as well.
func (p *Processor) Ready() <-chan struct{} { return p.ready }

// Run joins the group and handles records until ctx ends; then it commits, flushes, leaves the group (see policy.StayOnStop) and
// returns nil. Any other end is an error: *RecordError for a record that cannot be handled, *EffectError for an effect that
// failed, *policy.InputError for an input that has lost its place, *TopicsError for topics that do not fit,
// *state.LockedError for a state directory in use, *FencedError for another process that has taken over this one's
// identity, or what Kafka or the disk said. What was committed before stays right in either case. Run is called once.
func (p *Processor) Run(ctx context.Context) error {
	if p.ran.Swap(true) {
		return errRanTwice
	}
	defer close(p.over)
	p.enter(observe.StateStarting, nil)
	env, err := p.prepare(ctx)
	if err == nil {
		err = env.run(ctx, p)
		env.close()
	}
	return p.end(endOf(ctx, err))
}

func (p *Processor) end(err error) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.phase, p.ended, p.running = observe.StateStopped, err, nil
	return err
}

// endOf makes an end that was asked for no error. What happened to a record or an effect stays one, whatever ended it.
func endOf(ctx context.Context, err error) error {
	if is[*RecordError](err) || is[*EffectError](err) || ctx.Err() == nil {
		return err
	}
	if _, unreachable := errors.AsType[*kafka.UnreachableError](err); unreachable || errors.Is(err, context.Cause(ctx)) || errors.Is(err, ctx.Err()) {
		return nil
	}
	return err
}

// prepare takes the state directory, reaches a broker and checks the topics.
func (p *Processor) prepare(ctx context.Context) (env *environment, err error) {
	g := p.group.Description()
	letters, _ := p.conf.letterTopics(g)
	env = &environment{group: g, conf: p.conf, log: p.conf.kafka.Logger.With("group", g.Name), now: time.Now,
		restoring: make(chan struct{}, restoresAtOnce), limits: map[string]scope.Limits{}, written: writtenTopics(g, letters), letters: letters, letterPartitions: map[string]int32{},
		count: &p.counts}
	if p.conf.stateDir != "" {
		if env.dir, err = state.LockGroup(p.conf.stateDir, "groups", g.Name, env.log); err != nil {
			return nil, fmt.Errorf("processor: group %s: %w", g.Name, err)
		}
	}
	client, done, err := p.conf.connect("tarn-" + g.Name)
	if err != nil {
		env.close()
		return nil, err
	}
	env.client, env.disconnect = client.kafka, done
	starting, cancel := p.conf.starting(ctx)
	defer cancel()
	err = env.client.Connect(starting, g.Inputs[0].Name)
	if err == nil && p.conf.exactlyOnce {
		if err = env.client.RequireTransactions(starting); err != nil {
			err = needsTransactions(g.Name, err)
		}
	}
	if err == nil && p.conf.awaitTopics {
		err = awaitTopics(ctx, env.client, env.log, env.foreignTopics()...)
	}
	if err == nil {
		checking, cancel := p.conf.starting(ctx)
		defer cancel()
		err = checkTopics(checking, env)
	}
	if err == nil {
		if env.budget, err = newBudget(p.conf.memory, env.crowd(), env.log); err != nil {
			err = fmt.Errorf("processor: group %s: %w", g.Name, err)
		}
	}
	if err != nil {
		env.close()
		return nil, err
	}
	return env, nil
}

// close gives up connections and directory, in this order: whoever takes the directory next is alone.
func (e *environment) close() {
	if e.disconnect != nil {
		e.disconnect()
	}
	if e.dir != nil {
		if err := e.dir.Close(); err != nil {
			e.log.Warn("state directory is not given up cleanly", "error", err)
		}
	}
}

// run owns the goroutines. The parts that a clean stop needs (reader, committer, flusher) outlive the membership, which
// gives the tasks away first.
func (e *environment) run(ctx context.Context, p *Processor) error {
	parts := worker.New(context.WithoutCancel(ctx))
	membership, leave := context.WithCancelCause(ctx)
	defer leave(nil)
	var once sync.Once
	var failure error
	e.fail = func(err error) {
		once.Do(func() {
			failure = err
			e.log.Error("stopping", "error", err)
			leave(err)
		})
	}
	e.reader = e.client.NewReader(kafka.ReaderConfig{Bytes: e.budget.fetch, Logger: e.log})
	e.commit, e.flush = newCommitter(e), newFlusher(e)
	workers := worker.New(parts.Context())
	e.tasks = newTasks(e, workers, p.ready)
	e.budget.ledger.freed = e.tasks.nudge
	e.budget.ledger.pressed = func() {
		e.commit.kickNow()
		e.flush.kickNow()
	}
	e.lookups = newLookups(e)
	e.member = e.client.NewMembership(e.membershipConfig())
	p.enter(observe.StateRunning, e.tasks)
	defer p.enter(observe.StateStopped, nil)
	part := func(name string, run func(context.Context) error) {
		parts.Go(name, func(ctx context.Context) error {
			if err := protect(func() error { return run(ctx) }); err != nil && ctx.Err() == nil {
				e.fail(fmt.Errorf("%s: %w", name, err))
			}
			return nil
		})
	}
	part("reader", e.reader.Run)
	part("committer", e.commit.run)
	part("flusher", e.flush.run)
	part("tends", e.flush.tends)
	part("trimmer", newTrimmer(e).run)
	part("keeper", newKeeper(e).run)
	e.lookups.start(parts)

	defer context.AfterFunc(membership, e.tasks.stops)()
	err := e.member.Run(membership, e.tasks)
	once.Do(func() {}) // what fails from here on is an effect of the stop
	workers.Stop(errRevoked)
	stuck := e.tasks.waitAll()
	parts.Stop(errRevoked)
	if panicked := errors.Join(parts.Wait(), stuck); panicked != nil {
		return errors.Join(e.endedBy(failure), panicked)
	}
	return e.endedBy(cmp.Or(failure, err))
}

// enter notes what Run is at. ts are the tasks while it runs.
func (p *Processor) enter(phase string, ts *tasks) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.phase, p.running = phase, ts
}

func (p *Processor) tasks() *tasks {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.running
}

// Stats tells what the Processor has done and where it stands, without asking anybody.
func (p *Processor) Stats() observe.Stats {
	s := p.counts.stats()
	s.Group, s.Kind = p.group.Name(), observe.KindProcessor
	p.mu.Lock()
	s.State, s.Err = p.phase, p.ended
	ts := p.running
	p.mu.Unlock()
	if ts == nil {
		return s
	}
	if !ts.areGiven() {
		s.State = observe.StateJoining
	}
	s.Memory = ts.env.budget.stats(ts.env.reader)
	for _, t := range ts.all() {
		s.Tasks[t.partition] = t.stats()
		s.Memory.Rows += t.meter.rows.Load()
	}
	s.Lookups = ts.env.lookups.stats()
	return s
}

// Lag is Stats' own: how many offsets the inputs of this process's tasks are behind, from what is known here. The func Lag
// asks Kafka instead, of the whole group.
func (p *Processor) Lag() (offsets int64, known bool) { return p.Stats().Lag() }
