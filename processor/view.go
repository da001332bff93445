package processor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"reflect"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tarnstream/tarn/internal/kafka"
	worker "github.com/tarnstream/tarn/internal/task"
	"github.com/tarnstream/tarn/observe"
	"github.com/tarnstream/tarn/state"
	"github.com/tarnstream/tarn/topology"
)

// View keeps a whole table, all partitions, in a process that does not write it, and follows its changes. Reads are
// local. Make it with NewView.
type View[T any] struct {
	table tableOf[T]
	conf  config
	log   *slog.Logger
	ran   atomic.Bool
	ready chan struct{}

	mu     sync.RWMutex
	reader *kafka.Reader
	stores []state.Store // by partition; nil entries are not open yet
	behind int           // partitions that are not current yet
	stale  []staleness   // by partition
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
	return &View[T]{table: table, conf: conf, log: conf.kafka.Logger.With("view", table.Name()), ready: make(chan struct{}),
		meter: viewMeter{state: observe.StateNew}}, nil
}

// Ready is closed when every partition has been read to the end it had when the view started.
func (v *View[T]) Ready() <-chan struct{} { return v.ready }

// Run follows the table until ctx ends, and returns nil then. Run is called once. Errors: *state.LockedError for a
// folder in use, *state.TopicMissingError for a topic that is missing, or what Kafka or the disk said.
func (v *View[T]) Run(ctx context.Context) error {
	if v.ran.Swap(true) {
		return errors.New("processor: Run is called once")
	}
	v.meter.enter(observe.StateStarting)
	return v.meter.end(v.run(ctx))
}

func (v *View[T]) run(ctx context.Context) error {
	dir, err := state.LockGroup(v.conf.stateDir, "views", v.name(), v.log)
	if err != nil {
		return fmt.Errorf("processor: view %s: %w", v.table.Name(), err)
	}
	defer dir.Close()
	v.conf.kafka.ClientID = cmp.Or(v.conf.kafka.ClientID, "tarn-view-"+v.table.Name())
	client, err := kafka.NewClient(v.conf.kafka)
	if err != nil {
		return err
	}
	defer client.Close()
	n, err := v.look(ctx, client)
	if err != nil {
		return endOf(ctx, err)
	}
	err = v.follow(ctx, dir, client.NewReader(kafka.ReaderConfig{Logger: v.log}), n)
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// look learns the number of partitions.
func (v *View[T]) look(ctx context.Context, client *kafka.Client) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, v.conf.startTimeout)
	defer cancel()
	name := v.table.Name()
	if err := client.Connect(ctx, name); err != nil {
		return 0, err
	}
	topics, err := client.Refresh(ctx, name)
	if err != nil {
		return 0, err
	}
	return len(topics[name].Partitions), topics[name].Err
}

func (v *View[T]) follow(ctx context.Context, dir *state.GroupDir, reader *kafka.Reader, n int) error {
	v.mu.Lock()
	v.reader, v.stores, v.behind = reader, make([]state.Store, n), n
	v.stale = make([]staleness, n)
	v.meter.running(v.place(0), n)
	v.mu.Unlock()
	defer v.closeAll()
	g := worker.New(ctx)
	g.Go("reader", reader.Run)
	for p := range int32(n) {
		g.Go(fmt.Sprintf("partition %d", p), func(ctx context.Context) error { return v.partition(ctx, dir, reader, p) })
	}
	return g.Wait()
}

func (v *View[T]) partition(ctx context.Context, dir *state.GroupDir, reader *kafka.Reader, p int32) error {
	log := v.log.With("partition", p)
	o, m := v.conf.restoreOptions(v.place(p)), v.meter.partition(p)
	o.Observer = m.observer().Tee(o.Observer).Tee(v.stale[p].observer())
	store, err := state.Open(dir.StoreDir(v.table.Name(), p), state.Options{Logger: log, Observer: o.Observer})
	if err != nil {
		return err
	}
	v.mu.Lock()
	v.stores[p] = store
	v.mu.Unlock()
	cursor := reader.Open(v.table.Name(), p, nil)
	defer cursor.Close()
	m.watch(store, cursor)
	said, first := o.Observer.Ready, new(sync.Once)
	o.Observer.Ready = func(out state.Outcome) {
		said(out)
		first.Do(v.current)
	}
	return state.Follow(ctx, store, cursor, o)
}

