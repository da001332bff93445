package kafka

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"time"

	"github.com/IBM/sarama"
)

// maxWindow is how many batches of a partition may be unresolved: a broker knows the last five again.
const maxWindow = 5

// batch is records of a lane that go out, and are answered, together.
type batch struct {
	lane    *lane
	records series
	size    int
	memory  int   // it takes to send it
	invalid error // they cannot be sent at all
	stamp   stamp
	stamped bool
	state   batchState
	placed  bool // acknowledged, and where it is is known
	// uncertain: an attempt may have come into the log. The batch is then sent again as it is or not at all.
	uncertain bool
	// verdict and cause are what the last attempt came to, where it did not come to an acknowledgement.
	verdict verdict
	cause   error
}

type batchState int8

const (
	ready batchState = iota
	flying
	acknowledged
)

// lane is one partition in a Produce call.
//
// Invariants: window is in the order of the records and of the sequence numbers, and its first batch is not acknowledged;
// a batch is sent only when all before it fly or are acknowledged; all in flight go to node, under one producer id and epoch.
type lane struct {
	key    laneKey
	rest   []series // not in the window yet
	window []*batch
	limit  int // bytes a batch
	flying int // batches in flight
	node   int32
	held   bool // a batch met trouble: nothing is sent until all in flight are answered
	alone  bool // the first batch is sent alone until it is acknowledged
	asking bool // the leader is being asked for
	stale  bool // it has to be
	due    time.Time
	// backoff is the last wait, cause why it was.
	backoff time.Duration
	cause   error
	gone    absence // of the topic
	failed  *ProduceError
	wrote   RecordID // the last acknowledged record

	// Of the trouble there is: when it began, and when it was told.
	since, said time.Time
}

func (l *lane) done() bool { return l.failed != nil || len(l.rest) == 0 && len(l.window) == 0 }

// idle tells that the lane may be looked at for something to do.
func (l *lane) idle(now time.Time) bool {
	return !l.done() && !l.asking && !l.held && !now.Before(l.due)
}

// sendable gives the lane's next batch that may be sent, with its numbers; nil for none now. One at a time it is after
// trouble, while the broker may not know the producer, and after a split: of the batches that were sent behind it some may
// still be on their way, and with more of its parts beside them they would be more than the broker knows again.
func (r *run) sendable(l *lane, now time.Time) *batch {
	limit := r.window
	if l.alone || len(l.window) > r.window || !r.seqs.familiar(l.key, now) {
		limit = 1
	}
	for i := range limit {
		if i == len(l.window) && !l.cut(r.room) {
			return nil
		}
		b := l.window[i]
		switch {
		case b.state != ready:
			continue
		case b.invalid != nil && i == 0: // all before it is acknowledged
			r.fail(l, b.invalid)
			return nil
		case b.invalid != nil || !b.stamped && !r.stamp(b, l.window[0]):
			return nil
		}
		return b
	}
	return nil
}

// cut takes the next records into the window, as many as take no more memory than room.
func (l *lane) cut(room int) bool {
	if len(l.rest) == 0 {
		return false
	}
	p := l.rest[0].cut(l.limit, room)
	b := &batch{lane: l, records: l.rest[0].take(p.n), size: p.size, memory: p.memory}
	if p.refused {
		b.invalid = &Error{Code: int16(sarama.ErrInvalidTimestamp), Request: "Produce", Topic: l.key.topic, Partition: l.key.partition,
			Detail: fmt.Sprintf("timestamp %d ms is not in the years 1970 to 2262", p.untimely)}
	}
	if l.rest[0].n == 0 {
		l.rest = l.rest[1:]
	}
	l.window = append(l.window, b)
	return true
}

// stamp gives a batch its numbers. It is false while the first of the window has those of an older id or epoch: a batch of
// the new one, taken by the broker, would keep the old ones from being sent again.
func (r *run) stamp(b, first *batch) bool {
	if b != first && !r.seqs.current(first.stamp) {
		return false
	}
	b.stamp, b.stamped = r.seqs.take(b.lane.key, b.records.n)
	return b.stamped
}

// acked: the batch is in the log from base on.
func (r *run) acked(b *batch, base int64, now time.Time) {
	l := b.lane
	b.records.rows.Placed(b.records.first, b.records.n, base)
	b.state, b.uncertain, b.placed = acknowledged, false, true
	r.seqs.acked(l.key, b.stamp, now)
	for _, before := range l.window {
		if before == b {
			break
		}
		if before.state == ready && !before.uncertain { // the broker forgot us in between
			before.verdict, before.cause, l.held = refused, errOvertaken, true
		}
	}
	l.pass()
}

// errOvertaken: the order of the records is broken and cannot be mended. A broker that knows the producer does not do so.
var errOvertaken = errors.New("the broker has taken later records before these")

// pass moves on behind acknowledged batches.
func (l *lane) pass() {
	for len(l.window) > 0 && l.window[0].state == acknowledged {
		if b := l.window[0]; b.placed { // in the order of the log, in which they need not be acknowledged
			l.wrote = b.stamp.record(b.records.n - 1)
		}
		l.window[0] = nil
		l.window = l.window[1:]
		l.alone, l.cause, l.backoff = false, nil, 0
	}
}

