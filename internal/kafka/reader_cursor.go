package kafka

import (
	"context"
	"fmt"
	"time"

	"github.com/tarnstream/tarn/internal/invariant"
	"github.com/tarnstream/tarn/state"
)

// Cursor reads one partition. One goroutine uses it. It is a state.Log, and has SeekTo and Poll for those who must not
// block.
type Cursor struct {
	reader *Reader
	flow   *flow
	log    []byte // what the records that were given last refer to
}

var _ state.Log = (*Cursor)(nil)

// SeekTo goes on reading at position. What is buffered or under way for the old one is dropped, and so is an error.
func (c *Cursor) SeekTo(position int64) {
	c.reader.mu.Lock()
	defer c.reader.mu.Unlock()
	c.reader.fetcher.seek(c.flow, position, time.Now())
	c.reader.kick(c.flow.leader)
}

// Position is the next offset that Poll will speak of, state.UnknownOffset before the first SeekTo.
func (c *Cursor) Position() int64 {
	c.reader.mu.Lock()
	defer c.reader.mu.Unlock()
	return c.flow.delivered
}

// End is the log's end as the last answer told it, state.UnknownOffset before there was one. Any goroutine may ask, after
// Close too.
func (c *Cursor) End() int64 {
	c.reader.mu.Lock()
	defer c.reader.mu.Unlock()
	return c.flow.seen.end
}

// Poll gives what came next, without waiting; false means that nothing is there now. The answer may hold no records and
// yet move the position, past markers, aborted or compacted records. Its records count as held until the next Poll, and their
// bytes are in one piece: copy what is kept.
//
// An error comes after all that was read before it, and sticks until SeekTo: *state.OutOfRangeError when the broker refuses
// the position, *state.TopicMissingError when the topic is gone, *TopicChangedError when it was created again,
// *BatchError when the log cannot be read, *Error with any other code that asking again does not cure.
func (c *Cursor) Poll() (state.Records, bool, error) {
	taken, ok, err := c.take()
	if !ok || err != nil {
		return state.Records{}, false, err
	}
	return taken.records, true, nil
}

func (c *Cursor) take() (chunk, bool, error) {
	c.reader.mu.Lock()
	defer c.reader.mu.Unlock()
	taken, ok, again, err := c.reader.fetcher.pop(c.flow)
	c.log = taken.log
	if again {
		c.reader.kick(c.flow.leader)
	}
	return taken, ok, err
}

// Fetch implements state.Log over SeekTo and Poll. An answer tells the log's end only where a broker told it during the
// call: what was fetched ahead may have waited here, and nobody may conclude from it how current it is.
func (c *Cursor) Fetch(ctx context.Context, position int64) (state.Records, error) {
	c.aim(position)
	began := time.Now()
	wait := c.reader.cfg.MaxWait
	timer := time.NewTimer(wait)
	defer timer.Stop()
	for overdue := false; ; {
		taken, ok, err := c.take()
		if err != nil {
			return state.Records{}, err
		}
		if ok {
			if taken.at.Before(began) {
				taken.records.End = state.UnknownOffset
			}
			return taken.records, nil
		}
		if overdue {
			if ends, fresh := c.ends(); fresh {
				return idle(position, ends), nil
			}
		}
		select {
		case <-c.flow.ready:
		case <-ctx.Done():
			return state.Records{}, fmt.Errorf("kafka: fetch of %s/%d: %w", c.flow.topic, c.flow.partition, context.Cause(ctx))
		case <-timer.C:
			if overdue {
				return idle(position, unknownEnds), nil
			}
			overdue = true
			timer.Reset(wait) // the broker's long poll may end a little later than ours
		}
	}
}

// aim seeks unless the cursor stands there already, in good order or with an error that is still to be told.
func (c *Cursor) aim(position int64) {
	c.reader.mu.Lock()
	stays := c.flow.delivered == position && !c.flow.told
	c.flow.fresh = false
	c.reader.mu.Unlock()
	if !stays {
		c.SeekTo(position)
	}
}

