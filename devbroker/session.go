package devbroker

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// sessions puts members out of their groups that are not heard of after they have joined.
//
// Kafka begins the session of every member of a generation when all have joined. The cluster begins those of members that it could
// answer: one whose connection breaks while it waits to join would stay a member for ever, and nobody would get its partitions.
// Every member that has been heard of once has a session of the cluster's.
type sessions struct {
	mu     sync.Mutex
	groups map[string]*session
}

// session is that of the newest generation of a group.
type session struct {
	lasts  time.Duration
	newest int32            // generation with assignments
	heard  map[string]int32 // by member: the newest generation that it spoke of, or in which it joined again
}

// almost is what of a session is left when a member is put out: those who wait for it are then still within theirs.
const almost = 100 * time.Millisecond

// hear notes what members say. The leader's assignments begin a session.
func (b *Broker) hear(req kmsg.Request) {
	s := &b.sessions
	switch req := req.(type) {
	case *kmsg.JoinGroupRequest:
		s.joins(req)
	case *kmsg.HeartbeatRequest:
		s.speaks(req.Group, req.MemberID, req.Generation)
	case *kmsg.SyncGroupRequest:
		lasts := s.speaks(req.Group, req.MemberID, req.Generation)
		if len(req.GroupAssignment) > 0 {
			s.begins(req.Group, req.Generation)
			b.tasks.Go("session of "+req.Group, func(context.Context) error {
				b.expire(req.Group, req.Generation, lasts-almost)
				return nil
			})
		}
	}
}

func (s *sessions) of(group string) *session {
	if s.groups == nil {
		s.groups = map[string]*session{}
	}
	if s.groups[group] == nil {
		s.groups[group] = &session{heard: map[string]int32{}}
	}
	return s.groups[group]
}

func (s *sessions) joins(req *kmsg.JoinGroupRequest) {
	s.mu.Lock()
	defer s.mu.Unlock()
	g := s.of(req.Group)
	g.lasts = max(g.lasts, time.Duration(req.SessionTimeoutMillis)*time.Millisecond)
	if req.MemberID != "" {
		g.heard[req.MemberID] = max(g.heard[req.MemberID], g.newest)
	}
}

func (s *sessions) begins(group string, generation int32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.of(group).newest = generation
}

func (s *sessions) speaks(group, member string, generation int32) (lasts time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	g := s.of(group)
	g.heard[member] = max(g.heard[member], generation)
	return g.lasts
}

// expire waits for so long, and then puts out who has not spoken of a generation.
func (b *Broker) expire(group string, generation int32, wait time.Duration) {
	members := b.membersOf(group, generation)
	b.mu.RLock()
	l := b.life
	b.mu.RUnlock()
	l.sleep(wait)
	if l.ctx.Err() != nil {
		return
	}
	for _, m := range b.sessions.silent(group, generation, members) {
		leave := kmsg.NewPtrLeaveGroupRequest()
		leave.Version, leave.Group = 4, group
		gone := kmsg.NewLeaveGroupRequestMember()
		gone.MemberID, gone.InstanceID = m.MemberID, m.InstanceID
		leave.Members = append(leave.Members, gone)
		_, _ = b.askCoordinator(group, leave) // one who has left by itself is none any more
	}
}

// membersOf gives the members of a group if it is at that generation.
func (b *Broker) membersOf(group string, generation int32) (members []kfake.GroupMember) {
	_ = b.use(func(c *kfake.Cluster) error { // without a broker there are none
		if g := c.GroupInfo(group); g != nil && g.Epoch == generation {
			members = g.Members
		}
		return nil
	})
	return members
}

// silent gives the members that have not spoken of a generation, and forgets who is not of it.
func (s *sessions) silent(group string, generation int32, members []kfake.GroupMember) (silent []kfake.GroupMember) {
	s.mu.Lock()
	defer s.mu.Unlock()
	g := s.of(group)
	for _, m := range members {
		if g.heard[m.MemberID] < generation {
			silent = append(silent, m)
		}
	}
	for member, at := range g.heard {
		if at < generation && !slices.ContainsFunc(members, func(m kfake.GroupMember) bool { return m.MemberID == member }) {
			delete(g.heard, member)
		}
	}
	return silent
}
