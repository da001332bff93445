package state

import (
	"errors"
	"fmt"
	"time"

	"github.com/tarnstream/tarn/internal/invariant"
)

// The restorer is the whole judgement of a restore as a pure machine: step takes what happened and the time, and gives
// the one thing to do next. It does no I/O and reads no clock; the shell in run.go does.
//
// The naive way, to read from the checkpoint until nothing comes and to begin anew when the broker refuses, merges two
// histories (out of range, truncated, recreated) or never ends (markers, compacted tails). The rules that hold here:
//
//   - From an evOutOfRange to the next evBounds no cmdFetch is given.
//   - The position moves only by what was received, and completion is the position reaching the end listed.
//   - Whatever the bounds say is judged by Bounds.Plan, at the start and at every later listing alike.
//   - A stretch with a hole is believed only while no tombstone in it can have been removed: judged as each answer is
//     received, against the time its fetch was sent, so that a crash in mid-tail forgets nothing.
type restorer struct {
	topic     string
	partition int32
	follow    bool
	hang      time.Duration
	relist    time.Duration

	cp     Checkpoint // what applying all that was received so far comes to
	has    bool
	forced *Plan // a rebuild that the next bounds are only needed for

	bounds     Bounds
	plan       Plan
	end        int64 // to be reached
	listEnd    int64 // as listed at listAsked
	high       int64 // newest end heard of
	epoch      int32 // of the newest batch seen
	leader     int32 // newest leader epoch under which the log was checked
	sweep      int64 // rows below it are still to be removed
	sweepAt    int64 // but not before this position: what was stable when the start was heard of
	rebuilding bool
	unproven   bool
	reached    bool

	lost       bool // out of range, bounds not seen yet
	confirming bool
	checked    bool  // the epoch check is done, or not needed
	checking   int64 // its position while it runs, else negative
	checks     int
	doing      command

	listed, listAsked, fetchAsked time.Time
	waiting                       time.Time // since when nothing came though the end is not reached
	resets, unknown               int
}

// What happens.
type (
	event   any
	evStart struct {
		cp        Checkpoint
		has, left bool // left: an unfinished rebuild of an earlier restore
	}
	evBounds     struct{ Bounds }
	evRecords    struct{ Records }
	evOutOfRange struct{}
	evFailed     struct{ err error }
	evTick       struct{} // a cmdWait is over
	evDone       struct{} // any other command was carried out
)

type commandKind int

const (
	cmdList commandKind = iota + 1
	cmdFetch
	cmdBegin
	cmdApply
	cmdSweep
	cmdSwap
	cmdReady
	cmdWait
	cmdFail
)

// command is what to do next. plan and reset, where set, are to be reported first.
type command struct {
	kind     commandKind
	position int64         // fetch
	apply    Records       // apply
	cp       Checkpoint    // apply
	flush    bool          // apply: write now
	below    int64         // sweep
	wait     time.Duration // wait
	err      error         // fail
	plan     *Plan
	reset    error
}

const (
	stampEvery   = time.Minute
	stuckRelist  = 5 * time.Second
	leastBackoff = 100 * time.Millisecond
	mostBackoff  = 5 * time.Second
)

// step is the machine. Exactly one command comes out.
func (r *restorer) step(now time.Time, ev event) command {
	c := r.handle(now, ev)
	invariant.Check(c.kind != cmdFetch || !r.lost, "fetch at %d between out of range and bounds", c.position)
	switch c.kind {
	case cmdList:
		r.listAsked = now
	case cmdFetch:
		r.fetchAsked = now
	}
	r.doing = c
	return c
}

