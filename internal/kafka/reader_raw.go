package kafka

import (
	"context"
	"errors"
	"slices"

	"github.com/IBM/sarama"

	"github.com/tarnstream/tarn/state"
)

// LogBatch is one batch as a log has it, whatever became of its transaction.
type LogBatch struct {
	// First and Last bound its offsets, those of records that are gone included.
	First, Last int64
	// ID is what the log says of the record at First.
	ID RecordID
	// Epoch is the leader's, negative where the batch has none.
	Epoch int32
	// Control batches hold the marker that ends a transaction, of an aborted one where Abort is set.
	Transactional, Control, Abort bool
	// Records are those that are left of it, those below the position asked for included.
	Records []LogRecord
}

// LogRecord is where a key is in a log. A nil Key is Kafka's null.
type LogRecord struct {
	Key    []byte
	Offset int64
}

// Record is what the log says of the record at an offset of the batch.
func (b *LogBatch) Record(offset int64) RecordID {
	return stamp{b.ID.Producer, b.ID.Epoch, b.ID.Sequence}.record(int(offset - b.First))
}

// rawBytes is what Between asks for at a time.
const rawBytes = 1 << 20

// Between calls each with every batch that has something of [from, to), in order: also markers, and records of transactions
// that were aborted or are still open, which no other read gives. A batch is good until each returns. It does not touch the
// position, and does not wait behind what is read.
//
// Retriable trouble is tried again until ctx ends. Errors: each's own, *state.OutOfRangeError, *Error with a code that asking
// again does not cure, or ctx's end together with the last trouble.
func (c *Cursor) Between(ctx context.Context, from, to int64, each func(*LogBatch) error) error {
	for at := from; at < to; {
		batches, next, err := c.batches(ctx, at)
		if err != nil {
			return err
		}
		for i := range batches {
			if b := &batches[i]; b.Last >= at && b.First < to {
				if err := each(b); err != nil {
					return err
				}
			}
		}
		at = next
	}
	return nil
}

// BatchAt gives the batch that has offset, or the first one behind it, whatever became of its transaction. It does not touch the
// position, and does not wait behind what is read. It is one request where the leader is known, and one more where it has moved; then
// it gives up.
func (c *Cursor) BatchAt(ctx context.Context, offset int64) (b LogBatch, err error) {
	err = c.onLeader(ctx, func(leader int32) error {
		part, err := c.look(ctx, leader, offset, 1) // a broker gives one whole batch all the same
		if err != nil {
			return err
		}
		batches, _, err := c.reader.fetcher.unfold.logBatches(part, offset)
		if err != nil {
			return err
		}
		i := slices.IndexFunc(batches, func(b LogBatch) bool { return b.Last >= offset })
		if i < 0 {
			return errNothingThere
		}
		b = batches[i]
		return nil
	})
	return b, err
}

// Stable asks the leader for the last stable offset. It is one request where the leader is known, and one more where it has
// moved; then it gives up.
func (c *Cursor) Stable(ctx context.Context) (offset int64, err error) {
	err = c.onLeader(ctx, func(leader int32) (err error) {
		offset, err = c.listOne(ctx, leader, sarama.OffsetNewest, sarama.ReadCommitted)
		return err
	})
	return offset, err
}

// onLeader asks the broker that led the partition last, as far as it is known, and after an error the one that does now.
func (c *Cursor) onLeader(ctx context.Context, ask func(leader int32) error) error {
	leader := int32(-1)
	if t, ok := c.reader.client.cached(c.flow.topic); ok && t.Err == nil && int(c.flow.partition) < len(t.Partitions) {
		leader = t.Partitions[c.flow.partition].Leader
	}
	if err := ask(leader); err == nil {
		return nil
	}
	now, err := c.lookUp(ctx)
	if err != nil {
		return err
	}
	return ask(now.leader)
}

// batches gives what the log has at an offset and behind; next is where they end.
func (c *Cursor) batches(ctx context.Context, at int64) (batches []LogBatch, next int64, err error) {
	err = retry(ctx, func() error {
		now, err := c.lookUp(ctx)
		if err != nil {
			return err
		}
		part, err := c.look(ctx, now.leader, at, rawBytes)
		if err != nil {
			return err
		}
		batches, next, err = c.reader.fetcher.unfold.logBatches(part, at)
		return err
	})
	if isCode(err, sarama.ErrOffsetOutOfRange) {
		err = &state.OutOfRangeError{Topic: c.flow.topic, Partition: c.flow.partition, Position: at}
	}
	return batches, next, err
}

// look fetches once, whatever became of the transactions there.
func (c *Cursor) look(ctx context.Context, leader int32, offset int64, bytes int32) (*part, error) {
	of := c.flow.of()
	res, _, err := c.reader.client.fetch(ctx, leader, use{ForOffsets, nil}, &fetchRequest{bytes: bytes, asks: []partAsk{{of, offset, state.UnknownEpoch, bytes}}})
	if err != nil {
		return nil, err
	}
	part := res.parts[of]
	if part == nil {
		return nil, errNoAnswer
	}
	return part, codeError(part.code, "Fetch", of.topic, of.partition)
}

// errNothingThere: a leader that has just moved may not know the log's end at once.
var errNothingThere = errors.Join(errNoAnswer, errors.New("kafka: no batch there yet"))

// logBatches takes the batches out of an answer that was asked for at an offset.
func (u *unfolder) logBatches(p *part, at int64) (batches []LogBatch, next int64, err error) {
	next = at
	for b, err := range p.batches() {
		if err != nil {
			return nil, at, err
		}
		next = max(next, after(b.last))
		out := LogBatch{First: b.first, Last: b.last, ID: RecordID{b.by.id, b.by.epoch, b.by.seq},
			Epoch: b.epoch, Transactional: b.transactional(), Control: b.control(), Abort: b.abortMarker()}
		if !out.Control {
			records, err := b.unfold(&u.decompressor)
			if err == nil {
				err = b.each(records, func(r *record) { out.Records = append(out.Records, LogRecord{Key: r.key, Offset: r.offset}) })
			}
			if err != nil {
				return nil, at, err
			}
		}
		batches = append(batches, out)
	}
	if next == at {
		return nil, at, errNothingThere
	}
	return batches, next, nil
}