// trouble notes what an attempt came to. It is resolved when all that is in flight has been answered.
func (b *batch) trouble(v verdict, cause error) {
	b.verdict, b.cause, b.lane.held = v, cause, true
	if v == perhaps || v == lost {
		b.uncertain = true
	}
}

// resolve does what the verdict on the window's first batch says: that of a later one may be no more than a consequence.
// The first is then sent alone, and the others after it, as they were: those that are in the log already are known by their
// numbers.
func (r *run) resolve(l *lane, now time.Time) {
	l.held, l.alone = false, true
	first := l.window[0]
	v, cause := first.verdict, first.cause
	if first.uncertain {
		v = doubt(v)
	} else if (v == bump || v == renew || v == there) && l.doubtful() { // numbers that may be in the log are not given up
		v = lost
	}
	if r.transactional && (v == bump || v == renew || v == there) {
		v = lost
	}
	switch v {
	case again, perhaps:
		r.later(l, cause, now)
	case split:
		r.split(first)
	case there:
		if first.uncertain {
			r.lostOffset(first, cause)
			return
		}
		fallthrough // never sent before: the numbers are another batch's, so ours are behind the broker's
	case bump:
		r.log.Warn("the broker does not know the producer's sequence: going on with a new epoch", "topic", l.key.topic, "partition", l.key.partition,
			"cause", cause)
		r.seqs.bump(first.stamp)
		l.unstamp()
		r.later(l, cause, now)
	case renew:
		r.seqs.renew(first.stamp)
		l.unstamp()
		r.later(l, cause, now)
	case refused:
		r.fail(l, cause)
	case lost:
		first.uncertain = true
		r.fail(l, cause)
	}
}

// unstamp gives all numbers of the window up. None of them is in the log.
func (l *lane) unstamp() {
	for _, b := range l.window {
		b.stamped = false
	}
}

// doubtful tells whether some batch of the window is in the log, or may be.
func (l *lane) doubtful() bool {
	for _, b := range l.window {
		if b.uncertain || b.state != ready {
			return true
		}
	}
	return false
}

// lostOffset: the first batch is in the log, nobody knows where.
func (r *run) lostOffset(first *batch, cause error) {
	first.state, first.uncertain = acknowledged, false
	first.lane.pass()
	if cause != nil {
		cause = fmt.Errorf("%w: %w", ErrOffsetUnknown, cause)
	} else {
		cause = ErrOffsetUnknown
	}
	r.fail(first.lane, cause)
}

// split halves a batch that was too large, and what the lane sends from now on; a single record cannot be helped. Where an
// earlier attempt may be in the log the half keeps its numbers: the broker takes it only if that attempt is not there, and
// else names the gap.
func (r *run) split(b *batch) {
	l := b.lane
	if b.records.n == 1 {
		e := &RecordTooLargeError{Topic: l.key.topic, Partition: l.key.partition, Size: b.size, Limit: r.limits(l.key.topic)}
		if e.Limit >= e.Size { // the default, then, and not what the broker goes by
			e.Limit = 0
		}
		r.fail(l, e)
		return
	}
	l.limit = b.size / 2
	var parts []*batch
	for st, rest := b.stamp, b.records; rest.n > 0; {
		p := rest.cut(l.limit, math.MaxInt)
		parts = append(parts, &batch{lane: l, records: rest.take(p.n), size: p.size, memory: p.memory, stamp: st, stamped: true, uncertain: b.uncertain})
		st.seq = advance(st.seq, p.n)
	}
	l.window = append(parts, l.window[1:]...)
}

// later makes the lane wait, longer each time.
func (r *run) later(l *lane, cause error, now time.Time) {
	if l.backoff == 0 {
		l.since, l.said = now, time.Time{}
	}
	l.cause = cause
	l.backoff = grow(l.backoff)
	l.due = now.Add(l.backoff)
	level := slog.LevelDebug
	if now.Sub(l.since) >= complainAfter && now.Sub(l.said) >= complainEvery {
		l.said, level = now, slog.LevelWarn
	}
	r.log.Log(context.Background(), level, "records are not taken, and are sent again", "topic", l.key.topic, "partition", l.key.partition,
		"since", l.since, "cause", cause)
}

// complainAfter is how long records may go untaken, or a transaction unanswered, without a warning: a leader that moves takes less.
const complainAfter = 5 * time.Second

func grow(d time.Duration) time.Duration { return min(max(2*d, 20*time.Millisecond), time.Second) }

func because(cause, last error) error {
	if last == nil {
		return cause
	}
	return fmt.Errorf("%w: last: %w", cause, last)
}

// fail ends the lane. Numbers that no record can have are used again.
func (r *run) fail(l *lane, cause error) {
	e := &ProduceError{Topic: l.key.topic, Partition: l.key.partition, Cause: cause}
	for _, b := range l.window {
		e.Unknown = e.Unknown || b.uncertain || b.state == flying
	}
	l.failed = e
	switch {
	case len(l.window) == 0 || !l.window[0].stamped:
	case l.doubtful():
		r.seqs.abandon(l.key, l.window[0].stamp)
	default:
		r.seqs.rewind(l.key, l.window[0].stamp)
	}
}
