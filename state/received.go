package state

import (
	"errors"
	"fmt"
	"time"
)

// onRecords takes an answer in.
func (r *restorer) onRecords(now time.Time, rs Records) command {
	if err := r.validate(rs); err != nil {
		return command{kind: cmdFail, err: err}
	}
	if rs.LogStart > rs.Position {
		return r.onOutOfRange(rs.Position)
	}
	r.high = max(r.high, rs.End)
	if rs.Next == rs.Position {
		return r.onNothing(now, rs)
	}
	if rs.LastEpoch > r.leader && r.cp.LastAppliedEpoch >= 0 { // a leader nobody has told us of: first the check
		r.leader, r.checked = rs.LastEpoch, false
		return command{kind: cmdList}
	}
	if plan := r.distrust(now, rs); plan != nil {
		r.forced = plan
		return command{kind: cmdList}
	}
	r.take(now, rs)
	return command{kind: cmdApply, apply: rs, cp: r.cp, flush: r.reached || r.cp.Position >= r.end}
}

// validate names what cannot be applied (R39).
func (r *restorer) validate(rs Records) error {
	damaged := func(offset int64, format string, args ...any) error {
		return &DamageError{Topic: r.topic, Partition: r.partition, Offset: offset, Err: fmt.Errorf(format, args...)}
	}
	if rs.Position != r.cp.Position || rs.Next < rs.Position {
		return damaged(rs.Position, "asked at %d, answered with [%d, %d)", r.cp.Position, rs.Position, rs.Next)
	}
	at := rs.Position
	for i := range rs.Records {
		o := rs.Records[i].Offset
		if o < at || o >= rs.Next {
			return damaged(o, "it is not in order within [%d, %d)", at, rs.Next)
		}
		at = next(o)
	}
	return nil
}

// onNothing waits: for records while following, for an open transaction to end before that (R12). It lists again now
// and then, and gives up when nothing has moved for longer than a transaction can live (R13).
func (r *restorer) onNothing(now time.Time, rs Records) command {
	r.startRises(rs.LogStart, rs.Stable)
	if r.cp.Position >= r.end {
		if r.stampAtDue(now, r.endOf(rs)) {
			return command{kind: cmdApply, cp: r.cp, flush: true}
		}
		return r.goOn(now)
	}
	if r.waiting.IsZero() || now.Sub(r.fetchAsked) >= stuckRelist {
		r.waiting = now // a fetch that took so long met an outage, which is no waiting
	}
	if waited := now.Sub(r.waiting); waited > r.hang {
		return command{kind: cmdFail, err: &HangingTransactionError{Topic: r.topic, Partition: r.partition,
			Position: r.cp.Position, Stable: rs.Stable, End: r.end, Waited: waited}}
	}
	if now.Sub(r.listed) >= stuckRelist {
		return command{kind: cmdList}
	}
	return command{kind: cmdFetch, position: r.cp.Position}
}

// endOf is the end to be current at by an answer: the newest one heard of, since a leader that is new may tell a lower one
// for a moment.
func (r *restorer) endOf(rs Records) int64 {
	if rs.End < 0 {
		return rs.End
	}
	return r.high
}

// stampAtDue is stampAt for an idle follower: it leaves the time alone until writing it down is due.
func (r *restorer) stampAtDue(now time.Time, end int64) bool {
	old := r.cp.KnownCurrent
	if !old.After(now) && r.fetchAsked.Sub(old) < stampEvery {
		return false
	}
	return r.stampAt(now, r.fetchAsked, end)
}

