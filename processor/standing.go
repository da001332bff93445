package processor

import (
	"fmt"

	"github.com/tarnstream/tarn/internal/scope"
	"github.com/tarnstream/tarn/policy"
	"github.com/tarnstream/tarn/state"
)

// standing is what is known of a task's place in one input when it has to be decided where to read on: at its start, and
// when the broker refuses its position.
//
// The naive way is a consumer's: go on at the committed offset, and where there is none or the broker refuses it, at the
// earliest or the latest record, by a setting. That fails a table in four ways. A group whose offsets have expired reads
// everything again into tables that have counted it. A topic that was deleted and created again is read from the middle.
// Records that retention took before they were read are passed over in silence. And the setting that suits an input which
// is new, its earliest record, is the wrong one for an input that was read before.
//
// The rule: a committed offset counts only within the log, and only in the topic that it was committed for. Else the place
// is lost, and what follows depends on what the tables have counted. To read from the log's start is right where nothing
// there has been counted: in a topic made anew, and above an offset that retention has passed, unless the tables'
// checkpoint is newer than the offset and says otherwise. Where nobody can know, for want of an offset or because it lies
// beyond the end, Run ends with a *policy.InputError, unless the input's policy says what to do. Whatever is done is told,
// with the offsets that go unread. An input that the group has never read has no place to lose: it begins.
type standing struct {
	// committed is the next offset to read as the group has it, counted as the tables' checkpoint on this machine has it;
	// with UnknownOffset for what is not there, and the zero topic where that is not known.
	committed, counted mark
	// begins: without an offset the input begins. It was never read, or no table has counted anything of it.
	begins bool
}

// course is where to read on, UnknownOffset for nowhere, and what is lost with it.
type course struct {
	next int64
	loss *policy.InputError // nil where nothing is amiss; its place is left for the caller to fill in
}

// decide is a pure function. The bounds are known.
func (s standing) decide(b state.Bounds, begin scope.Begin, lost scope.Lost) course {
	at := s.committed.position
	e := &policy.InputError{Committed: at, Start: b.Start, End: b.End}
	twice := b.Start < b.End // read from the start, records may count twice
	switch was := s.topic(); {
	case at == state.UnknownOffset && s.begins:
		return course{next: beginning(b, begin)}
	case differ(was, b.TopicID):
		e.Cause, twice = "the topic was deleted and created again", false
		e.Was, e.Is = was, b.TopicID
	case at == state.UnknownOffset:
		e.Cause = "the tables are not empty, but the group has no committed offset: it has expired, or it or the topic was deleted"
	case at < b.Start:
		e.Cause, twice = fmt.Sprintf("the committed offset %d is below the log start %d", at, b.Start), s.knows(b) && s.counted.position > b.Start
	case at > b.End:
		e.Cause = fmt.Sprintf("the committed offset %d is beyond the log end %d: the topic was truncated or made again", at, b.End)
	default:
		return course{next: at}
	}
	e.Next = s.goOn(b, lost, twice)
	e.From, e.To = s.unread(b, e)
	return course{next: e.Next, loss: e}
}

// topic is the one that the place is in.
func (s standing) topic() state.TopicID {
	if s.committed.position == state.UnknownOffset {
		return s.counted.topic
	}
	return s.committed.topic
}

// differ compares topic ids where both are known.
func differ(a, b state.TopicID) bool {
	unknown := state.TopicID{}
	return a != unknown && b != unknown && a != b
}

func beginning(b state.Bounds, begin scope.Begin) int64 {
	if begin == scope.BeginLatest {
		return b.End
	}
	return b.Start
}

// knows tells whether the checkpoint speaks of this log.
func (s standing) knows(b state.Bounds) bool {
	return s.counted.position >= 0 && s.counted.position <= b.End && !differ(s.counted.topic, b.TopicID)
}

// goOn applies the policy.
func (s standing) goOn(b state.Bounds, lost scope.Lost, twice bool) int64 {
	switch {
	case lost == scope.LostEarliest:
		return b.Start
	case lost == scope.LostLatest:
		return b.End
	case lost == scope.LostCheckpoint && s.knows(b):
		return max(s.counted.position, b.Start)
	case lost == scope.LostFail || twice:
		return state.UnknownOffset
	}
	return b.Start
}

// unread gives the offsets that nobody has read and nobody will; where that cannot be known, none.
func (s standing) unread(b state.Bounds, e *policy.InputError) (from, to int64) {
	to = max(e.Next, e.Start) // where Run fails, what is gone is gone all the same
	stood := e.Committed
	if s.knows(b) {
		stood = max(stood, s.counted.position)
	}
	switch {
	case e.Was != e.Is:
		return e.Start, to
	case stood >= 0 && stood < to:
		return stood, to
	}
	return to, to
}
