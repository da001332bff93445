package state

import (
	"fmt"
	"time"
)

// Decision is what a Plan comes to.
type Decision int

const (
	// Ready: the store equals the log; nothing is read.
	Ready Decision = iota + 1
	// Resume: read the tail from the checkpoint's position.
	Resume
	// Verify: read the tail, and rebuild at its first hole: a tombstone may have been there.
	Verify
	// Rebuild: read everything into a new generation.
	Rebuild
)

// String is the decision as a word.
func (d Decision) String() string {
	switch d {
	case Ready:
		return "ready"
	case Resume:
		return "resume"
	case Verify:
		return "verify"
	case Rebuild:
		return "rebuild"
	}
	return fmt.Sprintf("decision %d", int(d))
}

// Plan is the decision about one store against its log.
type Plan struct {
	Decision Decision
	// Cause is the reason, as a user reads it.
	Cause string
	// Position is where reading starts, End the read_uncommitted end to be reached.
	Position, End int64
	// Sweep is the log start below which rows are to be removed, UnknownOffset for none.
	Sweep int64
	// Err is a *LogResetError where the log is not the one the checkpoint speaks of, else nil.
	Err error
	// Quarantine says that the old generation is to be set aside, not removed.
	Quarantine bool
	// CheckEpoch says that the epoch of the last applied record's batch is known and to be compared with the log's
	// before anything is applied.
	CheckEpoch bool
	// Unchecked says that the log may well be the one the checkpoint speaks of, but has nothing to tell it by. It is no
	// reason to rebuild for who has checked that log before.
	Unchecked bool

	// confirm marks a verdict that a second listing must confirm.
	confirm bool
}

// Plan decides what a store with checkpoint cp needs (ok tells whether it has one at all). It is a pure function:
// the rows of the table in docs/restore.md from top to bottom. Bounds with an unknown start or end give no plan but a
// zero one, with Decision 0: list again (R20). The topic and partition in its error are left for the caller to fill.
func (b Bounds) Plan(cp Checkpoint, ok bool, now time.Time) Plan {
	if b.Start < 0 || b.End < 0 {
		return Plan{Cause: "the broker does not tell the log's bounds yet", Sweep: UnknownOffset}
	}
	switch {
	case !ok:
		return b.rebuild("no checkpoint")
	case b.recreated(cp):
		return b.reset(cp, "topic was deleted and created again")
	case cp.Position < b.Start:
		return b.rebuild(fmt.Sprintf("checkpoint %d is below the log start %d", cp.Position, b.Start))
	case cp.Position > b.End:
		p := b.reset(cp, fmt.Sprintf("checkpoint %d is beyond the log end %d", cp.Position, b.End))
		p.Quarantine, p.confirm = false, true
		return p
	}
	if cause := b.unchecked(cp); cause != "" {
		p := b.rebuild(cause)
		p.Unchecked = true
		return p
	}
	return b.tail(cp, now)
}

// unchecked is why nothing in the log can tell whether it is still the history that the checkpoint speaks of, empty where
// something can, or where the log has nothing below the position. A log that was truncated and has grown again looks, by its
// bounds, like one that has gone on (R05).
func (b Bounds) unchecked(cp Checkpoint) string {
	switch {
	case cp.Position == b.Start:
		return ""
	case cp.LastApplied < b.Start:
		return fmt.Sprintf("no applied record is left in [%d, %d) to check the log by", b.Start, cp.Position)
	case cp.LastAppliedEpoch == UnknownEpoch:
		return fmt.Sprintf("the leader epoch of offset %d was not read back: the log cannot be checked by it", cp.LastApplied)
	}
	return ""
}

// tail is the plan for a checkpoint that lies within the log.
func (b Bounds) tail(cp Checkpoint, now time.Time) Plan {
	p := Plan{Position: cp.Position, End: b.End, Sweep: UnknownOffset}
	if b.Start > cp.LogStart {
		p.Sweep = b.Start
	}
	p.CheckEpoch = cp.LastApplied >= b.Start && cp.LastAppliedEpoch >= 0
	switch {
	case cp.Position == b.End:
		p.Decision, p.Cause = Ready, "checkpoint is at the log end"
	case !b.Compacted:
		p.Decision, p.Cause = Resume, "the topic is not compacted"
	case isYoung(cp.KnownCurrent, now, minRetention(b.DeleteRetention, cp.DeleteRetention)):
		p.Decision, p.Cause = Resume, "the tail is younger than delete.retention.ms"
	default:
		p.Decision, p.Cause = Verify, "the tail may be older than delete.retention.ms"
	}
	return p
}

func (b Bounds) rebuild(cause string) Plan {
	return Plan{Decision: Rebuild, Cause: cause, Position: b.Start, End: b.End, Sweep: UnknownOffset}
}

func (b Bounds) reset(cp Checkpoint, cause string) Plan {
	p := b.rebuild(cause)
	p.Quarantine = true
	p.Err = &LogResetError{Position: cp.Position, Start: b.Start, End: b.End, Cause: cause}
	return p
}

// recreated compares the ids where both are known.
func (b Bounds) recreated(cp Checkpoint) bool {
	unknown := TopicID{}
	return b.TopicID != unknown && cp.TopicID != unknown && b.TopicID != cp.TopicID
}

// minRetention is the smaller of the live and the stored delete.retention.ms; negative when either is not known.
func minRetention(live, stored time.Duration) time.Duration { return min(live, stored) }

// isYoung tells whether no tombstone written since known can have been removed by now. What is not known is not young:
// an unknown retention, no known-current time, and a time after our clock (R44). It goes by the wall clock: the monotonic
// one stands still while the machine sleeps.
func isYoung(known, now time.Time, retention time.Duration) bool {
	known, now = known.Round(0), now.Round(0)
	if retention < 0 || known.IsZero() || known.After(now) {
		return false
	}
	return now.Sub(known) < retention
}
