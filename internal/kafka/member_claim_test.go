package kafka

import (
	"context"
	"io"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A session that is over by the clock is no claim any more, whether the member's loop has noticed or not, and also when
// the clock that counts stood still.
func TestR45_ClaimIsOverByTheClock(t *testing.T) {
	m := &Membership{}
	now := time.Now()
	for name, c := range map[string]struct {
		claim *claim
		lives bool
	}{
		"none":           {nil, false},
		"in its session": {&claim{until: now.Add(time.Hour)}, true},
		"over":           {&claim{until: now.Add(-time.Second)}, false},
		"over by the wall clock, after a suspend": {&claim{until: now.Round(0).Add(-time.Second)}, false},
	} {
		m.now.Store(c.claim)
		_, lives := m.Current()
		require.Equal(t, c.lives, lives, name)
	}
}

// A join that nobody answers is waited for longer the next time, up to a bound; an answer ends that.
func TestMember_LateJoinsAreWaitedForLonger(t *testing.T) {
	m := newMachine(MembershipConfig{Group: "g", RebalanceTimeout: 20 * time.Second, SessionTimeout: 10 * time.Second}.withDefaults(), 1)
	now := time.Unix(0, 0)
	// joins gives how long the next join may wait.
	joins := func(in memberIn) time.Duration {
		for range 10 {
			next := memberIn{op: evTick}
			for _, o := range m.step(now, in) {
				switch o.op {
				case opJoin:
					return o.timeout
				case opFind:
					next = memberIn{op: evFound}
				}
			}
			now, in = now.Add(time.Second), next
		}
		t.Fatal("no join")
		return 0
	}
	late := memberIn{op: evJoined, err: context.DeadlineExceeded}
	require.Equal(t, 30*time.Second, joins(memberIn{op: evStart}))
	require.Equal(t, 60*time.Second, joins(late))
	require.Equal(t, 60*time.Second, joins(memberIn{op: evJoined, err: io.EOF}), "an answer of some kind")
	require.Equal(t, 120*time.Second, joins(late))
	require.Equal(t, 120*time.Second, joins(late))
	m.step(now, memberIn{op: evJoined, id: "m", gen: 1})
	require.Equal(t, 30*time.Second, joins(memberIn{op: evSynced, err: io.EOF}))
}

// A cause that loses all tasks is not passed over for one that only asks, whichever comes first.
func TestRejoin_LossIsHeardOf(t *testing.T) {
	m := &Membership{asked: make(chan error, 1)}
	for _, cause := range []error{ErrUnknownMember, ErrProducerFenced, ErrUnknownMember} {
		m.Rejoin(cause)
	}
	require.Equal(t, ErrProducerFenced, <-m.asked)
	require.Empty(t, m.asked)
}
