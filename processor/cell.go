package processor

import (
	"context"
	"sync"
	"time"

	"github.com/tarnstream/tarn/internal/digest"
	"github.com/tarnstream/tarn/internal/kafka"
	"github.com/tarnstream/tarn/internal/scope"
	"github.com/tarnstream/tarn/observe"
	"github.com/tarnstream/tarn/state"
)

// cell is one table partition of a task, below the open layer.
//
// Layers, newest first: sealed (in a commit), produced (in Kafka, its offsets not committed), committed (in Kafka, not on disk),
// frozen (being flushed), then the store. Readers outside the task see produced and what lies below it, so that whoever hears of the
// offsets finds the rows. A task that is stopped seals its last layer while an older one is in a commit, before or after Kafka has that.
//
// The naive flush writes the newest values with the newest position; a commit that is promoted meanwhile would then be
// covered by a checkpoint written before its values. The rule: a checkpoint moves with the layer it describes. freeze
// takes committed and its checkpoint together, and only one flush of a cell is under way (flushing).
type cell struct {
	topic     string
	partition int32
	store     state.Store
	account   *account      // may be nil
	flushing  chan struct{} // a lock that a context can stop waiting for

	mu            sync.RWMutex
	sealed        *layer
	sealedOf      *scope.Change // the first change of the sealed layer: which one it is
	produced      *layer
	committed     *layer
	frozen        *layer
	filled        int              // how many changes committed had when it was last flushed
	layers        uint32           // that committed has been so far: the id of the last
	check         state.Checkpoint // what committed amounts to
	restamped     bool             // what the broker said is in check and not on disk
	asked         time.Time        // when the broker was asked last; zero for never
	leader        int32            // the epoch in which the log was seen to have what was written; state.UnknownEpoch for none
	last          tail             // what stands before check.Position
	placed        kafka.RecordID   // the last record of the produced layer
	transactional bool             // markers stand behind what is written
	passable      int64            // what is not ours below it is accounted for: see singleWriter
	unmarked      map[string]bool  // rows whose marks cannot be trusted
	// epochAt reads back the leader epoch of a record at an offset of the log, or of the marker behind it, if that is there and
	// the epoch can be had now. It may be nil.
	epochAt func(ctx context.Context, offset int64, what tail) (epoch int32, ok bool)

	promoted, flushed time.Time // last; zero for never
}

// tail is an own record, and whether the marker of its transaction stands right behind it, or will in a moment.
type tail struct {
	record kafka.RecordID
	marked bool
}

func newCell(topic string, partition int32, store state.Store) *cell {
	return &cell{topic: topic, partition: partition, store: store, flushing: make(chan struct{}, 1), leader: state.UnknownEpoch,
		last: tail{record: kafka.NoRecord}}
}

// read gives key's newest value for the task (sealed included) or for the outside.
func (c *cell) read(key string, inside bool) ([]byte, bool, error) {
	if v, ok := c.layered(key, inside); ok {
		return v.value, !v.deleted, nil
	}
	row, ok, err := c.store.Get(bytesOf(key))
	return row.Value, ok, err
}

// version is what a layer has of a row.
type version struct {
	value     []byte
	deleted   bool
	timestamp int64
	mark      *scope.Mark
}

// layered gives key's newest version that may not be on disk.
func (c *cell) layered(key string, inside bool) (version, bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	for !c.whole(inside) {
		c.mu.RUnlock()
		c.complete(inside)
		c.mu.RLock()
	}
	for _, l := range c.newestFirst(inside) {
		if ch, ok := l.find(key); ok {
			return version{ch.Value, ch.Delete, ch.Timestamp, ch.Mark}, true
		}
	}
	return version{}, false
}

func (c *cell) newestFirst(inside bool) [4]*layer {
	layers := [4]*layer{c.sealed, c.produced, c.committed, c.frozen}
	if !inside {
		layers[0] = nil
	}
	return layers
}

// whole tells that any key can be found in the layers.
func (c *cell) whole(inside bool) bool {
	for _, l := range c.newestFirst(inside) {
		if !l.whole() {
			return false
		}
	}
	return true
}

func (c *cell) complete(inside bool) {
	c.mu.Lock()
	before := c.committed.size() + c.frozen.size()
	for _, l := range c.newestFirst(inside) {
		if l != nil {
			l.complete()
		}
	}
	grown := c.committed.size() + c.frozen.size() - before
	c.mu.Unlock()
	c.account.moved(grown)
}

// seal makes changes the sealed layer.
func (c *cell) seal(changes []scope.Change) {
	l := layerOf(changes)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sealed, c.sealedOf = l, first(changes)
}

func first(changes []scope.Change) *scope.Change {
	if len(changes) == 0 {
		return nil
	}
	return &changes[0]
}

// gap tells whether Kafka put changes elsewhere than at the log's next offsets: the log has records of another writer
// that were never applied here.
func (c *cell) gap(changes []scope.Change) bool {
	c.mu.RLock()
	defer c.mu.RUnlock()
	at := c.check
	for i, ch := range changes {
		if !c.passes(at.Position, ch.Offset) && !(i == 0 && c.last.marked && ch.Offset == at.Position+1) {
			return true
		}
		at.Applied(ch.Offset)
	}
	return false
}

