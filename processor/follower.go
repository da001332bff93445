package processor

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync/atomic"

	"github.com/tarnstream/tarn/internal/scope"
	worker "github.com/tarnstream/tarn/internal/task"
	"github.com/tarnstream/tarn/observe"
	"github.com/tarnstream/tarn/policy"
	"github.com/tarnstream/tarn/state"
)

// follower keeps one partition of a table of somebody else, current for the first time when ready is closed, and
// implements scope.ReadBacking over it.
//
// From the moment its log is found not to be what was read before until the partition is current again, it is stale:
// reads answer from before, and the first of them is reported.
type follower struct {
	env   *environment
	read  *scope.Read
	at    observe.Place
	check *hashCheck
	log   *slog.Logger
	// changed is called by the follower's goroutine when it becomes stale, before anything is rebuilt, and when it is
	// current.
	changed func()

	life context.Context
	stop context.CancelFunc

	store state.Store // set before ready is closed
	ready chan struct{}
	done  chan struct{}        // closed when the store is
	err   error                // what ended it unasked; set before done is closed
	part  atomic.Pointer[part] // what the store is worth; nil before it is open
	stale atomic.Bool          // the part is in doubt, and has been current; here for a look that costs nothing
	meter *tableMeter
}

// newFollower is for a partition of one of the group's Reads.
func newFollower(env *environment, read int, partition int32, changed func()) *follower {
	r := &env.group.Reads[read]
	f := &follower{env: env, read: r, at: env.place(r.Name, partition), changed: changed, ready: make(chan struct{}), done: make(chan struct{}),
		check: env.newHashCheck(&r.Topic, partition, env.readPartitions[read]), log: env.log.With("table", r.Name, "partition", partition)}
	role := observe.RoleJoined
	if r.Lookup {
		role = observe.RoleLookedUp
	}
	f.meter = newTableMeter(role, f.at)
	f.life, f.stop = context.WithCancel(context.Background())
	return f
}

// start follows until g or the follower is stopped. Any other end is final for the run.
func (f *follower) start(g *worker.Group) {
	name := fmt.Sprintf("follow %s/%d", f.at.Topic, f.at.Partition)
	g.Go(name, func(ctx context.Context) error {
		defer close(f.done)
		ctx, cancel := until(ctx, f.life)
		defer cancel()
		if err := protect(func() error { return f.run(ctx) }); err != nil && ctx.Err() == nil {
			f.err = fmt.Errorf("processor: group %s: follow table %s/%d: %w", f.at.Group, f.at.Topic, f.at.Partition, err)
			f.env.fail(f.err)
		}
		return nil
	})
}

func (f *follower) run(ctx context.Context) error {
	slot := newSlot(f.env)
	defer slot.end()
	if err := slot.take(ctx); err != nil {
		return nil
	}
	o := f.env.conf.restoreOptions(f.at, f.meter)
	o.Observer = doubts(f.doubt).Tee(o.Observer).Tee(f.relief(slot.end))
	o = f.env.budget.restoring(o, slot.release)
	store, err := f.env.budget.open(f.env.dir.StoreDir(f.at.Topic, f.at.Partition), state.Options{Logger: f.log, Observer: o.Observer, FS: f.env.conf.fs})
	if err != nil {
		return err
	}
	defer func() {
		if err := store.Close(); err != nil {
			f.log.Warn("store does not close cleanly", "error", err)
		}
	}()
	f.store = store
	p := newPart(f.at, store, f.env.conf.observe.StaleRead)
	f.part.Store(p)
	cursor := f.env.reader.Open(f.at.Topic, f.at.Partition, nil)
	defer cursor.Close()
	f.meter.watch(store, cursor)
	slot.Log = &listened{Log: &checkedLog{cursor, f.check}, part: p}
	return state.Follow(ctx, store, slot, o)
}

// doubt notes that the follower becomes stale.
func (f *follower) doubt(cause string) {
	f.part.Load().setDoubt(cause)
	if !isClosed(f.ready) || f.stale.Swap(true) {
		return
	}
	if f.holds() {
		f.log.Warn("records wait until the joined table is current again", "cause", cause)
	}
	f.changed()
}

// doubts tells, with the cause and before anything is rebuilt, that a store may not be what the log is.
func doubts(tell func(cause string)) state.Observer {
	return state.Observer{
		Reset: func(err error) { tell(err.Error()) },
		Planned: func(p state.Plan) {
			if p.Decision == state.Rebuild {
				tell(p.Cause)
			}
		},
	}
}

// relief notes that it is current; begun is called when it is so for the first time.
func (f *follower) relief(begun func()) state.Observer {
	return state.Observer{Ready: func(out state.Outcome) {
		first := f.part.Load().ready()
		f.stale.Store(false) // not before: who has waited for it is told of no doubt
		if first {
			f.env.count.restored.Add(out.Records)
			close(f.ready)
			begun()
		}
		f.changed()
	}}
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// current waits until the follower is for the first time.
func (f *follower) current(ctx context.Context) error {
	select {
	case <-f.ready:
		return nil
	case <-f.done:
		return cmp.Or(f.err, errRevoked)
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// holds tells that no record may be handled now.
func (f *follower) holds() bool {
	return !f.read.Lookup && !f.read.AllowStale && f.stale.Load()
}

// Get implements scope.ReadBacking.
func (f *follower) Get(key []byte) ([]byte, bool, error) {
	f.note()
	row, ok, err := f.store.Get(key)
	return row.Value, ok, err
}

// Range implements scope.ReadBacking.
func (f *follower) Range() scope.Rows {
	f.note()
	return &storeRows{it: f.store.Range(nil, nil)}
}

// note reports the first read while it is stale.
func (f *follower) note() {
	if f.stale.Load() {
		f.part.Load().staleRead()
	}
}

// answer reads a row for who is outside the tasks. Once the table has been current it is answered like a task's read: from
// before a reset, if need be.
func (f *follower) answer(key string, reads []policy.Read) ([]byte, bool, error) {
	p := f.part.Load()
	if p == nil {
		return nil, false, ErrNotReady
	}
	if isClosed(f.ready) {
		reads = append(slices.Clip(reads), policy.AllowStale(nil))
	}
	row, ok, err := p.get(bytesOf(key), reads)
	return row.Value, ok, err
}

// isCurrent tells whether it shows the log as it is.
func (f *follower) isCurrent() bool { return isClosed(f.ready) && !f.stale.Load() }

func (f *follower) stats() observe.TableStats {
	s := f.meter.stats()
	if p := f.part.Load(); p != nil {
		if cause, stale := p.stale(); stale {
			s.Stale, s.Cause = true, cause
		}
	}
	if s.Lag == 0 && !f.isCurrent() { // a moment later reads show it
		s.Lag = observe.Unknown
	}
	return s
}
