package kafka

import (
	"context"
	"encoding/binary"
	"errors"
	"math"

	"github.com/IBM/sarama"
)

// What the group's members agree on. Another version of the plan's rules takes another protocol name.
const (
	protocolType = "consumer" // so that Kafka's own tools can read the group
	protocolName = "tarn-sticky-v1"
	userDataV1   = 1
)

var errUserData = errors.New("kafka: member data is not of a version known here")

// subscription is what a member says of itself in a join, beside the tasks it owns.
type subscription struct {
	fingerprint string
	round       uint64
	stored      taskSet
}

// encode writes version, round, fingerprint, stored tasks. A later version only adds fields at the end.
func (s subscription) encode() []byte {
	b := binary.AppendUvarint([]byte{userDataV1}, s.round)
	b = binary.AppendUvarint(b, uint64(len(s.fingerprint)))
	b = append(b, s.fingerprint...)
	b = binary.AppendUvarint(b, uint64(len(s.stored)))
	for _, t := range s.stored {
		b = binary.AppendUvarint(b, uint64(t))
	}
	return b
}

func decodeSubscription(b []byte) (subscription, error) {
	var s subscription
	if len(b) == 0 || b[0] < userDataV1 {
		return s, errUserData
	}
	b = b[1:]
	next := func() (v uint64, ok bool) {
		v, n := binary.Uvarint(b)
		if n <= 0 {
			return 0, false
		}
		b = b[n:]
		return v, true
	}
	round, ok := next()
	size, ok2 := next()
	if !ok || !ok2 || size > uint64(len(b)) {
		return s, errUserData
	}
	s.round, s.fingerprint, b = round, string(b[:size]), b[size:]
	count, ok := next()
	if !ok || count > uint64(len(b)) {
		return s, errUserData
	}
	for range count {
		t, ok := next()
		if !ok || t > math.MaxInt32 {
			return s, errUserData
		}
		s.stored = append(s.stored, int32(t))
	}
	s.stored = newTaskSet(s.stored)
	return s, nil
}

// Flags of an assignment's user data: version, flags.
const (
	flagIdle       = 1
	flagIncomplete = 2
)

// memberWire turns the machine's requests into sarama's and their answers into its events.
type memberWire struct {
	client *Client
	cfg    *MembershipConfig
}

func (w *memberWire) do(ctx context.Context, o memberOut) memberIn {
	ctx, cancel := context.WithTimeout(ctx, o.timeout)
	defer cancel()
	switch o.op {
	case opFind:
		w.client.forgetCoordinator(ofGroup(w.cfg.Group))
		_, err := w.client.coordinator(ctx, ofGroup(w.cfg.Group))
		return memberIn{op: evFound, err: err}
	case opJoin:
		return w.join(ctx, o)
	case opSync:
		return w.sync(ctx, o)
	case opBeat:
		return memberIn{op: evBeaten, err: w.beat(ctx, o)}
	default:
		return memberIn{op: evLeft, err: w.leave(ctx, o)}
	}
}

// ask sends one request on the connection that is the member's own.
func (w *memberWire) ask(ctx context.Context, fn func(*sarama.Broker) error) error {
	return w.client.onCoordinator(ctx, ofGroup(w.cfg.Group), use{ForJoin, w}, fn)
}

func (w *memberWire) instance() *string {
	if w.cfg.InstanceID == "" {
		return nil
	}
	return &w.cfg.InstanceID
}

func (w *memberWire) join(ctx context.Context, o memberOut) memberIn {
	req := &sarama.JoinGroupRequest{Version: 5, GroupId: w.cfg.Group, MemberId: o.member.ID, GroupInstanceId: w.instance(),
		SessionTimeout: int32(w.cfg.SessionTimeout.Milliseconds()), RebalanceTimeout: int32(w.cfg.RebalanceTimeout.Milliseconds()),
		ProtocolType: protocolType}
	sub := subscription{fingerprint: w.cfg.Fingerprint, round: uint64(o.round), stored: newTaskSet(w.cfg.Stored())}
	meta := &sarama.ConsumerGroupMemberMetadata{Version: 1, Topics: w.cfg.Topics, UserData: sub.encode()}
	if len(o.tasks) > 0 {
		for _, t := range w.cfg.Topics {
			meta.OwnedPartitions = append(meta.OwnedPartitions, &sarama.OwnedPartition{Topic: t, Partitions: o.tasks})
		}
	}
	if err := req.AddGroupProtocolMetadata(protocolName, meta); err != nil {
		return memberIn{op: evJoined, err: err}
	}
	var res *sarama.JoinGroupResponse
	err := w.ask(ctx, func(b *sarama.Broker) (err error) {
		res, err = b.JoinGroup(req)
		return err
	})
	if err != nil {
		return memberIn{op: evJoined, err: err}
	}
	in := memberIn{op: evJoined, id: res.MemberId, gen: res.GenerationId, err: w.code(res.Err, "JoinGroup")}
	if in.leader = in.err == nil && res.LeaderId == res.MemberId; in.leader {
		for _, g := range res.Members {
			in.peers = append(in.peers, w.peer(g))
		}
	}
	return in
}