// written notes that Kafka has changes that were sealed, as the records of a batch.
func (c *cell) written(changes []scope.Change, b *kafka.OutBatch) {
	c.mu.Lock()
	defer c.mu.Unlock()
	b.Rows.(*changelog).settle()
	c.placed, c.produced = b.Last, c.sealed
	if c.sealedOf != first(changes) {
		c.produced = layerOf(changes)
	}
}

// promote moves a sealed layer to the committed one, now that Kafka has changes at the offsets filled in, and the input
// positions of the same commit, and tells by how much the committed layer has grown. Over a gap it does nothing and says so. Having written the log's end, the table is known
// to be current.
func (c *cell) promote(changes []scope.Change, inputs *consumed, now time.Time) (grown int, gap bool) {
	if c.gap(changes) {
		return 0, true
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	before := c.committed.size()
	if c.committed == nil {
		c.layers++
		c.committed = &layer{id: c.layers, rows: make([]scope.Change, 0, c.room(len(changes)))}
	}
	for _, ch := range changes {
		c.check.Applied(ch.Offset)
		if len(c.unmarked) > 0 && c.unmarked[ch.Key] {
			ch.Mark = nil
		}
		c.committed.put(&ch)
	}
	if len(changes) > 0 {
		c.last = tail{c.placed, c.transactional}
		c.check.KnownCurrent, c.promoted = now, now
	}
	c.produced = nil
	if c.sealedOf == first(changes) {
		c.sealed, c.sealedOf = nil, nil
	}
	c.check.Inputs, c.check.InputTopics = nil, nil
	if inputs != nil {
		c.check.Inputs, c.check.InputTopics = inputs.positions, inputs.topics
	}
	return c.committed.size() - before, false
}

// room is how many changes a committed layer is made for that begins with n: as many as the last one had, if that is likely.
func (c *cell) room(n int) int { return max(n, min(c.filled, 8*n)) }

// consumed is how far a commit has come in the inputs, by topic, and those topics' ids.
type consumed struct {
	positions map[string]int64
	topics    map[string]state.TopicID
}

// dirty tells whether a flush has anything to write.
func (c *cell) dirty() bool {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.committed.len() > 0 || c.restamped
}

// pendingBytes is the memory of what is not yet on disk.
func (c *cell) pendingBytes() int {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.committed.size()
}

// exclusive keeps other writers of the store out until release is called.
func (c *cell) exclusive(ctx context.Context) (release func(), err error) {
	select {
	case c.flushing <- struct{}{}:
		return func() { <-c.flushing }, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// flush writes the committed layer with its checkpoint to disk, synced, and tells how much that was. For the epoch that
// belongs to the checkpoint it waits for patience at most. After an error the layers stay as they were in memory, but the
// store may refuse further writes: the caller stops the task.
func (c *cell) flush(ctx context.Context, patience time.Duration) (rows int, bytes int64, err error) {
	release, err := c.exclusive(ctx)
	if err != nil {
		return 0, 0, err
	}
	defer release()
	return c.write(ctx, patience)
}

// write is flush for who has the store to itself.
func (c *cell) write(ctx context.Context, patience time.Duration) (rows int, bytes int64, err error) {
	frozen, check, last := c.freeze()
	b, change := new(state.Batch), digest.Empty()
	for i := range frozen {
		bytes += int64(len(frozen[i].Key) + len(frozen[i].Value))
	}
	b.Grow(len(frozen), bytes)
	for i := range frozen {
		ch := &frozen[i]
		change = change.Plus(replaced(ch, check.LogStart))
		if ch.Delete {
			b.Delete(bytesOf(ch.Key))
		} else {
			b.Put(bytesOf(ch.Key), ch.Value, ch.Offset, ch.Timestamp)
		}
	}
	b.SetChange(change)
	b.SetCheckpoint(c.withEpoch(ctx, patience, check, last))
	if err := c.store.Write(b); err != nil {
		unmark(frozen)
		return len(frozen), bytes, err
	}
	c.mu.Lock()
	was := c.frozen.size()
	c.frozen, c.flushed = nil, time.Now()
	c.mu.Unlock()
	c.account.moved(-was)
	return len(frozen), bytes, nil
}

// freeze takes the committed layer, and gives its changes.
func (c *cell) freeze() ([]scope.Change, state.Checkpoint, tail) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.frozen == nil:
		c.frozen = c.committed
	case c.committed != nil:
		c.frozen.cover(c.committed) // what an earlier flush could not write
	}
	c.filled, c.committed, c.restamped = c.committed.len(), nil, false
	if c.frozen == nil {
		return nil, c.check, c.last
	}
	return c.frozen.rows, c.check, c.last
}

// stats fills in what the cell knows of its table.
func (c *cell) stats(s *observe.TableStats) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	s.Position, s.End = c.check.Position, c.check.Position
	s.Sealed = observe.LayerStats{Rows: c.sealed.len(), Bytes: int64(c.sealed.size())}
	s.Committed = observe.LayerStats{Rows: c.committed.len(), Bytes: int64(c.committed.size())}
	s.Frozen = observe.LayerStats{Rows: c.frozen.len(), Bytes: int64(c.frozen.size())}
	s.LastCommit, s.LastFlush = c.promoted, c.flushed
}
