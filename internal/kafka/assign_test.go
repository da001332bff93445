package kafka

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

// assignRand gives a random source whose seed stands in the test's output.
func assignRand(t *testing.T) *rand.Rand {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	return rand.New(rand.NewPCG(seed, 0))
}

// cluster plays a group whose members obey the plans: what is not theirs any more they give up, then they join again.
type cluster struct {
	t     *testing.T
	n     int32
	peers []peer
	moves int // tasks started by a member in all
}

// rebalance makes plans until nothing changes, checking after each that no task has two members.
func (c *cluster) rebalance() {
	for round := range 10 {
		given, withheld := planTasks(c.peers, c.n)
		before := slices.Clone(c.peers)
		changed := false
		for i := range c.peers {
			p := &c.peers[i]
			added, gone := given[p.ID].minus(p.Owned), p.Owned.minus(given[p.ID])
			for _, t := range added {
				for _, o := range before {
					require.False(c.t, o.Owned.has(t), "task %d given to %s while %s owns it", t, p.ID, o.ID)
				}
			}
			c.moves += len(added)
			changed = changed || len(added)+len(gone) > 0
			p.Owned = given[p.ID]
		}
		if !changed {
			require.Zero(c.t, withheld, "round %d", round)
			c.check()
			return
		}
	}
	c.t.Fatal("the group does not settle")
}

// check: each task has one member, and the loads of those that fit differ by one at most.
func (c *cluster) check() {
	var all []int32
	lo, hi, fit := int(c.n), 0, 0
	for _, p := range c.peers {
		all = append(all, p.Owned...)
		if p.Fits {
			fit++
			lo, hi = min(lo, len(p.Owned)), max(hi, len(p.Owned))
		} else {
			require.Empty(c.t, p.Owned)
		}
	}
	if fit == 0 {
		return
	}
	require.LessOrEqual(c.t, hi-lo, 1)
	require.Len(c.t, all, int(c.n))
	require.Len(c.t, newTaskSet(all), int(c.n))
}

// TestPlanProperties drives random groups through joins, leaves and restarts.
func TestPlanProperties(t *testing.T) {
	r := assignRand(t)
	for range 300 {
		c := &cluster{t: t, n: r.Int32N(40) + 1}
		c.peers = append(c.peers, peer{ID: "m0", Fits: true})
		c.rebalance()
		for i := range 8 {
			c.moves = 0
			switch r.IntN(4) {
			case 0, 1:
				c.join(fmt.Sprintf("m%d-%d", i+1, r.Uint32()))
			case 2:
				if len(c.peers) > 1 {
					c.leave(r.IntN(len(c.peers)))
				}
			case 3: // nothing happens, in another order
				r.Shuffle(len(c.peers), func(i, j int) { c.peers[i], c.peers[j] = c.peers[j], c.peers[i] })
				c.rebalance()
				require.Zero(t, c.moves, "an unchanged group moves nothing")
			}
		}
	}
}

func (c *cluster) join(id string) {
	c.peers = append(c.peers, peer{ID: id, Fits: true})
	c.rebalance()
	k := int32(len(c.peers))
	require.LessOrEqual(c.t, c.moves, int((c.n+k-1)/k), "a join moves no more than the newcomer's share")
}

func (c *cluster) leave(i int) {
	orphans := len(c.peers[i].Owned)
	c.peers = slices.Delete(c.peers, i, i+1)
	c.rebalance()
	require.Equal(c.t, orphans, c.moves, "a leave moves only what the member had")
}

func TestPlanDoesNotDependOnOrder(t *testing.T) {
	r := assignRand(t)
	for range 200 {
		peers, n := randomPeers(r), r.Int32N(20)
		want, withheld := planTasks(peers, n)
		r.Shuffle(len(peers), func(i, j int) { peers[i], peers[j] = peers[j], peers[i] })
		got, again := planTasks(peers, n)
		require.Equal(t, want, got)
		require.Equal(t, withheld, again)
	}
}

// randomPeers claim anything, also what is not there and what others claim.
func randomPeers(r *rand.Rand) []peer {
	some := func() taskSet {
		var s []int32
		for range r.IntN(8) {
			s = append(s, r.Int32N(30)-3)
		}
		return newTaskSet(s)
	}
	var peers []peer
	for i := range r.IntN(6) {
		peers = append(peers, peer{ID: fmt.Sprint("m", i), Owned: some(), Stored: some(), Fits: r.IntN(4) > 0})
	}
	return peers
}

// TestPlanOfAnyClaims: whatever the members say, no plan fails, none gives a task that another claims, and following it
// settles.
func TestPlanOfAnyClaims(t *testing.T) {
	r := assignRand(t)
	for range 500 {
		c := &cluster{t: t, n: r.Int32N(20), peers: randomPeers(r)}
		fits := slices.ContainsFunc(c.peers, func(p peer) bool { return p.Fits })
		if fits {
			c.rebalance()
		}
	}
}

