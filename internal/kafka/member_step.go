package kafka

import (
	"context"
	"errors"
	"time"
)

// maxWait bounds the wait between attempts; the first is firstWait. quickBeat is the interval of heartbeats while tasks
// are withheld: nobody runs those, so the rebalance that hands them over should be heard of soon.
const (
	firstWait = 20 * time.Millisecond
	maxWait   = time.Second
	leaveTime = 5 * time.Second
	quickBeat = 300 * time.Millisecond
)

// Why a member asks for a rebalance by itself.
var (
	errGivenUp  = errors.New("kafka: tasks that were given up are to be handed over")
	errWithheld = errors.New("kafka: tasks are still withheld from their new members")
)

// expire ends what is out of time: the session, and the revoke under way.
func (m *machine) expire() {
	if d := m.sessionEnd(); !d.IsZero() && !m.now.Before(d) {
		m.sessionOver()
	}
	if m.busy == opRevoke && !m.now.Before(m.cancelAt) {
		m.cancel(context.DeadlineExceeded)
	}
}

func (m *machine) sessionOver() {
	m.lose(m.held, ErrSessionExpired)
	m.live, m.want = false, nil
	m.again(ErrSessionExpired)
}

// waits tells that a join or a sync waits while there are claims. The group holds that against no member, so that there
// is no end of the session to go by; but it counts again from its answer, and a process that stands still has that unread.
func (m *machine) waits() bool { return m.live && (m.flying == opJoin || m.flying == opSync) }

// wake looks how long the process stood still, by either clock: one of them does so, too, while a machine is suspended.
func (m *machine) wake(was time.Time) {
	if m.waits() && max(m.now.Sub(was), m.now.Round(0).Sub(was.Round(0))) >= m.stillness() {
		m.sessionOver()
	}
}

// stillness is less than a session, by the time between two looks at the clock.
func (m *machine) stillness() time.Duration { return m.cfg.SessionTimeout - m.look() }

func (m *machine) look() time.Duration { return m.cfg.SessionTimeout / 4 }

// trustedUntil is when the claims are none any more unless the machine says so again.
func (m *machine) trustedUntil() time.Time {
	if m.waits() {
		return m.now.Add(m.stillness())
	}
	return m.sessionEnd()
}

// sessionEnd is when the group may give our tasks away; zero while it cannot: without claims, or while a join or sync
// waits, which the group holds against no member. The session is counted from the sending of what was answered last,
// so that ours is over before the group's.
func (m *machine) sessionEnd() time.Time {
	if !m.live || m.waits() {
		return time.Time{}
	}
	return m.contact.Add(m.cfg.SessionTimeout)
}

// handle gives an idle handler its next call.
func (m *machine) handle() {
	switch added, gone := m.want.minus(m.held), m.open().minus(m.want); {
	case m.busy != "":
	case len(m.doomed) > 0:
		m.call(memberOut{op: opLost, tasks: m.doomed})
	case len(added) > 0: // first, since it returns at once: a restore need not wait for a flush
		m.held = m.held.plus(added)
		m.call(memberOut{op: opAssign, member: m.member, tasks: added})
		m.tell(MemberEvent{Kind: MemberAssigned, Tasks: added})
	case len(gone) > 0:
		d := m.cfg.RebalanceTimeout
		if m.stopping {
			d = m.cfg.StopTimeout
		}
		m.cancelAt, m.cancelled = m.now.Add(d), false
		m.call(memberOut{op: opRevoke, member: m.member, tasks: gone, timeout: d})
	}
}

func (m *machine) call(o memberOut) {
	m.busy, m.handling = o.op, o.tasks
	m.emit(o)
}

// handled: the handler has returned. What it revoked or lost is closed.
func (m *machine) handled() {
	if m.busy == opRevoke && len(m.handling.and(m.doomed)) == 0 {
		m.tell(MemberEvent{Kind: MemberRevoked, Tasks: m.handling})
	}
	if m.busy == opRevoke || m.busy == opLost {
		m.held, m.doomed = m.held.minus(m.handling), m.doomed.minus(m.handling)
	}
	m.busy, m.handling = "", nil
}

// open is what the handler has and has not lost.
func (m *machine) open() taskSet { return m.held.minus(m.doomed) }

func (m *machine) claims() taskSet { return m.open().plus(m.want) }

// over tells that nothing is left to close.
func (m *machine) over() bool { return m.stopping && m.busy == "" && len(m.held) == 0 }

