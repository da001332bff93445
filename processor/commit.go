package processor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/tarnstream/tarn/internal/kafka"
	"github.com/tarnstream/tarn/internal/scope"
	"github.com/tarnstream/tarn/state"
)

// sealed is one task's part of a commit: what it changed and emitted up to positions.
type sealed struct {
	task    *task
	tables  [][]scope.Change
	batches []kafka.OutBatch
	charged int     // what the ledger counts for it
	marks   []mark  // by input: the next offset to read
	through []*walk // visits whose last rows are in it, or came before it

	rewritten [][]scope.Change // by table: what was written behind another writer
	outrun    error            // why the task has to start again, although Kafka has the layer
}

// sealWindow is how long a commit waits for the layers it asked for. A task inside a callback misses it and is part of
// a later commit.
const sealWindow = 5 * time.Millisecond

// committer writes sealed layers to Kafka, one commit at a time for the whole processor.
//
// The naive way lets each task commit for itself; offsets then overtake effects when two requests of one task are
// answered out of order, and a transaction could not span the tasks. The rule: a commit is produced and acknowledged in
// full, then its offsets are committed, or both are one transaction, and then its layers are promoted; the next commit
// starts after that. A task has at most one unsettled layer, and a stopped task's last one follows it in order.
type committer struct {
	env      *environment
	kick     chan struct{}
	arrived  chan struct{}
	late     chan struct{} // a layer has arrived whose task was in an effect when it was asked
	syncs    chan chan error
	done     chan struct{} // closed when run has returned
	producer *kafka.Producer
	fence    *fence        // nil: at-least-once
	single   *singleWriter // nil: exactly-once

	mu      sync.Mutex
	waiting []*sealed
}

func newCommitter(env *environment) *committer {
	c := &committer{env: env, kick: make(chan struct{}, 1), arrived: make(chan struct{}, 1), late: make(chan struct{}, 1), syncs: make(chan chan error),
		done: make(chan struct{})}
	if env.conf.exactlyOnce {
		c.fence = newFence()
	} else {
		c.single = newSingleWriter(c)
	}
	return c
}

// run commits every interval, when kicked, and when sync asks, until ctx ends.
func (c *committer) run(ctx context.Context) error {
	defer close(c.done)
	defer c.closeProducer()
	ticker := time.NewTicker(c.env.conf.commitInterval)
	defer ticker.Stop()
	var begin chan struct{}
	if c.fence != nil {
		begin = c.fence.asked
	}
	for {
		var answer chan error
		work := c.round
		select {
		case <-begin:
			work = c.begin
		case <-ticker.C:
		case <-c.kick:
		case <-c.late:
			work = c.settle
		case answer = <-c.syncs:
		case <-ctx.Done():
			return nil
		}
		err := work(ctx)
		if answer != nil {
			answer <- cmp.Or(err, c.stuck())
		}
		if err != nil && ctx.Err() == nil {
			return err
		}
	}
}

// stuck tells of layers that were not committed, since the producer waits for an epoch.
func (c *committer) stuck() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range c.waiting {
		if s.task.lease.Err() == nil {
			return errNoEpoch
		}
	}
	return nil
}

// errNoEpoch: another process with this id had the coordinator, or it does not answer.
var errNoEpoch = errors.New("processor: the transactional producer has no epoch yet: what was done last is not committed")

// offer takes a task's sealed layer for the next commit. One that comes late, after the effects of its task, does not wait
// for the interval: until it is committed the task cannot seal another.
func (c *committer) offer(s *sealed) {
	c.mu.Lock()
	c.waiting = append(c.waiting, s)
	c.mu.Unlock()
	notify(c.arrived)
	if len(s.task.frame.Effects()) > 0 {
		notify(c.late)
	}
}

// kickNow asks for a commit before the interval is over.
func (c *committer) kickNow() { notify(c.kick) }

func notify(ch chan struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}

// errNoCommitter: commits have ended, with the error that ends the run.
var errNoCommitter = errors.New("processor: commits have ended")

