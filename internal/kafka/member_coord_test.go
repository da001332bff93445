package kafka

import (
	"maps"
	"slices"
	"time"

	"github.com/IBM/sarama"
)

// coord is a model of Kafka's group coordinator, of the classic protocol as Apache Kafka has it: static members that
// return to a stable group change nothing, and those that miss a rebalance stay, with what they said last.
type coord struct {
	w       *world
	state   string // empty, preparing, completing, stable
	gen     int32
	leader  string
	members map[string]*coordMember
	pending map[string]bool
	ids     int
	round   int // of preparing: an old deadline is told by it
}

type coordMember struct {
	id, instance string
	said         memberSaid
	joining      *ask // a waiting join
	syncing      *ask
	granted      assignment
	alive        int // raised by each sign of life: an old session's end is told by it
}

// memberSaid is a member's metadata.
type memberSaid struct {
	owned, stored taskSet
	round         int
	topology      string
}

func (s memberSaid) same(o memberSaid) bool {
	return slices.Equal(s.owned, o.owned) && slices.Equal(s.stored, o.stored) && s.round == o.round && s.topology == o.topology
}

func code(c sarama.KError) error { return &Error{Code: int16(c), Request: "R"} }

func (c *coord) serve(a *ask) {
	switch a.out.op {
	case opFind:
		a.answer(memberIn{op: evFound})
	case opJoin:
		c.join(a)
	case opSync:
		c.sync(a)
	case opBeat:
		a.answer(memberIn{op: evBeaten, err: c.beat(a)})
	case opLeave:
		if m := c.members[c.idOf(a)]; m != nil {
			c.remove(m)
			a.answer(memberIn{op: evLeft})
		} else {
			delete(c.pending, a.out.member.ID)
			a.answer(memberIn{op: evLeft, err: code(sarama.ErrUnknownMemberId)})
		}
	}
}

// idOf finds a static member by its instance id.
func (c *coord) idOf(a *ask) string {
	if m := c.static(a.node.instance); m != nil {
		return m.id
	}
	return a.out.member.ID
}

func (c *coord) static(instance string) *coordMember {
	for _, m := range c.members {
		if instance != "" && m.instance == instance {
			return m
		}
	}
	return nil
}

// known gives the member of a request or the refusal.
func (c *coord) known(a *ask) (*coordMember, error) {
	if s := c.static(a.node.instance); s != nil && s.id != a.out.member.ID {
		return nil, code(sarama.ErrFencedInstancedId)
	}
	m := c.members[a.out.member.ID]
	if m == nil {
		return nil, code(sarama.ErrUnknownMemberId)
	}
	return m, nil
}

func (c *coord) join(a *ask) {
	said := memberSaid{a.out.tasks, a.node.stored, a.out.round, a.node.topology}
	if a.out.member.ID == "" {
		c.joinNew(a, said)
		return
	}
	if c.pending[a.out.member.ID] {
		delete(c.pending, a.out.member.ID)
		c.add(&coordMember{id: a.out.member.ID, said: said, joining: a})
		return
	}
	m, err := c.known(a)
	switch {
	case err != nil:
		a.answer(memberIn{op: evJoined, err: err})
	case c.state != "preparing" && m.said.same(said) && (c.state == "completing" || m.id != c.leader):
		c.life(m)
		a.answer(c.joined(m, c.leader))
	default:
		m.said, m.joining = said, a
		c.rebalance()
	}
}

func (c *coord) joinNew(a *ask, said memberSaid) {
	c.ids++
	id := a.node.name + "-" + string(rune('A'+c.ids%26)) + string(rune('0'+c.ids/26%10))
	old := c.static(a.node.instance)
	switch {
	case a.node.instance == "":
		c.pending[id] = true
		a.answer(memberIn{op: evJoined, id: id, err: code(sarama.ErrMemberIdRequired)})
	case old == nil:
		c.add(&coordMember{id: id, instance: a.node.instance, said: said, joining: a})
	default: // the newer process wins
		for _, waiting := range []*ask{old.joining, old.syncing} {
			if waiting != nil {
				waiting.answer(memberIn{op: evJoined, err: code(sarama.ErrFencedInstancedId)})
			}
		}
		delete(c.members, old.id)
		m := &coordMember{id: id, instance: old.instance, said: said, granted: old.granted}
		c.members[id] = m
		told := c.leader
		if c.leader == old.id {
			c.leader = id // but a join below version 9 is not told, lest it plan again
		}
		if c.state == "stable" {
			c.life(m)
			a.answer(c.joined(m, told))
			return
		}
		m.joining = a
		c.rebalance()
	}
}

