package kafka

import (
	"cmp"
	"slices"
)

// peer is a member as the leader sees it. Its metadata may be old: Kafka keeps a static member that has not joined
// again, with what it said last.
type peer struct {
	ID, InstanceID string
	Owned, Stored  taskSet
	Fits           bool // same topology as the leader's
}

// planTasks divides tasks 0..n-1 among the peers that fit. The result has an entry for each peer; the counts of the
// target differ by at most one; it depends on nothing but its arguments, in any order of peers.
//
// The naive way gives each task to its new member at once. Then two members run it until the old one has heard. The
// rule here: a task that another peer still owns is *withheld*, given to nobody. Its owner sees that it is not his any
// more, gives it up and joins again, and that next plan hands it over. withheld counts those tasks.
//
// Each peer keeps what it owns up to its share, and gives up first what one of those who get some has on disk; what is
// left goes first to peers with its state on disk, then to the least loaded. So an unchanged group moves nothing, and a
// newcomer is given no more than its share.
func planTasks(peers []peer, n int32) (given map[string]taskSet, withheld int) {
	owners := ownersOf(peers, n)
	given = make(map[string]taskSet, len(peers))
	for _, p := range peers {
		given[p.ID] = nil
	}
	for _, s := range targets(peers, owners, n) {
		for _, t := range newTaskSet(s.tasks) {
			if o := owners[t]; len(o) == 0 || len(o) == 1 && o[0] == s.ID {
				given[s.ID] = append(given[s.ID], t)
			} else {
				withheld++
			}
		}
	}
	return given, withheld
}

// ownersOf lists who claims each task. Two claims of one task are a fault; both then give it up.
func ownersOf(peers []peer, n int32) [][]string {
	owners := make([][]string, n)
	for _, p := range peers {
		for _, t := range p.Owned {
			if t >= 0 && t < n {
				owners[t] = append(owners[t], p.ID)
			}
		}
	}
	return owners
}

// share is a peer while tasks are dealt out.
type share struct {
	*peer
	mine  taskSet // owned, and claimed by nobody else
	tasks []int32
}

// deal gives out tasks so that loads end at floor or floor+1, and exactly `extra` of them at floor+1.
type deal struct {
	shares       []*share // in a fixed order
	floor, extra int
}

func (d *deal) room(s *share) bool {
	return len(s.tasks) < d.floor || len(s.tasks) == d.floor && d.extra > 0
}

func (d *deal) give(s *share, t int32) {
	if len(s.tasks) == d.floor {
		d.extra--
	}
	s.tasks = append(s.tasks, t)
}

// to gives t to the least loaded share with room that ok allows.
func (d *deal) to(t int32, ok func(*share) bool) bool {
	var best *share
	for _, s := range d.shares {
		if d.room(s) && ok(s) && (best == nil || len(s.tasks) < len(best.tasks)) {
			best = s
		}
	}
	if best != nil {
		d.give(best, t)
	}
	return best != nil
}

func targets(peers []peer, owners [][]string, n int32) []*share {
	d := &deal{}
	for i := range peers {
		if peers[i].Fits {
			d.shares = append(d.shares, &share{peer: &peers[i]})
		}
	}
	if len(d.shares) == 0 {
		return nil
	}
	// An instance id outlives a restart, a member id does not: the order must not change with it.
	slices.SortFunc(d.shares, func(a, b *share) int {
		return cmp.Or(cmp.Compare(cmp.Or(a.InstanceID, a.ID), cmp.Or(b.InstanceID, b.ID)), cmp.Compare(a.ID, b.ID))
	})
	d.floor, d.extra = int(n)/len(d.shares), int(n)%len(d.shares)
	free := d.keep(owners)
	free = slices.DeleteFunc(free, func(t int32) bool {
		return d.to(t, func(s *share) bool { return s.Stored.has(t) })
	})
	for _, t := range free {
		d.to(t, func(*share) bool { return true })
	}
	return d.shares
}

// keep lets each share keep what it owns, the fullest first, since they are the ones to have one more than the others.
// It returns the tasks that nobody keeps.
func (d *deal) keep(owners [][]string) []int32 {
	for _, s := range d.shares {
		s.mine = slices.DeleteFunc(slices.Clone(s.Owned), func(t int32) bool {
			return t < 0 || int(t) >= len(owners) || len(owners[t]) != 1
		})
	}
	wanted := d.wanted()
	order := slices.Clone(d.shares)
	slices.SortStableFunc(order, func(a, b *share) int {
		return cmp.Or(cmp.Compare(len(b.mine), len(a.mine)), cmp.Compare(len(wanted.and(a.mine)), len(wanted.and(b.mine))))
	})
	kept := make([]bool, len(owners))
	for _, s := range order {
		for _, t := range slices.Concat(s.mine.minus(wanted), wanted.and(s.mine)) {
			if !d.room(s) {
				break
			}
			d.give(s, t)
			kept[t] = true
		}
	}
	var free []int32
	for t := range owners {
		if !kept[t] {
			free = append(free, int32(t))
		}
	}
	return free
}

// wanted are the tasks on disk of the shares that are to get some. One that has enough wants nothing: it may have
// everything on disk, and what a newcomer has would not stand out.
func (d *deal) wanted() taskSet {
	full := 0
	for _, s := range d.shares {
		if len(s.mine) > d.floor {
			full++
		}
	}
	var all []int32
	for _, s := range d.shares {
		if len(s.mine) < d.floor || len(s.mine) == d.floor && full < d.extra {
			all = append(all, s.Stored...)
		}
	}
	return newTaskSet(all)
}