// sync commits everything that was sealed before the call.
func (c *committer) sync(ctx context.Context) error {
	answer := make(chan error, 1)
	select {
	case c.syncs <- answer:
	case <-c.done:
		return errNoCommitter
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	select {
	case err := <-answer:
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// round gathers sealed layers and commits them.
func (c *committer) round(ctx context.Context) error {
	asked := 0
	for _, t := range c.env.tasks.all() {
		if t.askSeal() {
			asked++
		}
	}
	c.gather(ctx, asked)
	if err := c.settle(ctx); err != nil {
		return err
	}
	return c.single.examine(ctx)
}

// settle commits the layers that wait; those of one task that wait behind each other take several turns.
func (c *committer) settle(ctx context.Context) error {
	for c.fence.isUp() {
		turn := c.take()
		if len(turn) == 0 {
			return nil
		}
		if err := c.commit(ctx, turn); err != nil {
			return err
		}
		if err := c.awaitDisk(ctx, turn); err != nil {
			return err
		}
	}
	return nil
}

func (c *committer) gather(ctx context.Context, asked int) {
	window := time.NewTimer(sealWindow)
	defer window.Stop()
	for {
		c.mu.Lock()
		n := len(c.waiting)
		c.mu.Unlock()
		if n >= asked {
			return
		}
		select {
		case <-c.arrived:
		case <-window.C:
			return
		case <-ctx.Done():
			return
		}
	}
}

// take gives the oldest waiting layer of each task whose lease lives; layers of lost tasks are dropped.
func (c *committer) take() []*sealed {
	c.mu.Lock()
	defer c.mu.Unlock()
	var turn, later []*sealed
	seen := map[*task]bool{}
	for _, s := range c.waiting {
		switch {
		case s.task.lease.Err() != nil:
		case seen[s.task]:
			later = append(later, s)
		default:
			seen[s.task] = true
			turn = append(turn, s)
		}
	}
	c.waiting = later
	return turn
}

// commit writes one turn. An error is final for the processor; a lost lease is none.
func (c *committer) commit(run context.Context, turn []*sealed) error {
	ctx, cancel := context.WithCancelCause(run)
	defer cancel(nil)
	for _, s := range turn {
		stop := context.AfterFunc(s.task.lease, func() { cancel(context.Cause(s.task.lease)) })
		defer stop()
	}
	began := c.env.now()
	again, err := c.write(ctx, turn)
	if again {
		err = cmp.Or(err, context.Cause(ctx))
		c.tellCommit(turn, began, err)
		if c.fence != nil {
			return c.aborted(run, turn, err)
		}
		c.unknown(turn, err)
		return nil
	}
	if err != nil {
		c.tellCommit(turn, began, err)
		return fmt.Errorf("processor: group %s: commit: %w", c.env.group.Name, err)
	}
	for _, s := range turn {
		s.committed()
	}
	c.promote(turn)
	c.tellCommit(turn, began, nil)
	return nil
}

// write brings a turn to Kafka. again tells that it is not there, or that nobody knows, and that its tasks have to start again
// for it.
func (c *committer) write(ctx context.Context, turn []*sealed) (again bool, err error) {
	bring := c.produce
	if c.fence != nil {
		bring = c.transact
	}
	if err = bring(ctx, turn); err == nil {
		for _, s := range turn {
			s.placed()
		}
	}
	if c.fence != nil {
		failed, _ := errors.AsType[*kafka.TransactionError](err)
		return errors.Is(context.Cause(ctx), errLost) || failed != nil && !failed.Final, err
	}
	if err == nil {
		err = c.single.check(ctx, turn)
	}
	if err == nil {
		err = c.env.commitOffsets(ctx, c.env.claimOf(tasksOf(turn)...), offsetsOf(turn))
	}
	return errors.Is(context.Cause(ctx), errLost) || errors.Is(err, kafka.ErrOutcomeUnknown) || errors.Is(err, kafka.ErrOffsetUnknown), err
}

// awaitDisk keeps commits, and with them the tasks, from running away from a disk that does not follow.
func (c *committer) awaitDisk(ctx context.Context, turn []*sealed) error {
	b := c.env.budget
	for _, s := range turn {
		for _, cell := range s.task.cells {
			if n := int64(cell.pendingBytes()); n == 0 || n < b.layers/4 && b.ledger.unflushed() < b.ledger.room.Load()*3/4 {
				continue
			}
			held, cancel := until(ctx, s.task.lease)
			err := c.env.flush.task(held, s.task)
			cancel()
			if err != nil && !errors.Is(err, errLost) && s.task.lease.Err() == nil {
				return err
			}
		}
	}
	return nil
}

func (c *committer) produce(ctx context.Context, turn []*sealed) error {
	return c.producing(turn, func(batches []kafka.OutBatch) error {
		if len(batches) == 0 {
			return nil
		}
		if err := c.makeProducer(ctx); err != nil {
			return err
		}
		return c.producer.Produce(ctx, batches)
	})
}

// producing has a turn's batches written by fn; what that says of each is then with its layer.
func (c *committer) producing(turn []*sealed, fn func([]kafka.OutBatch) error) error {
	var batches []kafka.OutBatch
	for _, s := range turn {
		batches = append(batches, s.batches...)
	}
	defer func() {
		rest := batches
		for _, s := range turn {
			rest = rest[copy(s.batches, rest):]
		}
	}()
	return fn(batches)
}

func (c *committer) makeProducer(ctx context.Context) error {
	if c.producer != nil {
		return nil
	}
	conf := kafka.ProducerConfig{Bytes: c.env.budget.write, Timeout: forEver, Missing: goneAfter, Allowed: c.env.claimed, Logger: c.env.log}
	if c.fence != nil {
		conf.TransactionalID = c.env.transactionalID()
	}
	c.producer = c.env.client.NewProducer(conf)
	c.env.budget.producer.Store(c.producer)
	return c.producer.Prepare(ctx, c.env.written...)
}

// forEver lets a commit wait for a broker that is away: what ends it is a lost lease or a stop.
const forEver = 365 * 24 * time.Hour

// goneAfter is how long a topic that was there at the start may be unknown to the brokers before the run ends for it.
const goneAfter = 5 * time.Second

// every takes a turn each interval until ctx ends.
func every(ctx context.Context, interval time.Duration, turn func()) {
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			turn()
		case <-ctx.Done():
			return
		}
	}
}

func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// unknown drops a commit whose outcome is unknown, because a lease ended under it or the broker does not tell: nothing
// is promoted on a guess. Tasks of the commit that are still ours start again from their checkpoints, and the producer
// from a new id.
func (c *committer) unknown(turn []*sealed, why error) {
	c.closeProducer()
	c.restart(turn, why)
}

func (c *committer) restart(turn []*sealed, why error) {
	for _, s := range turn {
		if s.task.lease.Err() == nil {
			c.env.tasks.restart(s.task, fmt.Errorf("processor: a commit was aborted, or its outcome is unknown: %w", why))
		}
	}
}

func (c *committer) closeProducer() {
	if c.producer != nil {
		c.single.retire(c.producer)
		c.producer.Close()
		c.producer = nil
	}
}

// promote moves a turn's layers to committed, now that Kafka has them. A task with a gap in a table that is not accounted for
// promotes nothing: it starts again and reads what it missed, its own records included.
func (c *committer) promote(turn []*sealed) {
	now, flush := c.env.now(), false
	for _, s := range turn {
		if s.outrun != nil || s.gap() {
			c.env.tasks.restart(s.task, cmp.Or(s.outrun, errOtherWriter))
			continue
		}
		inputs := &consumed{make(map[string]int64, len(s.marks)), make(map[string]state.TopicID, len(s.marks))}
		for i, in := range s.task.inputs {
			inputs.positions[in.topic], inputs.topics[in.topic] = s.marks[i].position, s.marks[i].topic
		}
		all := 0
		for i, cell := range s.task.cells {
			grown, _ := cell.promote(s.tables[i], inputs, now)
			all += grown + s.promoteRewritten(i, inputs, now)
			flush = flush || int64(cell.pendingBytes()) > c.env.budget.layers/8
		}
		s.task.account.add(int64(all-s.charged), int64(all))
		s.task.settled()
		for _, w := range s.through {
			close(w.done)
		}
	}
	if flush || c.env.budget.ledger.unflushed() > c.env.budget.ledger.room.Load()/2 {
		c.env.flush.kickNow()
	}
}

// committed notes that the group's offsets are at the layer's positions.
func (s *sealed) committed() {
	for i, in := range s.task.inputs {
		in.committed.Store(&s.marks[i])
	}
}

var errOtherWriter = errors.New("processor: a table's topic has records of another writer")

// placed copies the offsets that Kafka gave the changelog batches into the changes.
func (s *sealed) placed() {
	b := 0
	for i, changes := range s.tables {
		if len(changes) == 0 {
			continue
		}
		s.task.cells[i].written(changes, &s.batches[b])
		b++
	}
}

func (s *sealed) gap() bool {
	for i, cell := range s.task.cells {
		if cell.gap(s.tables[i]) {
			return true
		}
	}
	return false
}
