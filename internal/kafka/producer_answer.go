package kafka

import (
	"cmp"
	"errors"
	"fmt"
	"time"

	"github.com/IBM/sarama"
)

// apply takes a command's outcome.
func (r *run) apply(e event, now time.Time) {
	switch e.kind {
	case cmdInit:
		r.applyInit(e, now)
	case cmdRefresh:
		r.refreshing = false
		for _, l := range e.lanes {
			l.asking = false
			r.applyMetadata(l, e, now)
		}
	case cmdSend:
		r.flying[e.node]--
		for _, b := range e.batches {
			b.state = ready
			b.lane.flying--
			r.applyAnswer(b, e, now)
			if b.lane.held && b.lane.flying == 0 {
				r.resolve(b.lane, now)
			}
		}
	}
}

func (r *run) applyInit(e event, now time.Time) {
	r.asking = false
	if e.err == nil {
		r.seqs.id, r.seqs.epoch = e.id, e.epoch
		r.initWait = 0
		return
	}
	r.initWait = grow(r.initWait)
	r.initDue = now.Add(r.initWait)
	for _, l := range r.lanes {
		switch {
		case l.done():
		case retriable(e.err) || e.ended:
			l.cause = cmp.Or(l.cause, e.err)
		default:
			r.fail(l, e.err)
		}
	}
}

// applyMetadata settles whether the lane's leader is known now.
func (r *run) applyMetadata(l *lane, e event, now time.Time) {
	t := e.topics[l.key.topic]
	err := cmp.Or(e.err, t.Err)
	switch {
	case err != nil:
	case int(l.key.partition) >= len(t.Partitions):
		err = codeError(sarama.ErrUnknownTopicOrPartition, "Metadata", l.key.topic, l.key.partition)
	case t.Partitions[l.key.partition].Leader < 0:
		err = codeError(sarama.ErrLeaderNotAvailable, "Metadata", l.key.topic, l.key.partition)
	}
	if !missing(err) {
		l.gone = absence{}
	}
	switch {
	case err == nil:
		l.stale = false
	case missing(err) && l.gone.confirmed(now, absenceTimes, r.missing):
		r.vanished(l, err)
	case retriable(err) || missing(err) || e.ended:
		if !e.ended || l.cause == nil {
			l.cause = err
		}
		r.later(l, l.cause, now)
		l.stale = true
	default:
		r.fail(l, err)
	}
}

// vanished: whatever was sent to a topic that is gone is in no log.
func (r *run) vanished(l *lane, err error) {
	r.fail(l, err)
	l.failed.Unknown = false
}

// applyAnswer is what a Produce answer, or its absence, does to a batch.
func (r *run) applyAnswer(b *batch, e event, now time.Time) {
	l := b.lane
	if e.err != nil {
		r.applyBroken(b, e)
		return
	}
	block := e.answer.Blocks[l.key.topic][l.key.partition]
	if block == nil {
		b.trouble(perhaps, errNoAnswer)
		return
	}
	l.stale = l.stale || stale(block.Err)
	switch v := treat(block.Err); {
	case v != acked:
		b.trouble(v, &Error{Code: int16(block.Err), Request: "Produce", Topic: l.key.topic, Partition: l.key.partition, Detail: detail(block)})
	case block.Offset < 0: // taken by an earlier attempt, as far as the broker remembers
		b.uncertain = true
		b.trouble(there, nil)
	default:
		r.acked(b, block.Offset, now)
	}
}

// detail is the broker's own words.
func detail(block *sarama.ProduceResponseBlock) string {
	text := ""
	if block.ErrorMessage != nil {
		text = *block.ErrorMessage
	}
	if len(block.RecordErrors) > 0 && block.RecordErrors[0].BatchIndexErrorMessage != nil {
		text = fmt.Sprintf("%s: record %d: %s", text, block.RecordErrors[0].BatchIndex, *block.RecordErrors[0].BatchIndexErrorMessage)
	}
	return text
}

// applyBroken handles a request without an answer.
func (r *run) applyBroken(b *batch, e event) {
	l, cause := b.lane, e.err
	if e.ended && l.cause != nil {
		cause = l.cause
	}
	var unencodable sarama.PacketEncodingError
	var v *VersionError
	switch {
	case errors.As(e.err, &unencodable), errors.As(e.err, &v):
		b.trouble(refused, cause)
	case errors.Is(e.err, errHeld):
		b.trouble(again, cause)
	case e.sent:
		l.stale = true
		b.trouble(perhaps, cause)
	case retriable(e.err), e.ended:
		l.stale = true
		b.trouble(again, cause)
	default:
		b.trouble(refused, cause)
	}
}
