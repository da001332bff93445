package kafka

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"github.com/IBM/sarama"
)

// machine decides what a member does next. It is pure: no goroutine, no clock, no I/O. The shell feeds it one event at
// a time and carries out its commands; at most one request and one handler call are under way.
//
// The naive way walks through a rebalance as a script: revoke, join, sync, assign. It fails as soon as something else
// happens in the middle: a loss while a revoke waits for a callback, a stop while a join waits for others, a second
// rebalance. Here the protocol and the handler advance apart from each other, and two sets connect them: *want* is what
// the last assignment gave us, *held* is what the handler has open. Whenever the handler is idle the difference is the
// next call. A task leaves held only when the handler has closed it, so a task that comes back while it is being closed
// is started after that.
//
// Relations that hold after each step:
//
//	doomed ⊆ held                     lost, but not closed yet
//	claims = held − doomed ∪ want     what the next join declares; nobody else is given these
//	claims ≠ ∅ → live
//
// want belongs to the claims because the handler may be busy for long: a task that was given to us and waits for it
// would else be started after a join that did not declare it.
//
// declared is what the group knows of our claims. A leader that plans without us (we missed a generation) spares
// declared and nothing else, so on ILLEGAL_GENERATION the rest counts as lost.
type machine struct {
	cfg   MembershipConfig
	tasks int32 // how many there are
	now   time.Time
	out   []memberOut

	member Member // generation of the last assignment, -1 before
	next   Member // the one being synced
	live   bool   // a generation was synced and its claims were not lost since

	found    bool     // the coordinator is known
	mustJoin bool     // the next request is a join
	joined   bool     // the group may know us
	flying   memberOp // the request under way
	aborted  bool
	sent     time.Time // when it was sent
	contact  time.Time // since then the group's session runs, at the latest
	retryAt  time.Time
	wait     time.Duration // the last wait before a retry
	nextBeat time.Time
	recheck  time.Time // when to look whether withheld tasks have been given up; zero: none
	round    int
	late     int // joins in a row that were not answered in time

	held, doomed, want, declared taskSet
	busy                         memberOp // the handler call under way
	handling                     taskSet
	cancelled                    bool
	cancelAt                     time.Time // when the revoke under way is out of time

	stopping, orphan, done bool // orphan: there is nothing to leave
	leaveBy                time.Time
	final                  error
}

func newMachine(cfg MembershipConfig, tasks int32) *machine {
	return &machine{cfg: cfg, tasks: tasks, member: Member{InstanceID: cfg.InstanceID, Generation: -1}, mustJoin: true}
}

// step takes one event and gives the commands that follow from it.
func (m *machine) step(now time.Time, in memberIn) []memberOut {
	was := m.now
	m.now, m.out = now, nil
	if m.done {
		return nil
	}
	m.wake(was)
	m.take(in)
	m.expire()
	m.handle()
	m.request()
	return m.out
}

func (m *machine) take(in memberIn) {
	switch in.op {
	case evFound, evJoined, evSynced, evBeaten, evLeft:
		m.answered(in)
	case evHandled:
		m.handled()
	case evStop:
		m.stop(in.err)
	case evRejoin:
		m.rejoin(in.err)
	}
}

func (m *machine) answered(in memberIn) {
	was := m.flying
	m.flying = ""
	switch {
	case in.op == evLeft:
		m.left(in.err)
	case in.op == evJoined && in.id != "" && (in.err == nil || isCode(in.err, sarama.ErrMemberIdRequired)):
		m.joinedAs(in)
	case in.err != nil && !m.aborted:
		m.failed(was, in.err)
	case in.err != nil: // we ended it ourselves
	case in.op == evFound:
		m.found = true
	case in.op == evSynced:
		m.synced(in.granted)
	case in.op == evBeaten:
		m.contact, m.wait = m.sent, 0
		m.nextBeat = m.now.Add(m.interval())
	}
	m.aborted = false
}

func isCode(err error, code sarama.KError) bool {
	e, ok := errors.AsType[*Error](err)
	return ok && e.Code == int16(code)
}

// joinedAs takes the id the group gave us and, where the join is complete, goes on to the sync.
func (m *machine) joinedAs(in memberIn) {
	if in.err != nil && m.member.ID != "" {
		m.backOff() // we had an id
	}
	m.member.ID, m.joined, m.contact = in.id, true, m.now
	if in.err != nil || m.over() {
		return
	}
	m.late = 0
	m.next = Member{ID: in.id, InstanceID: m.cfg.InstanceID, Generation: in.gen}
	sync := memberOut{op: opSync, member: m.next, timeout: m.patience()}
	if in.leader {
		sync.plan = m.plan(in.peers)
	}
	m.send(sync)
}