// distrust gives the rebuild that an answer calls for, nil for none.
func (r *restorer) distrust(now time.Time, rs Records) *Plan {
	if rs.FirstEpoch >= 0 && r.epoch >= 0 && rs.FirstEpoch < r.epoch {
		cause := fmt.Sprintf("the leader epoch falls from %d to %d at %d: the log was truncated", r.epoch, rs.FirstEpoch, rs.Position)
		return r.resetPlan(cause)
	}
	retention := minRetention(r.bounds.DeleteRetention, r.cp.DeleteRetention)
	if !r.bounds.Compacted || rs.Present >= rs.Next-rs.Position || isYoung(r.cp.KnownCurrent, now, retention) {
		return nil
	}
	if r.rebuilding {
		r.unproven = true
		return nil
	}
	return &Plan{Decision: Rebuild,
		Cause: fmt.Sprintf("the tail has a hole in [%d, %d) and is older than delete.retention.ms: a tombstone may be lost", rs.Position, rs.Next)}
}

func (r *restorer) resetPlan(cause string) *Plan {
	return &Plan{Decision: Rebuild, Cause: cause, Err: &LogResetError{Position: r.cp.Position, Cause: cause}}
}

// take moves the checkpoint over the answer.
func (r *restorer) take(now time.Time, rs Records) {
	r.waiting, r.resets = time.Time{}, 0
	r.cp.Position = rs.Next
	r.startRises(rs.LogStart, rs.Stable)
	if rs.LastEpoch >= 0 {
		r.epoch = rs.LastEpoch
	}
	if rs.LastEpoch >= 0 || len(rs.Records) > 0 {
		r.cp.LastApplied = rs.Next - 1
		r.cp.ReadBack(rs.LastEpoch)
	}
	if len(rs.Records) > 0 {
		r.cp.Inputs, r.cp.InputTopics = nil, nil
	}
	r.stampAt(now, r.fetchAsked, r.endOf(rs))
	r.stampAt(now, r.listAsked, r.listEnd)
}

const mostChecks = 16

// onCheck compares the epoch of the batch that holds, or follows, the last applied offset. Nothing is applied.
func (r *restorer) onCheck(now time.Time, rs Records) command {
	stored, grown := r.cp.LastAppliedEpoch, regrown(rs, r.cp)
	switch {
	case rs.FirstEpoch == stored && grown >= 0:
		r.forced = r.resetPlan(fmt.Sprintf("offset %d has a record, it was passed without one: the log was truncated and grew again", grown))
	case rs.FirstEpoch == stored:
		r.checking, r.checked = -1, true
		return r.goOn(now)
	case rs.FirstEpoch < 0 && rs.Next < r.cp.Position && r.checks < mostChecks:
		r.checks++
		r.checking = max(rs.Next, r.checking)
		return command{kind: cmdFetch, position: r.checking}
	case rs.FirstEpoch >= 0 && (rs.FirstEpoch < stored || covers(rs, r.cp.LastApplied)):
		r.forced = r.resetPlan(fmt.Sprintf("offset %d has leader epoch %d, it was applied with %d: the log was truncated and grew again",
			r.cp.LastApplied, rs.FirstEpoch, stored))
	default:
		r.forced = &Plan{Decision: Rebuild, Cause: fmt.Sprintf("leader epoch %d of offset %d is not in the log any more", stored, r.cp.LastApplied)}
	}
	r.checking = -1
	return command{kind: cmdList}
}

func covers(rs Records, offset int64) bool {
	return len(rs.Records) > 0 && rs.Records[0].Offset <= offset
}

// regrown gives the first offset of an answer where nothing was left when it was passed, behind the last batch that was met, and a
// record is now; negative for none. What an answer does not reach is not looked at.
func regrown(rs Records, cp Checkpoint) int64 {
	for i := range rs.Records {
		switch o := rs.Records[i].Offset; {
		case o >= cp.Position:
			return UnknownOffset
		case o > cp.LastApplied:
			return o
		}
	}
	return UnknownOffset
}

// isReset tells whether err is worth counting as a reset.
func isReset(err error) bool {
	if _, ok := errors.AsType[*OutOfRangeError](err); ok {
		return true
	}
	_, ok := errors.AsType[*LogResetError](err)
	return ok
}
