package processor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"sync/atomic"
	"time"

	"github.com/tarnstream/tarn/internal/kafka"
	worker "github.com/tarnstream/tarn/internal/task"
	"github.com/tarnstream/tarn/observe"
	"github.com/tarnstream/tarn/policy"
	"github.com/tarnstream/tarn/state"
)

// View keeps a whole table, all partitions, in a process that does not write it, and follows its changes. Reads are
// local. Make it with NewView.
//
// A read of a partition that is not current, because it is being read since the start or rebuilt after its log was reset,
// is refused with a *policy.StaleError unless it allows it: see package policy. A view that has lost its brokers goes on
// answering from what it has, and goes on following when they are back.
type View[T any] struct {
	table tableOf[T]
	name  string
	conf  config
	log   *slog.Logger
	calls []func(observe.Change[T]) error
	ran   atomic.Bool
	ready chan struct{}
	life  context.Context // ends with Run
	end   context.CancelCauseFunc

	parts  atomic.Pointer[[]*part] // nil before the stores are open
	reader *kafka.Reader           // written before parts, as budget
	budget *budget
	behind atomic.Int32 // partitions that have not been current since the start
	meter  viewMeter
}

// NewView checks the options, all at once, and makes a View of a *topology.Table or a *topology.ReadTable. It starts
// nothing and touches no network and no disk.
func NewView[T any](table tableOf[T], options ...Option) (*View[T], error) {
	if table == nil || reflect.ValueOf(table).IsNil() {
		return nil, errors.New("processor: the table is nil")
	}
	conf, err := configure(true, options)
	if err != nil {
		return nil, err
	}
	name := cmp.Or(conf.viewName, table.Name())
	v := &View[T]{table: table, name: name, conf: conf, log: conf.kafka.Logger.With("view", name), ready: make(chan struct{}),
		meter: viewMeter{state: observe.StateNew}}
	v.life, v.end = context.WithCancelCause(context.Background())
	return v, nil
}

// Ready is closed when every partition has been read to the end it had when the view started.
func (v *View[T]) Ready() <-chan struct{} { return v.ready }

// Run follows the table until ctx ends, and returns nil then. Run is called once. Errors: *state.LockedError for a
// folder in use, *state.TopicMissingError for a topic that is missing at the start and *state.LogResetError for one that
// is deleted later (AwaitTopics waits for either), *TopicsError when the number of its partitions has changed,
// *RecordError from OnChange, or what Kafka or the disk said.
func (v *View[T]) Run(ctx context.Context) error {
	if v.ran.Swap(true) {
		return errRanTwice
	}
	v.meter.enter(observe.StateStarting)
	defer v.end(state.ErrClosed)
	err := endOf(ctx, v.run(ctx))
	if err != nil {
		err = fmt.Errorf("processor: view %s: %w", v.name, err)
	}
	return v.meter.end(err)
}

var errRanTwice = errors.New("processor: Run is called once")

func (v *View[T]) run(ctx context.Context) error {
	dir, err := state.LockGroup(v.conf.stateDir, "views", v.name, v.log)
	if err != nil {
		return err
	}
	defer dir.Close()
	client, done, err := v.conf.connect("tarn-view-" + v.name)
	if err != nil {
		return err
	}
	defer done()
	topic, err := v.look(ctx, client.kafka)
	if err != nil {
		return err
	}
	parts, err := v.open(ctx, dir, topic)
	defer v.close(parts)
	if err != nil {
		return err
	}
	return v.follow(ctx, client, parts)
}

// look learns the topic's partitions and id.
func (v *View[T]) look(ctx context.Context, client *kafka.Client) (kafka.Topic, error) {
	starting, cancel := v.conf.starting(ctx)
	defer cancel()
	name := v.table.Name()
	if err := client.Connect(starting, name); err != nil {
		return kafka.Topic{}, err
	}
	if v.conf.awaitTopics {
		if err := awaitTopics(ctx, client, v.log, name); err != nil {
			return kafka.Topic{}, err
		}
		starting = ctx
	}
	topics, err := client.Refresh(starting, name)
	if err != nil {
		return kafka.Topic{}, err
	}
	return topics[name], topics[name].Err
}