// code adds what the user can do about the refusals that are a matter of configuration.
func (w *memberWire) code(code sarama.KError, request string) error {
	err := ofGroup(w.cfg.Group).in(codeError(code, request, "", -1))
	e, _ := err.(*Error)
	switch code {
	case sarama.ErrInconsistentGroupProtocol:
		e.Detail = "other kinds of clients are members of group " + w.cfg.Group + ": choose another group id, or stop them"
	case sarama.ErrInvalidSessionTimeout:
		e.Detail = "the broker does not allow a session time-out of " + w.cfg.SessionTimeout.String()
	}
	return err
}

// peer reads one member's metadata. What cannot be read makes a peer that does not fit: the leader never fails a plan.
func (w *memberWire) peer(g sarama.GroupMember) peer {
	p := peer{ID: g.MemberId}
	if g.GroupInstanceId != nil {
		p.InstanceID = *g.GroupInstanceId
	}
	one := sarama.JoinGroupResponse{Members: []sarama.GroupMember{g}}
	all, err := one.GetMembers()
	if err != nil {
		return p
	}
	meta := all[g.MemberId]
	var owned []int32
	for _, o := range meta.OwnedPartitions {
		owned = append(owned, o.Partitions...)
	}
	p.Owned = newTaskSet(owned)
	if sub, err := decodeSubscription(meta.UserData); err == nil {
		p.Stored, p.Fits = sub.stored, sub.fingerprint == w.cfg.Fingerprint
	}
	return p
}

func (w *memberWire) sync(ctx context.Context, o memberOut) memberIn {
	req := &sarama.SyncGroupRequest{Version: 3, GroupId: w.cfg.Group, GenerationId: o.member.Generation, MemberId: o.member.ID,
		GroupInstanceId: w.instance()}
	for id, a := range o.plan {
		if err := req.AddGroupAssignmentMember(id, w.encode(a)); err != nil {
			return memberIn{op: evSynced, err: err}
		}
	}
	var res *sarama.SyncGroupResponse
	err := w.ask(ctx, func(b *sarama.Broker) (err error) {
		res, err = b.SyncGroup(req)
		return err
	})
	if err == nil {
		err = w.code(res.Err, "SyncGroup")
	}
	if err != nil {
		return memberIn{op: evSynced, err: err}
	}
	a, err := decodeAssignment(res)
	return memberIn{op: evSynced, granted: a, err: err}
}

func (w *memberWire) encode(a assignment) *sarama.ConsumerGroupMemberAssignment {
	out := &sarama.ConsumerGroupMemberAssignment{Version: 1, Topics: map[string][]int32{}, UserData: []byte{userDataV1, 0}}
	if len(a.tasks) > 0 {
		for _, t := range w.cfg.Topics {
			out.Topics[t] = a.tasks
		}
	}
	if a.idle {
		out.UserData[1] |= flagIdle
	}
	if a.incomplete {
		out.UserData[1] |= flagIncomplete
	}
	return out
}

// decodeAssignment takes an empty answer for no task: that is what a member gets that the leader did not know.
func decodeAssignment(res *sarama.SyncGroupResponse) (a assignment, err error) {
	if len(res.MemberAssignment) == 0 {
		return a, nil
	}
	got, err := res.GetMemberAssignment()
	if err != nil {
		return a, err
	}
	var tasks []int32
	for _, ps := range got.Topics {
		tasks = append(tasks, ps...)
	}
	a.tasks = newTaskSet(tasks)
	if u := got.UserData; len(u) >= 2 && u[0] >= userDataV1 {
		a.idle, a.incomplete = u[1]&flagIdle != 0, u[1]&flagIncomplete != 0
	}
	return a, nil
}

func (w *memberWire) beat(ctx context.Context, o memberOut) error {
	req := &sarama.HeartbeatRequest{Version: 3, GroupId: w.cfg.Group, GenerationId: o.member.Generation, MemberId: o.member.ID,
		GroupInstanceId: w.instance()}
	var res *sarama.HeartbeatResponse
	err := w.ask(ctx, func(b *sarama.Broker) (err error) {
		res, err = b.Heartbeat(req)
		return err
	})
	if err != nil {
		return err
	}
	return w.code(res.Err, "Heartbeat")
}

func (w *memberWire) leave(ctx context.Context, o memberOut) error {
	req := &sarama.LeaveGroupRequest{Version: 3, GroupId: w.cfg.Group,
		Members: []sarama.MemberIdentity{{MemberId: o.member.ID, GroupInstanceId: w.instance()}}}
	var res *sarama.LeaveGroupResponse
	err := w.ask(ctx, func(b *sarama.Broker) (err error) {
		res, err = b.LeaveGroup(req)
		return err
	})
	if err != nil {
		return err
	}
	for _, m := range res.Members {
		if m.Err != sarama.ErrNoError {
			return w.code(m.Err, "LeaveGroup")
		}
	}
	return w.code(res.Err, "LeaveGroup")
}