func (c *Cursor) ends() (logEnds, bool) {
	c.reader.mu.Lock()
	defer c.reader.mu.Unlock()
	return c.flow.seen, c.flow.fresh
}

func idle(position int64, ends logEnds) state.Records {
	return state.Records{Position: position, Next: position, FirstEpoch: state.UnknownEpoch, LastEpoch: state.UnknownEpoch,
		LogStart: ends.start, Stable: ends.stable, End: ends.end}
}

// EpochAt gives the leader epoch of the batch that has offset, if the record there is that one: in a log that was truncated
// meanwhile another may be there, of the same producer too. It does not touch the position, and does not wait behind what is
// read. It is negative where the batch has none. Without such a batch, or with any trouble, the error says why.
func (c *Cursor) EpochAt(ctx context.Context, offset int64, record RecordID) (int32, error) {
	return c.epochAt(ctx, offset, func(b *recordBatch) bool { return !b.control() && record == b.by.record(int(offset-b.first)) })
}

// MarkerEpochAt is EpochAt for the marker that ends a transaction which record is in.
func (c *Cursor) MarkerEpochAt(ctx context.Context, offset int64, record RecordID) (int32, error) {
	return c.epochAt(ctx, offset, func(b *recordBatch) bool {
		return b.control() && b.by.id == record.Producer && b.by.epoch == record.Epoch
	})
}

func (c *Cursor) epochAt(ctx context.Context, offset int64, is func(*recordBatch) bool) (epoch int32, err error) {
	err = c.onLeader(ctx, func(leader int32) (err error) {
		epoch, err = c.epochFrom(ctx, leader, offset, is)
		return err
	})
	return epoch, err
}

func (c *Cursor) epochFrom(ctx context.Context, leader int32, offset int64, is func(*recordBatch) bool) (int32, error) {
	part, err := c.look(ctx, leader, offset, 1) // a broker gives one whole batch all the same
	if err != nil {
		return state.UnknownEpoch, err
	}
	for b, err := range part.batches() {
		switch {
		case err != nil:
			return state.UnknownEpoch, err
		case offset < b.first || offset > b.last:
		case !is(&b):
			return state.UnknownEpoch, fmt.Errorf("kafka: at offset %d of %s/%d is another record, of producer %d", offset, c.flow.topic, c.flow.partition, b.by.id)
		default:
			return b.epoch, nil
		}
	}
	return state.UnknownEpoch, fmt.Errorf("kafka: no batch at offset %d of %s/%d", offset, c.flow.topic, c.flow.partition)
}

// Recycle takes back the list of records that Poll gave last. Their keys, values and headers stay as they are.
func (c *Cursor) Recycle(records []state.Record) {
	clear(records)
	c.reader.fetcher.unfold.lists.put(records)
}

// Reuse takes back what Fetch gave last, to which nobody refers any more.
func (c *Cursor) Reuse(last state.Records) {
	if invariant.Enabled {
		for i := range c.log {
			c.log[i] = 0xdb // whoever refers to it all the same shows
		}
	}
	c.reader.fetcher.unfold.logs.put(c.log)
	c.log = nil
	c.Recycle(last.Records)
}

// Counted is the cursor as a log that refuses to go on when its topic has another number of partitions, with a
// *PartitionCountError: looked at with each Bounds, before anything of a topic that was made again is read.
func (c *Cursor) Counted(partitions int32) state.Log { return &counted{c, partitions} }

type counted struct {
	*Cursor
	partitions int32
}

// Bounds implements state.Log.
func (c *counted) Bounds(ctx context.Context) (state.Bounds, error) {
	b, err := c.Cursor.Bounds(ctx)
	if t, ok := c.reader.client.cached(c.flow.topic); err == nil && ok && t.Err == nil {
		err = t.count(c.partitions)
	}
	return b, err
}

// Close takes the partition out of the fetches. The Cursor is not used afterwards.
func (c *Cursor) Close() {
	c.reader.mu.Lock()
	defer c.reader.mu.Unlock()
	c.reader.fetcher.remove(c.flow)
}
