package kafka

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// memberOp names what goes into the member machine and what comes out of it.
type memberOp string

// In: the answers (their err is set where it failed), and what others ask.
const (
	evStart   memberOp = "start"
	evFound   memberOp = "found"   // the coordinator is known
	evJoined  memberOp = "joined"  // id, generation, and for the leader the peers
	evSynced  memberOp = "synced"  // the assignment
	evBeaten  memberOp = "beaten"  // a heartbeat was answered
	evLeft    memberOp = "left"    // LeaveGroup was answered
	evHandled memberOp = "handled" // the handler call under way has returned
	evTick    memberOp = "tick"
	evStop    memberOp = "stop"   // end in order; err is what Run returns
	evRejoin  memberOp = "rejoin" // Rejoin was called
)

// Out: at most one request and one handler call are under way at a time.
const (
	opFind  memberOp = "find"
	opJoin  memberOp = "join"
	opSync  memberOp = "sync"
	opBeat  memberOp = "beat"
	opLeave memberOp = "leave"
	opAbort memberOp = "abort" // end the request under way; it still answers

	opAssign     memberOp = "assign"
	opRevoke     memberOp = "revoke"
	opLost       memberOp = "lost"
	opGeneration memberOp = "generation"
	opCancel     memberOp = "cancel" // end the context of the revoke under way

	opTell memberOp = "tell" // a MemberEvent
	opDone memberOp = "done"
)

// memberIn is an event for the machine.
type memberIn struct {
	op      memberOp
	err     error
	id      string // of a joined, also beside MEMBER_ID_REQUIRED
	gen     int32
	leader  bool
	peers   []peer
	granted assignment
}

// assignment is what the leader gives a member.
type assignment struct {
	tasks taskSet
	// idle: the member's topology is not the leader's.
	idle bool
	// incomplete: some member still owns a task that is to move.
	incomplete bool
}

// memberOut is a command of the machine.
type memberOut struct {
	op      memberOp
	member  Member
	tasks   taskSet
	round   int
	plan    map[string]assignment
	timeout time.Duration
	err     error
	event   MemberEvent
}

// String is the command as the scenarios under testdata show it.
func (o memberOut) String() string {
	var b strings.Builder
	b.WriteString(string(o.op))
	who := func() { fmt.Fprintf(&b, " %s/%d", o.member.ID, o.member.Generation) }
	switch o.op {
	case opJoin:
		fmt.Fprintf(&b, " %q owned=%v", o.member.ID, o.tasks)
		if o.round > 0 {
			fmt.Fprintf(&b, " round=%d", o.round)
		}
	case opSync:
		who()
		b.WriteString(planString(o.plan))
	case opBeat, opLeave, opGeneration:
		who()
	case opAssign:
		who()
		fmt.Fprintf(&b, " %v", o.tasks)
	case opRevoke:
		who()
		fmt.Fprintf(&b, " %v within %v", o.tasks, o.timeout)
	case opLost:
		fmt.Fprintf(&b, " %v", o.tasks)
	case opTell:
		fmt.Fprintf(&b, " %s", o.event.Kind)
		if o.event.Tasks != nil {
			fmt.Fprintf(&b, " %v", o.event.Tasks)
		}
		if o.event.Cause != nil {
			fmt.Fprintf(&b, ": %v", o.event.Cause)
		}
	case opDone, opCancel:
		if o.err != nil {
			fmt.Fprintf(&b, ": %v", o.err)
		}
	}
	return b.String()
}

func planString(plan map[string]assignment) string {
	var b strings.Builder
	for _, id := range slices.Sorted(maps.Keys(plan)) {
		fmt.Fprintf(&b, " %s=%v", id, plan[id].tasks)
		if plan[id].idle {
			b.WriteString(" idle")
		}
	}
	return b.String()
}