func (r *restorer) handle(now time.Time, ev event) command {
	switch ev := ev.(type) {
	case evStart:
		r.start(ev)
		return command{kind: cmdList}
	case evBounds:
		return r.onBounds(now, ev.Bounds)
	case evRecords:
		if r.checking >= 0 {
			return r.onCheck(now, ev.Records)
		}
		return r.onRecords(now, ev.Records)
	case evOutOfRange:
		return r.onOutOfRange(r.doing.position)
	case evFailed:
		return command{kind: cmdFail, err: r.failure(ev.err)}
	case evTick:
		return command{kind: cmdList}
	default:
		return r.onDone(now)
	}
}

func (r *restorer) start(ev evStart) {
	r.cp, r.has = ev.cp, ev.has
	r.checking, r.sweep, r.epoch, r.leader = -1, UnknownOffset, UnknownEpoch, UnknownEpoch
	if ev.left {
		r.forced = &Plan{Decision: Rebuild, Cause: "an earlier rebuild was not finished"}
	}
}

// failure names the place. A missing topic is a reset for a store that has something.
func (r *restorer) failure(err error) error {
	if _, missing := errors.AsType[*TopicMissingError](err); missing && r.has {
		return &LogResetError{Topic: r.topic, Partition: r.partition, Position: r.cp.Position,
			Start: UnknownOffset, End: UnknownOffset, Cause: "the topic is missing", Err: err}
	}
	return fmt.Errorf("state: restore %s/%d at %d: %w", r.topic, r.partition, r.cp.Position, err)
}

// onOutOfRange lists the bounds; when it happens again without progress in between, after a wait (R54). The end is to be
// reached anew, whatever the bounds say, so that whoever was told of the doubt is told of its end.
func (r *restorer) onOutOfRange(position int64) command {
	r.lost, r.reached, r.checking, r.waiting = true, false, -1, time.Time{}
	err := &OutOfRangeError{Topic: r.topic, Partition: r.partition, Position: position}
	r.resets++
	if r.resets == 1 {
		return command{kind: cmdList, reset: err}
	}
	return command{kind: cmdWait, wait: backoff(r.resets - 2), reset: err}
}

func backoff(n int) time.Duration { return min(leastBackoff<<min(n, 10), mostBackoff) }

// onBounds judges the log anew.
func (r *restorer) onBounds(now time.Time, b Bounds) command {
	r.listed = now
	p := b.Plan(r.cp, r.has, now)
	if p.Unchecked && r.checked && b.LeaderEpoch <= r.leader {
		p = b.tail(r.cp, now)
	}
	if p.Decision == 0 {
		r.unknown++
		return command{kind: cmdWait, wait: backoff(r.unknown - 1)}
	}
	r.unknown = 0
	if p.Decision != Rebuild && r.forced != nil {
		p = r.takeForced(b)
	}
	if p.confirm && !r.confirming {
		r.confirming = true
		return command{kind: cmdWait, wait: leastBackoff}
	}
	r.confirming, r.forced, r.lost = false, nil, false
	if b.LeaderEpoch > r.leader {
		r.leader, r.checked = b.LeaderEpoch, false
	}
	r.bounds, r.listEnd, r.high = b, b.End, b.End
	if p.Decision == Rebuild {
		return r.begin(p)
	}
	return r.proceed(now, p)
}

func (r *restorer) takeForced(b Bounds) Plan {
	p := *r.forced
	p.Position, p.End, p.Sweep = b.Start, b.End, UnknownOffset
	return p
}

// begin starts a rebuild.
func (r *restorer) begin(p Plan) command {
	b := r.bounds
	if reset, ok := errors.AsType[*LogResetError](p.Err); ok {
		reset.Topic, reset.Partition, reset.Start, reset.End = r.topic, r.partition, b.Start, b.End
	}
	r.cp = Checkpoint{TopicID: b.TopicID, ClusterID: b.ClusterID, Partition: r.partition, Position: b.Start,
		LastApplied: UnknownOffset, LastAppliedEpoch: UnknownEpoch,
		// The age of what is read counts from the listing: what was removed before it is not read at all.
		KnownCurrent: r.listAsked, LogStart: b.Start, DeleteRetention: b.DeleteRetention}
	r.has, r.rebuilding, r.unproven, r.reached = true, true, false, false
	r.plan, r.end, r.epoch, r.sweep, r.waiting = p, b.End, UnknownEpoch, UnknownOffset, time.Time{}
	r.checking, r.checked, r.leader = -1, true, b.LeaderEpoch // of a topic made again they count from 0 again
	return command{kind: cmdBegin, cp: r.cp, plan: &r.plan, reset: p.Err}
}

