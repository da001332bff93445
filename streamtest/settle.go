package streamtest

import (
	"fmt"
	"strings"
	"testing/synctest"

	"github.com/tarnstream/tarn/topology"
)

// Settle waits until the group has handled and committed everything that is in its inputs and loops. It fails the test
// when every instance of the group has ended, and after an hour of virtual time.
func (k *Kit) Settle(g *topology.Group) {
	k.t.Helper()
	if !k.settles(g) {
		k.unsettled(g)
	}
}

// settles tells whether the group has settled before its last instance ended.
func (k *Kit) settles(g *topology.Group) (settled bool) {
	k.t.Helper()
	k.within(patience, func() bool {
		settled = k.lag(g) == 0
		return settled || k.allEnded(g)
	})
	synctest.Wait() // what was committed just now is known to the instances, too
	return settled
}

func (k *Kit) unsettled(g *topology.Group) {
	k.t.Helper()
	k.t.Fatalf("streamtest: group %s does not settle: of its inputs %d offsets are not committed\n%s", g.Name(), k.lag(g), k.status())
}

// allEnded tells that the group had instances and has none now.
func (k *Kit) allEnded(g *topology.Group) bool {
	had := false
	for _, i := range k.instances {
		if i.group == g && !i.ended() {
			return false
		}
		had = had || i.group == g
	}
	return had
}

// lag is how many offsets of the inputs and loops the group has not committed, -1 where that cannot be said yet.
func (k *Kit) lag(g *topology.Group) int64 {
	k.t.Helper()
	info, err := k.Broker.Group(g.Name())
	k.check(err)
	var lag int64
	for _, in := range g.Description().Inputs {
		if _, _, err := k.Broker.Config(in.Name); err != nil && in.Loop {
			return -1 // its group creates it
		}
		for p := range k.partitions(in.Name) {
			b, err := k.Broker.Bounds(in.Name, p)
			k.check(err)
			lag += max(0, b.End-max(info.Commits[in.Name][p].Offset, b.Start))
		}
	}
	return lag
}

// status says for a failure how the instances stand, a line each. An error in it needs no other failure.
func (k *Kit) status() string {
	var lines []string
	for _, i := range k.instances {
		state := i.Processor.Stats().String()
		if i.ended() {
			state, i.failed = fmt.Sprintf("ended, error: %v", i.err), true
		}
		lines = append(lines, fmt.Sprintf("\tinstance %s of group %s: %s", i.name, i.group.Name(), state))
	}
	if len(lines) == 0 {
		return "\tno instance was started"
	}
	return strings.Join(lines, "\n")
}