func (m *machine) plan(peers []peer) map[string]assignment {
	given, withheld := planTasks(peers, m.tasks)
	plan := make(map[string]assignment, len(peers))
	for _, p := range peers {
		plan[p.ID] = assignment{tasks: given[p.ID], idle: !p.Fits, incomplete: withheld > 0}
	}
	return plan
}

func (m *machine) synced(a assignment) {
	m.member, m.live, m.mustJoin = m.next, true, false
	m.contact, m.wait = m.now, 0
	m.recheck = time.Time{}
	if a.incomplete {
		m.recheck = m.now.Add(m.cfg.SessionTimeout)
	}
	m.nextBeat = m.now.Add(m.interval())
	m.tell(MemberEvent{Kind: MemberJoined, Tasks: a.tasks})
	if a.idle {
		m.tell(MemberEvent{Kind: MemberIdle})
	}
	if len(m.open()) > 0 {
		m.emit(memberOut{op: opGeneration, member: m.member})
	}
	if !m.stopping {
		m.want = slices.DeleteFunc(slices.Clone(a.tasks), func(t int32) bool { return t < 0 || t >= m.tasks })
	}
}

// failed decides what the failure of a request means.
func (m *machine) failed(was memberOp, err error) {
	switch {
	case errors.Is(err, ErrUnknownMember):
		m.lose(m.held, err)
		m.member.ID, m.member.Generation, m.joined = "", -1, false
		m.again(err)
	case errors.Is(err, ErrIllegalGeneration):
		m.lose(m.held.minus(m.declared), err)
		m.want = m.want.and(m.open())
		m.again(err)
	case errors.Is(err, ErrRebalanceInProgress):
		m.contact = m.now
		m.again(err)
		if was == opBeat { // nothing has failed: join at once
			m.contact, m.nextBeat = m.sent, m.now.Add(m.cfg.HeartbeatInterval)
			return
		}
	case retriable(err):
		// An answer, if a refusal, to a join or sync shows that the group kept us until now.
		if _, ok := errors.AsType[*Error](err); ok && (was == opJoin || was == opSync) {
			m.contact = m.now
		}
		if was == opJoin && errors.Is(err, context.DeadlineExceeded) {
			m.late++
		}
		m.found = false
		m.nextBeat = m.now
		m.tell(MemberEvent{Kind: MemberRetry, Cause: err})
	default:
		m.fail(err)
	}
	m.backOff()
}

// again asks for a join.
func (m *machine) again(cause error) {
	if !m.mustJoin && !m.stopping {
		m.tell(MemberEvent{Kind: MemberRebalancing, Cause: cause})
	}
	m.mustJoin = true
}

// fail ends the member without order: it has no right to commit any more, or never had.
func (m *machine) fail(err error) {
	m.final = cmp.Or(m.final, err)
	m.stopping, m.orphan = true, true
	m.lose(m.held, err)
	m.want = nil
}

func (m *machine) stop(err error) {
	m.final = cmp.Or(m.final, err)
	if m.stopping {
		return
	}
	m.stopping, m.want = true, nil
	if m.busy == opRevoke {
		m.cancelAt = earlier(m.cancelAt, m.now.Add(m.cfg.StopTimeout))
	}
}

func (m *machine) rejoin(cause error) {
	switch {
	case m.stopping || !m.live:
	case ofMembership(cause): // the coordinator's answer decides: the commit's error may be of an older generation
		m.nextBeat = m.now
	default:
		m.lose(m.held, cause)
		m.again(cause)
	}
}

func ofMembership(cause error) bool {
	return errors.Is(cause, ErrUnknownMember) || errors.Is(cause, ErrIllegalGeneration) ||
		errors.Is(cause, ErrRebalanceInProgress) || errors.Is(cause, ErrFencedInstance)
}

func (m *machine) left(err error) {
	gone := err == nil || errors.Is(err, ErrUnknownMember)
	if !gone && retriable(err) && m.now.Before(m.leaveBy) {
		m.found = false
		m.backOff()
		return
	}
	if gone {
		err = nil
	}
	m.orphan = true
	m.tell(MemberEvent{Kind: MemberLeft, Cause: err})
}

// lose gives up tasks without order. A revoke under way of one of them is cut short.
func (m *machine) lose(tasks taskSet, cause error) {
	tasks = tasks.and(m.held).minus(m.doomed)
	m.doomed = m.doomed.plus(tasks)
	if len(m.open()) == 0 {
		m.live, m.want = false, nil
	}
	if len(tasks) == 0 {
		return
	}
	m.tell(MemberEvent{Kind: MemberLost, Tasks: tasks, Cause: cause})
	if m.busy == opRevoke && len(tasks.and(m.handling)) > 0 {
		m.cancel(cause)
	}
}

func (m *machine) cancel(cause error) {
	if !m.cancelled {
		m.cancelled = true
		m.emit(memberOut{op: opCancel, err: cause})
	}
}
