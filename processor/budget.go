package processor

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"

	"github.com/tarnstream/tarn/internal/kafka"
	"github.com/tarnstream/tarn/internal/ldb"
	"github.com/tarnstream/tarn/observe"
	"github.com/tarnstream/tarn/state"
)

// MemoryBytes bounds the memory of a Processor or a View, all tasks of the process together: rows that callbacks have read
// and what they have written, until it is on disk, records that were fetched and are not handled yet, what is being produced,
// and LevelDB. It is divided among them when the partitions are known; what is too small for the group is an error of Run
// that names the least. The default, also of 0, is 256 MiB, or the least where that is more.
//
// At most 7/16 of it is in use at a time: with Go's default GOGC=100 the heap grows to twice what is in use before it is
// collected, so that the process grows by about n. What a program's own values take is not part of it. Stats tells what
// is in use; docs/operating.md has the division and what to set GOMEMLIMIT to.
func MemoryBytes(n int64) Option { return func(c *config) { c.memory = n } }

const defaultMemory = 256 << 20

// budget is the memory of a run: what it is divided into, and what of it is in use.
type budget struct {
	shares
	option  int64
	crowd   crowd
	shared  *ldb.Shared
	ledger  ledger
	lending sync.Mutex    // so that what was asked last counts
	turns   chan struct{} // of rebuilds
	granted atomic.Int64  // of turns, that have their memory
	tasks   atomic.Int64  // that have overlays now
	stores  atomic.Int64  // that are open

	producer atomic.Pointer[kafka.Producer] // the newest of the committer
}

// newBudget divides option among a crowd; 0 is the default.
func newBudget(option int64, c crowd, log *slog.Logger) (*budget, error) {
	least := c.leastMemory()
	if option == 0 {
		option = max(defaultMemory, least)
	}
	if option < least {
		return nil, fmt.Errorf("memory of %d bytes is not enough for %d tasks with %d stores in all: processor.MemoryBytes takes at least %d (%d MiB)",
			option, c.tasks, c.stores(), least, (least+1<<20-1)>>20)
	}
	b := &budget{shares: c.share(option), option: option, crowd: c}
	b.shared = ldb.NewShared(b.cache, openTables, tableWriters)
	b.ledger.limit, b.ledger.freed, b.ledger.pressed, b.ledger.shifted = b.layers, func() {}, func() {}, b.lend
	b.ledger.count(0, 0, 0)
	b.turns = make(chan struct{}, b.rebuilds)
	log.Info("memory divided", "option", option, "tasks", c.tasks, "stores", c.stores(), "fixed", b.fixed,
		"stores_bytes", int64(c.stores())*int64(memoryTables*b.buffer+b.filter), "blocks", b.cache, "blocks_most", int64(b.cache)+b.ledger.idle(), "rows", b.rows, "layers", b.layers,
		"rebuild", b.rebuild, "rebuilds", b.rebuilds, "fetched", b.fetch, "producing", b.write)
	return b, nil
}

// lend gives the blocks what the layers have no need of now, and takes it back.
func (b *budget) lend() {
	b.lending.Lock()
	defer b.lending.Unlock()
	b.shared.SetCache(b.cache + int(b.ledger.idle()))
}

// crowd is that of a group.
func (e *environment) crowd() crowd {
	c := crowd{tasks: int(e.taskCount), tables: len(e.group.Tables), inputs: len(e.group.Inputs)}
	for i := range e.group.Reads {
		if e.group.Reads[i].Lookup {
			c.whole += int(e.readPartitions[i])
		} else {
			c.joined++
		}
	}
	return c
}

// storeOptions completes the options of a store.
func (b *budget) storeOptions(o state.Options) state.Options {
	o.Shared, o.WriteBufferBytes, o.KeyFilterBytes = b.shared, b.buffer, max(b.filter, 1) // 0 would be the default
	return o
}

// open opens a store.
func (b *budget) open(dir string, o state.Options) (state.Store, error) {
	s, err := state.Open(dir, b.storeOptions(o))
	if err != nil {
		return nil, err
	}
	b.stores.Add(1)
	return &countedStore{Store: s, open: &b.stores}, nil
}

// restoring completes the options of a restore. waits is called before a turn is waited for.
func (b *budget) restoring(o state.RestoreOptions, waits func()) state.RestoreOptions {
	o.BatchBytes = min(b.buffer, mostBatch)
	o.Admit = func(ctx context.Context) (int, func(), error) {
		waits()
		select {
		case b.turns <- struct{}{}:
		case <-ctx.Done():
			return 0, nil, context.Cause(ctx)
		}
		if err := b.ledger.reserve(ctx, b.reserve); err != nil {
			<-b.turns
			return 0, nil, err
		}
		b.granted.Add(1)
		return int(b.rebuild), func() {
			b.granted.Add(-1)
			b.ledger.release(b.reserve)
			<-b.turns
		}, nil
	}
	return o
}

// countedStore is counted while it is open.
type countedStore struct {
	state.Store
	open   *atomic.Int64
	closed atomic.Bool
}

func (s *countedStore) Close() error {
	if !s.closed.Swap(true) {
		s.open.Add(-1)
	}
	return s.Store.Close()
}

// stats tells what is in use, but for the tasks' rows.
func (b *budget) stats(reader *kafka.Reader) observe.MemoryStats {
	layers, _ := b.ledger.bytes()
	s := observe.MemoryStats{Bound: inUse(b.option), Fixed: programBytes + b.tasks.Load()*taskBytes + b.stores.Load()*storeBytes,
		Stores: b.stores.Load() * int64(memoryTables*b.buffer+b.filter), Layers: layers, Rebuilds: b.granted.Load() * b.rebuild,
		Fetched: reader.Held()}
	if b.crowd.stores() > 0 {
		s.Blocks = int64(b.shared.Bytes())
	}
	if p := b.producer.Load(); p != nil {
		s.Producing = p.Held()
	}
	return s
}

// mostOpen is what a task's open layer may take: room is left for those of others, and for what is in a commit or waits for
// the disk.
func (b *budget) mostOpen() int {
	room := b.ledger.room.Load()
	return int(max(room/8, room/3/max(b.tasks.Load(), 1)))
}

// rowLimit is what an overlay may keep of the rows it has read.
func (b *budget) rowLimit() int {
	return int(b.rows / max(b.tasks.Load(), 1) / int64(max(b.crowd.tables, 1)))
}