// open opens the stores, all of them before any log is read: as many folders as the topic has partitions say how many
// there were at the last start.
func (v *View[T]) open(ctx context.Context, dir *state.GroupDir, topic kafka.Topic) ([]*part, error) {
	before, err := dir.Partitions(topic.Name)
	if err != nil {
		return nil, err
	}
	if v.budget, err = newBudget(v.conf.memory, crowd{whole: len(topic.Partitions)}, v.log); err != nil {
		return nil, err
	}
	parts := make([]*part, len(topic.Partitions))
	g := worker.New(ctx)
	for n := range parts {
		g.Go(fmt.Sprintf("open partition %d", n), func(context.Context) error {
			at := v.place(int32(n))
			store, err := v.budget.open(dir.StoreDir(topic.Name, int32(n)),
				state.Options{Logger: v.log.With("partition", n), Observer: quarantineObserver(at, v.conf.observe), FS: v.conf.fs})
			if err == nil {
				parts[n] = newPart(at, store, v.conf.observe.StaleRead)
			}
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return parts, err
	}
	return parts, v.sameCount(dir, topic, parts, before)
}

// place names a partition in events.
func (v *View[T]) place(partition int32) observe.Place {
	return observe.Place{Group: v.name, Topic: v.table.Name(), Partition: partition}
}

// follow follows all partitions, until ctx ends or one of them fails.
func (v *View[T]) follow(ctx context.Context, client *Client, parts []*part) error {
	reader, done, err := client.read(v.budget.fetch)
	if err != nil {
		return err
	}
	defer done()
	v.reader = reader
	v.behind.Store(int32(len(parts)))
	v.parts.Store(&parts)
	v.meter.running(v.place(0), len(parts))
	g := worker.New(ctx)
	g.Go("partition counts", func(ctx context.Context) error {
		return v.counted(client.kafka.WatchPartitions(ctx, countsEvery, map[string]int32{v.table.Name(): int32(len(parts))}))
	})
	for _, p := range parts {
		g.Go(fmt.Sprintf("partition %d", p.at.Partition), func(ctx context.Context) error { return v.partition(ctx, client.kafka, p) })
	}
	return g.Wait()
}

// partition follows one.
func (v *View[T]) partition(ctx context.Context, client *kafka.Client, p *part) error {
	cursor := v.reader.Open(p.at.Topic, p.at.Partition, nil)
	defer cursor.Close()
	log := &listened{Log: cursor.Counted(int32(len(*v.parts.Load()))), part: p}
	if v.conf.awaitTopics {
		log.await = func(ctx context.Context) error { return awaitTopics(ctx, client, v.log, v.table.Name()) }
	}
	m := v.meter.partition(p.at.Partition)
	m.watch(p.store, cursor)
	o := v.budget.restoring(v.conf.restoreOptions(p.at, m), func() {})
	o.Changed = v.changed(p.at.Partition)
	o.Observer = doubts(p.setDoubt).Tee(state.Observer{Ready: func(state.Outcome) {
		if p.ready() && v.behind.Add(-1) == 0 {
			close(v.ready)
		}
	}}).Tee(o.Observer) // who is told that it is current can read it
	return v.counted(state.Follow(ctx, p.store, log, o))
}

func (v *View[T]) close(parts []*part) {
	for _, p := range parts {
		if p == nil {
			continue
		}
		if err := p.store.Close(); err != nil {
			v.log.Warn("store does not close cleanly", "partition", p.at.Partition, "error", err)
		}
	}
}

// Staleness tells how current the view is: what an answer is worth that is read from its worst partition.
func (v *View[T]) Staleness() policy.Staleness {
	parts := v.parts.Load()
	if parts == nil {
		return policy.Staleness{Cause: startCause, Age: -1}
	}
	var worst policy.Staleness
	for _, p := range *parts {
		s, _ := p.staleness()
		worst = worst.Worse(s)
	}
	return worst
}

// Sync waits until reads show everything that was in the table's topic when it was called. Errors: state.ErrClosed when
// Run ends before that, the end of ctx, or what Kafka said.
func (v *View[T]) Sync(ctx context.Context) error {
	ctx, cancel := until(ctx, v.life)
	defer cancel()
	select {
	case <-v.ready:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	for _, p := range *v.parts.Load() {
		cursor := v.reader.Open(p.at.Topic, p.at.Partition, nil)
		b, err := cursor.Bounds(ctx)
		cursor.Close()
		if err == nil {
			err = p.reached(ctx, b.End)
		}
		if v.life.Err() != nil {
			err = state.ErrClosed
		}
		if err != nil {
			return fmt.Errorf("processor: view %s/%d: %w", p.at.Topic, p.at.Partition, err)
		}
	}
	return nil
}

// reached waits until the store shows a log up to end, and a read is told so: that is a moment later.
func (p *part) reached(ctx context.Context, end int64) error {
	for {
		cp, ok := p.store.Checkpoint()
		if _, stale := p.stale(); ok && !stale && cp.Position >= end {
			return nil
		}
		if !pause(ctx, syncPoll) {
			return context.Cause(ctx)
		}
	}
}

// syncPoll is how often Sync looks at the positions.
const syncPoll = 5 * time.Millisecond