// request sends the next request, if one is due.
func (m *machine) request() {
	if m.over() {
		m.finish()
		return
	}
	m.followUp()
	switch {
	case m.flying != "" || m.now.Before(m.retryAt):
	case m.stopping && !m.live: // a call is still closing: nothing to ask for
	case !m.found:
		m.send(memberOut{op: opFind, timeout: m.cfg.HeartbeatInterval})
	case m.mustJoin && !m.stopping:
		m.declared = m.claims()
		m.send(memberOut{op: opJoin, member: m.member, tasks: m.declared, round: m.round, timeout: m.patience()})
	case m.live && !m.now.Before(m.nextBeat):
		m.send(memberOut{op: opBeat, member: m.member, timeout: m.cfg.HeartbeatInterval})
	}
}

// followUp asks for the rebalance that hands over what we have given up. Where the member that should do so has been
// restarted and does not know, whoever sees the assignment stay incomplete asks instead; the round in its metadata is
// then a new one, because a follower that joins again with the same metadata changes nothing.
func (m *machine) followUp() {
	if !m.live || m.mustJoin || m.stopping || m.busy != "" {
		return
	}
	switch {
	case len(m.declared.minus(m.want)) > 0:
		m.again(errGivenUp)
	case !m.recheck.IsZero() && !m.now.Before(m.recheck):
		m.round++
		m.again(errWithheld)
	}
}

// finish leaves the group and ends.
func (m *machine) finish() {
	if m.leaveBy.IsZero() {
		m.leaveBy = m.now.Add(leaveTime)
	}
	known := m.joined && m.cfg.LeaveOnStop && !m.orphan && (m.member.ID != "" || m.cfg.InstanceID != "")
	switch {
	case m.flying == opLeave || m.flying == opFind && known && m.now.Before(m.leaveBy):
	case m.flying != "":
		if !m.aborted {
			m.aborted = true
			m.emit(memberOut{op: opAbort})
		}
	case !known || !m.now.Before(m.leaveBy):
		m.live, m.done = false, true
		m.emit(memberOut{op: opDone, err: m.final})
	case m.now.Before(m.retryAt):
	case !m.found:
		m.send(memberOut{op: opFind, timeout: m.cfg.HeartbeatInterval})
	default:
		m.send(memberOut{op: opLeave, member: m.member, timeout: leaveTime})
	}
}

func (m *machine) interval() time.Duration {
	if m.recheck.IsZero() {
		return m.cfg.HeartbeatInterval
	}
	return min(m.cfg.HeartbeatInterval, quickBeat)
}

// patience is how long a join or a sync may wait: for the slowest member, or for a dead one's session to end. After a join
// that was not answered in time it is longer: a broker may begin to wait anew whenever somebody joins, so that members
// that give up and join again by turns would wait for each other for ever.
func (m *machine) patience() time.Duration {
	return (m.cfg.RebalanceTimeout + m.cfg.SessionTimeout) << min(m.late, mostLate)
}

// mostLate bounds the growth of patience to four times.
const mostLate = 2

// due is when the machine wants a tick; zero: never.
func (m *machine) due() time.Time {
	at := m.sessionEnd()
	add := func(t time.Time, when bool) {
		if when && !t.IsZero() && (at.IsZero() || t.Before(at)) {
			at = t
		}
	}
	add(m.cancelAt, m.busy == opRevoke && !m.cancelled)
	add(m.leaveBy, m.over() && m.now.Before(m.leaveBy) && m.flying != opLeave)
	add(m.now.Add(m.look()), m.waits())
	if m.flying == "" {
		add(m.retryAt, m.now.Before(m.retryAt))
		add(later(m.nextBeat, m.retryAt), m.live)
		add(m.recheck, m.live && m.busy == "" && !m.mustJoin && !m.stopping)
	}
	return at
}

func (m *machine) backOff() {
	m.wait = min(max(2*m.wait, firstWait), maxWait)
	m.retryAt = m.now.Add(m.wait)
}

func (m *machine) send(o memberOut) {
	m.flying, m.sent = o.op, m.now
	if o.op == opJoin {
		m.joined = m.joined || m.cfg.InstanceID != ""
	}
	m.emit(o)
}

func (m *machine) tell(e MemberEvent) {
	e.Member = m.member
	m.emit(memberOut{op: opTell, event: e})
}

func (m *machine) emit(o memberOut) { m.out = append(m.out, o) }

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