// proceed goes on where the store stands.
func (r *restorer) proceed(now time.Time, p Plan) command {
	first := r.plan.Decision == 0
	r.startRises(p.Sweep, r.bounds.Stable)
	r.end = r.bounds.End
	if r.reached {
		r.end = r.cp.Position
	}
	if first {
		r.plan = p
		r.adopt(r.bounds)
	}
	c := r.check(p)
	if c.kind == 0 {
		c = r.goOn(now)
	}
	if first {
		c.plan = &r.plan
	}
	return c
}

// check begins the epoch check where it is due: at the start, and when there is a new leader.
func (r *restorer) check(p Plan) command {
	if r.checked || !p.CheckEpoch {
		r.checked = true
		return command{}
	}
	r.epoch, r.checks = r.cp.LastAppliedEpoch, 0
	r.checking = r.cp.LastApplied
	return command{kind: cmdFetch, position: r.checking}
}

// adopt fills in what the checkpoint did not know of its log.
func (r *restorer) adopt(b Bounds) {
	unknown := TopicID{}
	if r.cp.TopicID == unknown {
		r.cp.TopicID = b.TopicID
	}
	if r.cp.ClusterID == "" {
		r.cp.ClusterID = b.ClusterID
	}
	r.cp.Partition = r.partition
}

// startRises hears of a log start, when so much of the log was stable. A row below it may have been written again since
// then: to sweep before that is applied would show an absent row that never was.
func (r *restorer) startRises(start, stable int64) {
	if start > r.sweep {
		r.sweep, r.sweepAt = start, stable
	}
}

// onDone follows up what was carried out.
func (r *restorer) onDone(now time.Time) command {
	switch r.doing.kind {
	case cmdSweep:
		r.cp.LogStart = max(r.cp.LogStart, r.doing.below)
		r.sweep = UnknownOffset
	case cmdSwap:
		r.rebuilding = false
	}
	return r.goOn(now)
}

// goOn gives the next command of a restore that nothing stands against.
func (r *restorer) goOn(now time.Time) command {
	atEnd := r.cp.Position >= r.end
	switch {
	case r.sweep > r.cp.LogStart && (atEnd && !r.reached || !r.rebuilding && r.cp.Position >= r.sweepAt):
		return command{kind: cmdSweep, below: r.sweep}
	case atEnd && !r.reached && r.doing.kind != cmdApply && r.stampAt(now, r.listAsked, r.listEnd):
		return command{kind: cmdApply, cp: r.cp, flush: true}
	case atEnd && r.rebuilding:
		return command{kind: cmdSwap}
	case atEnd && !r.reached:
		r.reached = true
		return command{kind: cmdReady}
	case r.follow && now.Sub(r.listed) >= r.relist:
		return command{kind: cmdList}
	}
	return command{kind: cmdFetch, position: r.cp.Position}
}

// stampAt notes that at time t the log's end was seen at or below the position, and tells whether that is worth
// writing down now. A stored time after our clock is no time (R44).
func (r *restorer) stampAt(now, t time.Time, end int64) bool {
	if end < 0 || end > r.cp.Position {
		return false
	}
	old := r.cp.KnownCurrent
	if !old.After(now) && !t.After(old) {
		return false
	}
	r.cp.KnownCurrent, r.cp.DeleteRetention = t, r.bounds.DeleteRetention
	return old.After(now) || t.Sub(old) >= stampEvery
}
