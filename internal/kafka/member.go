package kafka

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"
)

// ErrSessionExpired: no request to the coordinator was answered for the session time-out, so the group may have given
// our tasks away. Membership reports it as the cause of a loss and joins again by itself.
var ErrSessionExpired = errors.New("kafka: no heartbeat was answered within the session time-out")

// PartitionCountError ends Run: the partition count of an input, or of a topic that is to stay as it was, is not what it
// was when Run began, or it differs between inputs that must be co-partitioned. Keys live elsewhere than the tables expect; the caller repartitions or restores the count.
type PartitionCountError struct {
	Topic   string
	Was, Is int32
}

func (e *PartitionCountError) Error() string {
	return fmt.Sprintf("kafka: topic %s has %d partitions, not %d", e.Topic, e.Is, e.Was)
}

// MembershipConfig says how a member takes part in its group. Group and Topics are needed.
type MembershipConfig struct {
	Group string
	// InstanceID makes the member static: after a restart with the same id it has its tasks back at once.
	InstanceID string
	// Topics are the inputs, all co-partitioned. A task is a partition number of all of them.
	Topics []string
	// Fixed are the partition counts of other topics that must stay as they are. Optional.
	Fixed map[string]int32
	// SessionTimeout is how long the group waits for a silent member; default 10 s.
	SessionTimeout time.Duration
	// RebalanceTimeout is how long the group waits for members to join again, and how long a Revoked may take; default 60 s.
	RebalanceTimeout time.Duration
	// HeartbeatInterval defaults to 3 s, at most a third of SessionTimeout.
	HeartbeatInterval time.Duration
	// StopTimeout bounds each Revoked at the end of Run, also one that is under way; default 15 s.
	StopTimeout time.Duration
	// MetadataInterval is how often the partition counts are looked at; default 30 s.
	MetadataInterval time.Duration
	// Stored gives the tasks with state on this machine; they are preferred. Called before each join, from a goroutine
	// of Run's. Optional.
	Stored func() []int32
	// Fingerprint is of the topology. Members whose fingerprint is not the leader's get no task.
	Fingerprint string
	// LeaveOnStop gives the tasks to others at once when Run ends. Without it they wait for the session time-out,
	// which suits a restart with the same InstanceID.
	LeaveOnStop bool
	// OnEvent is called from Run's goroutine and must return at once. Optional.
	OnEvent func(MemberEvent)
}

func (cfg MembershipConfig) withDefaults() MembershipConfig {
	cfg.SessionTimeout = cmp.Or(cfg.SessionTimeout, 10*time.Second)
	cfg.RebalanceTimeout = cmp.Or(cfg.RebalanceTimeout, 60*time.Second)
	cfg.HeartbeatInterval = min(cmp.Or(cfg.HeartbeatInterval, 3*time.Second), cfg.SessionTimeout/3)
	cfg.StopTimeout = cmp.Or(cfg.StopTimeout, 15*time.Second)
	cfg.MetadataInterval = cmp.Or(cfg.MetadataInterval, 30*time.Second)
	cfg.Topics = slices.Compact(slices.Sorted(slices.Values(cfg.Topics)))
	if cfg.Stored == nil {
		cfg.Stored = func() []int32 { return nil }
	}
	if cfg.OnEvent == nil {
		cfg.OnEvent = func(MemberEvent) {}
	}
	return cfg
}

// Handler is told which tasks are ours. Assigned, Revoked and Lost come one after the other, from one goroutine;
// Generation may come while one of them runs. Heartbeats go on meanwhile.
type Handler interface {
	// Assigned starts tasks and returns at once. ctx is for the call, not for the tasks.
	Assigned(ctx context.Context, m Member, added []int32)
	// Revoked returns when the tasks are committed, flushed and closed. When ctx ends (its deadline, or a loss, which
	// is then its cause) it drops what is left and returns.
	Revoked(ctx context.Context, m Member, tasks []int32)
	// Lost means that ownership is gone without notice: drop, commit nothing, return when closed.
	Lost(tasks []int32)
	// Generation is a new generation in which the claims live on: commits go on under it. It must return at once.
	Generation(m Member)
}

// MemberEventKind names what happened.
type MemberEventKind string

// The events of a member.
const (
	// MemberJoined: the member is in a generation; Tasks is what it was given in all.
	MemberJoined MemberEventKind = "joined"
	// MemberAssigned: Tasks were started.
	MemberAssigned MemberEventKind = "assigned"
	// MemberRevoked: Tasks were given up in order.
	MemberRevoked MemberEventKind = "revoked"
	// MemberLost: Tasks were lost without notice; Cause tells why.
	MemberLost MemberEventKind = "lost"
	// MemberRebalancing: the member joins again; Cause tells why.
	MemberRebalancing MemberEventKind = "rebalancing"
	// MemberIdle: the leader's topology is another one, as in a rolling deploy: no task until they match or we lead.
	MemberIdle MemberEventKind = "idle: topology differs from the leader's"
	// MemberRetry: the coordinator did not answer as it should (Cause); it is asked again.
	MemberRetry MemberEventKind = "coordinator retry"
	// MemberLeft: the member has left the group; Cause is set where the group did not confirm it, and its tasks then
	// wait for the session time-out.
	MemberLeft MemberEventKind = "left"
)

// MemberEvent is something an operator may want to know of a member.
type MemberEvent struct {
	Kind   MemberEventKind
	Member Member
	Tasks  []int32
	Cause  error
}

// Membership is a member of a consumer group. Make one with NewMembership; Run it once.
type Membership struct {
	client *Client
	cfg    MembershipConfig
	now    atomic.Pointer[claim] // nil while no claim lives
	asked  chan error            // Rejoin's causes
}

// NewMembership makes a member; it starts nothing.
func (c *Client) NewMembership(cfg MembershipConfig) *Membership {
	return &Membership{client: c, cfg: cfg.withDefaults(), asked: make(chan error, 1)}
}

// claim is what the member's loop knows to be ours, and until when it can be so without another word of the loop.
type claim struct {
	Member
	until time.Time
}

// over tells that the claim can be trusted no more. A process that was frozen finds out here, before its loop has run. The
// wall clock is asked, too: the other one stands still while a machine is suspended.
func (c *claim) over(now time.Time) bool {
	return !now.Before(c.until) || !now.Round(0).Before(c.until.Round(0))
}

// Current is the identity commits are made under. False: no claim lives now, commit nothing.
func (m *Membership) Current() (Member, bool) {
	if p := m.now.Load(); p != nil && !p.over(time.Now()) {
		return p.Member, true
	}
	return Member{Generation: -1}, false
}

// Rejoin tells the member about an error of a commit. For the membership errors (ErrUnknownMember, ErrIllegalGeneration,
// ErrRebalanceInProgress, ErrFencedInstance) it asks the coordinator at once, whose answer decides; any other cause
// (a fenced producer) makes all tasks Lost and the member join afresh, whatever else is told before the member has heard of
// it. It does not wait.
func (m *Membership) Rejoin(cause error) {
	for {
		select {
		case m.asked <- cause:
			return
		default:
		}
		select {
		case pending := <-m.asked:
			if !ofMembership(pending) {
				cause = pending
			}
		default:
		}
	}
}