// current notes that one more partition is.
func (v *View[T]) current() {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.behind--; v.behind == 0 {
		close(v.ready)
	}
}

func (v *View[T]) closeAll() {
	v.mu.Lock()
	defer v.mu.Unlock()
	for p, s := range v.stores {
		if s == nil {
			continue
		}
		if err := s.Close(); err != nil {
			v.log.Warn("store does not close cleanly", "partition", p, "error", err)
		}
	}
}

// Get reads a row; ok is false for an absent key. While a partition is rebuilt after a reset it answers from before,
// see Stale. Errors: ErrNotReady before the view is current, state.ErrClosed after Run, the codec's own, or trouble
// with the disk.
func (v *View[T]) Get(key string) (value T, ok bool, err error) {
	stores, err := v.open()
	if err != nil {
		return value, false, err
	}
	partition := v.table.Spec().Hash.Partition(bytesOf(key), int32(len(stores)))
	v.reading(partition, stores[partition])
	row, ok, err := stores[partition].Get(bytesOf(key))
	if err != nil || !ok {
		return value, false, err
	}
	value, err = v.table.Codec().Decode(row.Value)
	return value, err == nil, err
}

// Row is one row of a Range.
type Row[T any] = topology.Row[T]

// Range goes over all rows, partition by partition, in key order within one. Each partition is a snapshot at the time
// it is reached. A non-nil error is the last thing it yields. Errors are those of Get.
func (v *View[T]) Range() iter.Seq2[Row[T], error] {
	return func(yield func(Row[T], error) bool) {
		stores, err := v.open()
		if err != nil {
			yield(Row[T]{}, err)
			return
		}
		for p, s := range stores {
			v.reading(int32(p), s)
			if !v.rangeOne(s, yield) {
				return
			}
		}
	}
}

func (v *View[T]) rangeOne(s state.Store, yield func(Row[T], error) bool) bool {
	it := s.Range(nil, nil)
	defer it.Close()
	for it.Next() {
		value, err := v.table.Codec().Decode(it.Row().Value)
		if err != nil {
			yield(Row[T]{}, fmt.Errorf("processor: view %s: key %.64q: %w", v.table.Name(), it.Key(), err))
			return false
		}
		if !yield(Row[T]{Key: string(it.Key()), Value: value}, nil) {
			return false
		}
	}
	if err := it.Err(); err != nil {
		yield(Row[T]{}, err)
		return false
	}
	return true
}

// Stale tells whether a partition is being rebuilt, so that reads answer from before its reset, and why.
func (v *View[T]) Stale() (cause string, stale bool) {
	v.mu.RLock()
	defer v.mu.RUnlock()
	for _, s := range v.stores {
		if s == nil {
			continue
		}
		if cause, stale = s.Stale(); stale {
			return cause, true
		}
	}
	return "", false
}

func (v *View[T]) open() ([]state.Store, error) {
	select {
	case <-v.ready:
	default:
		return nil, ErrNotReady
	}
	v.mu.RLock()
	defer v.mu.RUnlock()
	return v.stores, nil
}

// Sync waits until reads show everything that was in the table's topic when it was called.
func (v *View[T]) Sync(ctx context.Context) error {
	select {
	case <-v.ready:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	v.mu.RLock()
	reader, stores := v.reader, v.stores
	v.mu.RUnlock()
	for p, s := range stores {
		cursor := reader.Open(v.table.Name(), int32(p), nil)
		b, err := cursor.Bounds(ctx)
		cursor.Close()
		if err == nil {
			err = reached(ctx, s, b)
		}
		if err != nil {
			return fmt.Errorf("processor: view %s/%d: %w", v.table.Name(), p, err)
		}
	}
	return nil
}

// reached waits until a store is current up to the end in b.
func reached(ctx context.Context, s state.Store, b state.Bounds) error {
	for {
		cp, ok := s.Checkpoint()
		if _, stale := s.Stale(); ok && !stale && cp.Position >= b.End {
			return nil
		}
		if !pause(ctx, syncPoll) {
			return context.Cause(ctx)
		}
	}
}

// syncPoll is how often Sync looks at the positions.
const syncPoll = 5 * time.Millisecond