func (c *coord) add(m *coordMember) {
	c.members[m.id] = m
	c.rebalance()
}

func (c *coord) remove(m *coordMember) {
	delete(c.members, m.id)
	if len(c.members) == 0 {
		c.state = "empty"
		c.gen++
		return
	}
	c.rebalance()
}

// rebalance begins one, or goes on with the one under way.
func (c *coord) rebalance() {
	for _, m := range c.members {
		if m.syncing != nil {
			m.syncing.answer(memberIn{op: evSynced, err: code(sarama.ErrRebalanceInProgress)})
			m.syncing = nil
			c.life(m)
		}
	}
	if c.state != "preparing" {
		c.state = "preparing"
		c.round++
		round := c.round
		c.w.in(c.w.cfg.RebalanceTimeout, func() {
			if c.state == "preparing" && c.round == round {
				c.complete()
			}
		})
	}
	for _, m := range c.members {
		if m.joining == nil {
			return
		}
	}
	c.complete()
}

func (c *coord) complete() {
	var joined []string
	for _, id := range slices.Sorted(maps.Keys(c.members)) {
		switch m := c.members[id]; {
		case m.joining != nil:
			joined = append(joined, id)
		case m.instance == "":
			delete(c.members, id)
		}
	}
	if len(joined) == 0 { // only static members that did not come: wait on
		c.state = "stable"
		if len(c.members) == 0 {
			c.state = "empty"
		} else {
			c.rebalance()
		}
		return
	}
	c.gen++
	c.state = "completing"
	if !slices.Contains(joined, c.leader) {
		c.leader = joined[0]
	}
	for _, id := range joined {
		m := c.members[id]
		m.granted = assignment{}
		m.joining.answer(c.joined(m, c.leader))
		m.joining = nil
		c.life(m)
	}
}

// joined is the answer to a join that is complete.
func (c *coord) joined(m *coordMember, leader string) memberIn {
	in := memberIn{op: evJoined, id: m.id, gen: c.gen, leader: m.id == leader}
	if in.leader {
		for _, id := range slices.Sorted(maps.Keys(c.members)) {
			p := c.members[id]
			in.peers = append(in.peers, peer{ID: id, InstanceID: p.instance, Owned: p.said.owned, Stored: p.said.stored,
				Fits: p.said.topology == m.said.topology})
		}
	}
	return in
}

func (c *coord) sync(a *ask) {
	m, err := c.known(a)
	switch {
	case err != nil:
	case a.out.member.Generation != c.gen:
		err = code(sarama.ErrIllegalGeneration)
	case c.state == "preparing":
		err = code(sarama.ErrRebalanceInProgress)
	case c.state == "stable":
		c.life(m)
		a.answer(memberIn{op: evSynced, granted: m.granted})
		return
	default:
		m.syncing = a
		m.alive++ // a waiting sync keeps the session
		if m.id == c.leader {
			c.granted(a.out.plan)
		}
		return
	}
	a.answer(memberIn{op: evSynced, err: err})
}

func (c *coord) granted(plan map[string]assignment) {
	c.state = "stable"
	for id, m := range c.members {
		m.granted = plan[id]
		if m.syncing != nil {
			m.syncing.answer(memberIn{op: evSynced, granted: m.granted})
			m.syncing = nil
			c.life(m)
		}
	}
}

func (c *coord) beat(a *ask) error {
	m, err := c.known(a)
	switch {
	case err != nil:
		return err
	case a.out.member.Generation != c.gen:
		return code(sarama.ErrIllegalGeneration)
	}
	c.life(m)
	if c.state == "preparing" {
		return code(sarama.ErrRebalanceInProgress)
	}
	return nil
}

// life begins a session anew. The group's is longer than the member's by more than a message is under way.
func (c *coord) life(m *coordMember) {
	m.alive++
	alive := m.alive
	c.w.in(c.w.cfg.SessionTimeout+time.Second, func() {
		if c.members[m.id] == m && m.alive == alive && m.joining == nil && m.syncing == nil {
			c.remove(m)
		}
	})
}
