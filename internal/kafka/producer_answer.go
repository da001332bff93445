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
	for _, l := range e.lanes {
		l.flying = false
	}
	switch e.kind {
	case cmdInit:
		r.applyInit(e, now)
	case cmdRefresh:
		r.refreshing = false
		for _, l := range e.lanes {
			r.applyMetadata(l, e, now)
		}
	case cmdSend:
		delete(r.busy, e.node)
		for _, l := range e.lanes {
			r.applyAnswer(l, e, now)
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

// later makes the lane wait, longer each time.
func (r *run) later(l *lane, cause error, now time.Time) {
	l.cause = cause
	l.backoff = grow(l.backoff)
	l.due = now.Add(l.backoff)
	r.log.Debug("produce is tried again", "topic", l.key.topic, "partition", l.key.partition, "after", l.backoff, "cause", cause)
}

func grow(d time.Duration) time.Duration { return min(max(2*d, 20*time.Millisecond), time.Second) }

// applyAnswer is what a Produce answer, or its absence, does to a lane.
func (r *run) applyAnswer(l *lane, e event, now time.Time) {
	if e.err != nil {
		r.applyBroken(l, e, now)
		return
	}
	block := e.answer.Blocks[l.key.topic][l.key.partition]
	if block == nil {
		l.uncertain = true
		r.later(l, errNoAnswer, now)
		return
	}
	v := treat(block.Err)
	if l.uncertain {
		v = doubt(v)
	}
	if v == acked {
		r.acked(l, block.Offset)
		return
	}
	l.stale = l.stale || stale(block.Err)
	r.settle(l, v, &Error{Code: int16(block.Err), Request: "Produce", Topic: l.key.topic, Partition: l.key.partition, Detail: detail(block)}, now)
}

// acked: the batch is in the log from base on.
func (r *run) acked(l *lane, base int64) {
	if base < 0 {
		r.written(l)
		r.fail(l, ErrOffsetUnknown)
		return
	}
	for i := range l.n {
		l.rest[0][i].Offset = base + int64(i)
	}
	r.written(l)
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

// settle does what a verdict other than acked says.
func (r *run) settle(l *lane, v verdict, cause error, now time.Time) {
	switch v {
	case there:
		if !l.uncertain { // never sent before: the numbers are another batch's, so ours are behind the broker's
			r.seqs.bump(l.stamp)
			r.later(l, cause, now)
			return
		}
		r.written(l)
		r.fail(l, fmt.Errorf("%w: %w", ErrOffsetUnknown, cause))
	case again:
		r.later(l, cause, now)
	case perhaps:
		l.uncertain = true
		r.later(l, cause, now)
	case split:
		r.split(l)
	case bump:
		r.log.Warn("the broker lost the producer's sequence: going on with a new epoch", "topic", l.key.topic, "partition", l.key.partition, "cause", cause)
		r.seqs.bump(l.stamp)
		r.later(l, cause, now)
	case renew:
		r.seqs.renew(l.stamp)
		r.later(l, cause, now)
	case refused:
		r.fail(l, cause)
	case lost:
		l.uncertain = true
		r.fail(l, cause)
	}
}

// written moves on behind the batch in hand.
func (r *run) written(l *lane) {
	r.seqs.acked(l.key, l.stamp, l.n)
	if l.rest[0] = l.rest[0][l.n:]; len(l.rest[0]) == 0 {
		l.rest = l.rest[1:]
	}
	l.n, l.size, l.uncertain, l.cause, l.backoff = 0, 0, false, nil, 0
}

// split halves what the lane sends at once; a single record cannot be helped. Where an earlier attempt may be in the log
// the half keeps its numbers: the broker takes it only if that attempt is not there, and else names the gap.
func (r *run) split(l *lane) {
	if l.n == 1 {
		e := &RecordTooLargeError{Topic: l.key.topic, Partition: l.key.partition, Size: l.size, Limit: r.limits(l.key.topic)}
		if e.Limit >= e.Size { // the default, then, and not what the broker goes by
			e.Limit = 0
		}
		r.fail(l, e)
		return
	}
	l.limit = l.size / 2
	l.n, l.size = cut(l.rest[0][:l.n], l.limit)
}

// applyBroken handles a request without an answer.
func (r *run) applyBroken(l *lane, e event, now time.Time) {
	var unencodable sarama.PacketEncodingError
	var v *VersionError
	switch {
	case errors.As(e.err, &unencodable), errors.As(e.err, &v):
		r.fail(l, e.err)
	case e.sent:
		l.uncertain = true
		fallthrough
	case retriable(e.err), e.ended:
		l.stale = true
		if !e.ended || l.cause == nil {
			l.cause = e.err
		}
		r.later(l, l.cause, now)
	default:
		r.fail(l, e.err)
	}
}
