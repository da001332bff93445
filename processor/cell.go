package processor

import (
	"context"
	"maps"
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
	sealed        layer
	sealedOf      *scope.Change // the first change of the sealed layer: which one it is
	produced      layer
	committed     layer
	frozen        layer
	sealedBytes   int
	bytes         int // of committed
	frozenBytes   int
	check         state.Checkpoint // what committed amounts to
	restamped     bool             // what the broker said is in check and not on disk
	asked         time.Time        // when the broker was asked last; zero for never
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

// layer is the newest change by key.
type layer map[string]scope.Change

func newCell(topic string, partition int32, store state.Store) *cell {
	return &cell{topic: topic, partition: partition, store: store, flushing: make(chan struct{}, 1), last: tail{record: kafka.NoRecord}}
}

// read gives key's newest value for the task (sealed included) or for the outside.
func (c *cell) read(key string, inside bool) ([]byte, bool, error) {
	if ch, ok := c.layered(key, inside); ok {
		return ch.Value, !ch.Delete, nil
	}
	row, ok, err := c.store.Get(bytesOf(key))
	return row.Value, ok, err
}

// layered gives key's newest change that may not be on disk.
func (c *cell) layered(key string, inside bool) (scope.Change, bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	layers := [4]layer{c.sealed, c.produced, c.committed, c.frozen}
	if !inside {
		layers[0] = nil
	}
	for _, l := range layers {
		if ch, ok := l[key]; ok {
			return ch, true
		}
	}
	return scope.Change{}, false
}

// seal makes changes the sealed layer.
func (c *cell) seal(changes []scope.Change) {
	l, bytes := layerOf(changes), 0
	for _, ch := range changes {
		bytes += weight(ch)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sealed, c.sealedOf, c.sealedBytes = l, first(changes), bytes
}

func layerOf(changes []scope.Change) layer {
	l := make(layer, len(changes))
	for _, ch := range changes {
		l[ch.Key] = ch
	}
	return l
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

// written notes that Kafka has changes that were sealed, and which record the last of them is.
func (c *cell) written(changes []scope.Change, last kafka.RecordID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.placed, c.produced = last, c.sealed
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
	before := c.bytes
	if c.committed == nil {
		c.committed = make(layer, len(changes))
	}
	for _, ch := range changes {
		c.check.Applied(ch.Offset)
		c.check.KnownCurrent = now
		if c.unmarked[ch.Key] {
			ch.Mark = nil
		}
		if old, ok := c.committed[ch.Key]; ok {
			c.bytes -= weight(old)
		}
		c.committed[ch.Key] = ch
		c.bytes += weight(ch)
		c.promoted = now
	}
	if len(changes) > 0 {
		c.last = tail{c.placed, c.transactional}
	}
	c.produced = nil
	if c.sealedOf == first(changes) {
		c.sealed, c.sealedOf, c.sealedBytes = nil, nil, 0
	}
	c.check.Inputs, c.check.InputTopics = nil, nil
	if inputs != nil {
		c.check.Inputs, c.check.InputTopics = inputs.positions, inputs.topics
	}
	return c.bytes - before, false
}

// consumed is how far a commit has come in the inputs, by topic, and those topics' ids.
type consumed struct {
	positions map[string]int64
	topics    map[string]state.TopicID
}

// weight estimates the memory of a change in a layer.
func weight(ch scope.Change) int { return changeOverhead + len(ch.Key) + len(ch.Value) }

// changeOverhead estimates a change in a layer without key and value.
const changeOverhead = 128

// dirty tells whether a flush has anything to write.
func (c *cell) dirty() bool {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return len(c.committed) > 0 || c.restamped
}

// pendingBytes is the memory of what is not yet on disk.
func (c *cell) pendingBytes() int {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.bytes
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
	for key, ch := range frozen {
		bytes += int64(len(key) + len(ch.Value))
		change = change.Plus(replaced(&ch, check.LogStart))
		if ch.Delete {
			b.Delete(bytesOf(key))
		} else {
			b.Put(bytesOf(key), ch.Value, ch.Offset, ch.Timestamp)
		}
	}
	b.SetChange(change)
	b.SetCheckpoint(c.withEpoch(ctx, patience, check, last))
	if err := c.store.Write(b); err != nil {
		frozen.unmark()
		return len(frozen), bytes, err
	}
	c.mu.Lock()
	was := c.frozenBytes
	c.frozen, c.frozenBytes, c.flushed = nil, 0, time.Now()
	c.mu.Unlock()
	c.account.moved(-was)
	return len(frozen), bytes, nil
}

func (c *cell) freeze() (layer, state.Checkpoint, tail) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.frozen == nil {
		c.frozen = c.committed
	} else {
		maps.Copy(c.frozen, c.committed) // over what an earlier flush could not write
	}
	c.frozenBytes += c.bytes
	c.committed, c.bytes, c.restamped = nil, 0, false
	return c.frozen, c.check, c.last
}

// stats fills in what the cell knows of its table.
func (c *cell) stats(s *observe.TableStats) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	s.Position, s.End = c.check.Position, c.check.Position
	s.Sealed = observe.LayerStats{Rows: len(c.sealed), Bytes: int64(c.sealedBytes)}
	s.Committed = observe.LayerStats{Rows: len(c.committed), Bytes: int64(c.bytes)}
	s.Frozen = observe.LayerStats{Rows: len(c.frozen), Bytes: int64(c.frozenBytes)}
	s.LastCommit, s.LastFlush = c.promoted, c.flushed
}