// TestPlanPrefersState: after a restart of the whole group each member gets what it has on disk.
func TestPlanPrefersState(t *testing.T) {
	given, withheld := planTasks([]peer{
		{ID: "z", InstanceID: "a", Stored: taskSet{1, 3}, Fits: true},
		{ID: "y", InstanceID: "b", Stored: taskSet{0, 2}, Fits: true},
		{ID: "x", InstanceID: "c", Fits: true},
	}, 6)
	require.Zero(t, withheld)
	require.Equal(t, map[string]taskSet{"z": {1, 3}, "y": {0, 2}, "x": {4, 5}}, given)
}

// TestPlanGivesUpWhatTheNewcomerHas: of what must move, that goes which the newcomer has on disk.
func TestPlanGivesUpWhatTheNewcomerHas(t *testing.T) {
	peers := []peer{{ID: "a", Owned: taskSet{0, 1, 2, 3}, Fits: true}, {ID: "b", Stored: taskSet{0, 2}, Fits: true}}
	given, withheld := planTasks(peers, 4)
	require.Equal(t, 2, withheld)
	require.Equal(t, map[string]taskSet{"a": {1, 3}, "b": nil}, given)
}

// TestPlanGivesUpWhatTheNewcomerHas_WhateverOthersHave: a member that has enough wants nothing, and may have all on disk.
func TestPlanGivesUpWhatTheNewcomerHas_WhateverOthersHave(t *testing.T) {
	c := &cluster{t: t, n: 6, peers: []peer{
		{ID: "a", Owned: taskSet{1, 3, 4}, Fits: true},
		{ID: "b", Owned: taskSet{0, 2, 5}, Stored: taskSet{0, 1, 2, 3, 4, 5}, Fits: true},
		{ID: "c", Stored: taskSet{0, 1}, Fits: true},
	}}
	c.rebalance()
	require.Equal(t, taskSet{0, 1}, c.peers[2].Owned)
	require.Equal(t, 2, c.moves)
}

// TestPlanGivesUpWhatTheNewcomerHas_OfEquals: where one of two may have one more, it is the one who has less to give.
func TestPlanGivesUpWhatTheNewcomerHas_OfEquals(t *testing.T) {
	for _, has := range []taskSet{{0}, {1}, {2}, {3}} {
		c := &cluster{t: t, n: 4, peers: []peer{
			{ID: "a", Owned: taskSet{0, 1}, Fits: true}, {ID: "b", Owned: taskSet{2, 3}, Fits: true}, {ID: "c", Stored: has, Fits: true},
		}}
		c.rebalance()
		require.Equal(t, has, c.peers[2].Owned)
		require.Equal(t, 1, c.moves)
	}
}

// TestPlanNewcomerHasItsOwn: whatever the members of a settled group have on disk, none gives a newcomer a task that this
// one has not while it keeps one that it has.
func TestPlanNewcomerHasItsOwn(t *testing.T) {
	r := assignRand(t)
	for range 500 {
		c := &cluster{t: t, n: r.Int32N(30) + 1}
		some := func() (s taskSet) {
			for task := range c.n {
				if r.IntN(3) > 0 {
					s = append(s, task)
				}
			}
			return s
		}
		for i := range r.IntN(6) + 1 {
			c.peers = append(c.peers, peer{ID: fmt.Sprint("m", i), Stored: some(), Fits: true})
			c.rebalance()
		}
		before, has := slices.Clone(c.peers), some()
		c.peers = append(c.peers, peer{ID: "newcomer", Stored: has, Fits: true})
		c.rebalance()
		for i, p := range before {
			gave, keeps := p.Owned.minus(c.peers[i].Owned), c.peers[i].Owned
			if len(gave.minus(has)) > 0 {
				require.Empty(t, keeps.and(has), "%s gave %v, and keeps %v of %v", p.ID, gave, keeps, has)
			}
		}
	}
}

// TestR22_PlanWithholdsWhatAnotherOwns also of a member that has no place in the plan.
func TestR22_PlanWithholdsWhatAnotherOwns(t *testing.T) {
	given, withheld := planTasks([]peer{{ID: "a", Fits: true}, {ID: "b", Owned: taskSet{0, 1}}}, 3)
	require.Equal(t, 2, withheld)
	require.Equal(t, map[string]taskSet{"a": {2}, "b": nil}, given)
}

// TestPlanOfDoubleClaims: two members believe that they own a task. Both give it up before one gets it.
func TestPlanOfDoubleClaims(t *testing.T) {
	peers := []peer{{ID: "a", Owned: taskSet{0}, Fits: true}, {ID: "b", Owned: taskSet{0}, Fits: true}}
	given, withheld := planTasks(peers, 1)
	require.Equal(t, 1, withheld)
	require.Equal(t, map[string]taskSet{"a": nil, "b": nil}, given)
}
