package kafka

import (
	"container/heap"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestR22_GroupOfMachinesUnderFaults lets some machines and the model of a coordinator meet in virtual time: connections
// break before or after a request is done, members are killed and come back, stop, lose their producer, take long to give
// up; some have another topology. At no time do two members claim one task, and once the faults end all tasks run.
func TestR22_GroupOfMachinesUnderFaults(t *testing.T) {
	for range 40 {
		seed := rand.Uint64()
		w := newWorld(t, seed)
		w.run(10 * time.Minute)
		w.calm = true
		w.run(4 * time.Minute)
		w.settled()
		if t.Failed() {
			return
		}
	}
}

// FuzzGroupOfMachines is the same for a seed of choice.
func FuzzGroupOfMachines(f *testing.F) {
	f.Add(uint64(1))
	f.Fuzz(func(t *testing.T, seed uint64) {
		w := newWorld(t, seed)
		w.run(5 * time.Minute)
		w.calm = true
		w.run(4 * time.Minute)
		w.settled()
	})
}

// world is virtual time, a coordinator and the members.
type world struct {
	t     *testing.T
	seed  uint64
	r     *rand.Rand
	cfg   MembershipConfig
	tasks int32
	now   time.Time
	queue timers
	order int
	coord *coord
	nodes []*node
	names int
	calm  bool // no faults any more
	trace []string
}

// node is one process.
type node struct {
	w        *world
	name     string
	instance string
	topology string
	stored   taskSet
	m        *machine
	flying   *ask
	calls    int // raised by each handler call and each cancel
	gone     bool
}

// ask is a request under way.
type ask struct {
	node *node
	out  memberOut
	done bool
}

func newWorld(t *testing.T, seed uint64) *world {
	w := &world{t: t, seed: seed, r: rand.New(rand.NewPCG(seed, 1)), now: time.Unix(1e9, 0)}
	w.cfg = MembershipConfig{Group: "g", Topics: []string{"in"}}.withDefaults()
	w.tasks = w.r.Int32N(8) + 1
	w.coord = &coord{w: w, state: "empty", members: map[string]*coordMember{}, pending: map[string]bool{}}
	for range w.r.IntN(4) + 1 {
		w.hire("", "v1", nil)
	}
	w.in(0, w.fate)
	return w
}

// fate strikes now and then until the calm.
func (w *world) fate() {
	if w.calm {
		return
	}
	w.in(time.Duration(w.r.IntN(20000))*time.Millisecond, w.fate)
	var alive []*node
	for _, n := range w.nodes {
		if !n.gone && !n.m.stopping {
			alive = append(alive, n)
		}
	}
	if len(alive) < 5 && w.r.IntN(3) == 0 || len(alive) < 1 {
		instance := ""
		if w.r.IntN(2) == 0 {
			instance = fmt.Sprint("static", w.names)
		}
		w.hire(instance, []string{"v1", "v1", "v1", "v2"}[w.r.IntN(4)], nil)
		return
	}
	n := alive[w.r.IntN(len(alive))]
	switch w.r.IntN(4) {
	case 0:
		w.kill(n)
	case 1:
		w.log("%s stops", n.name)
		n.feed(memberIn{op: evStop})
	case 2:
		n.feed(memberIn{op: evRejoin, err: []error{ErrUnknownMember, io.ErrUnexpectedEOF}[w.r.IntN(2)]})
	}
}

// kill ends a process; a static one comes back, sometimes while its session lives.
func (w *world) kill(n *node) {
	w.log("%s is killed", n.name)
	n.gone = true
	if n.instance != "" {
		stored := n.m.held
		if w.r.IntN(4) == 0 {
			stored = nil // on another disk
		}
		w.in(time.Duration(w.r.IntN(20000))*time.Millisecond, func() { w.hire(n.instance, n.topology, stored) })
	}
}

func (w *world) hire(instance, topology string, stored taskSet) {
	w.names++
	n := &node{w: w, name: fmt.Sprint("n", w.names), instance: instance, topology: topology, stored: stored}
	cfg := w.cfg
	cfg.InstanceID, cfg.LeaveOnStop = instance, w.r.IntN(3) > 0
	n.m = newMachine(cfg, w.tasks)
	w.nodes = append(w.nodes, n)
	w.log("%s starts as %q %s stored=%v", n.name, instance, topology, stored)
	n.feed(memberIn{op: evStart})
}

// feed steps a machine and carries out what it says.
func (n *node) feed(in memberIn) {
	if n.gone {
		return
	}
	if in.op != evTick {
		n.w.log("%s <- %s err=%v id=%s gen=%d leader=%v granted=%v", n.name, in.op, in.err, in.id, in.gen, in.leader, in.granted)
	}
	for _, o := range n.m.step(n.w.now, in) {
		n.w.log("%s -> %v", n.name, o)
		n.obey(o)
	}
	if at := n.m.due(); !at.IsZero() && !n.gone {
		n.w.in(max(at.Sub(n.w.now), 0), func() {
			if n.m.due().Equal(at) && !n.gone {
				n.feed(memberIn{op: evTick})
			}
		})
	}
}

func (n *node) obey(o memberOut) {
	switch o.op {
	case opFind, opJoin, opSync, opBeat, opLeave:
		n.send(o)
	case opAbort:
		a := n.flying
		n.w.in(0, func() { a.fail() })
	case opAssign:
		n.handler(0)
	case opRevoke:
		d := n.w.r.IntN(4000)
		if n.w.r.IntN(8) == 0 {
			d = n.w.r.IntN(80000) // past any deadline
		}
		n.handler(time.Duration(d) * time.Millisecond)
	case opLost:
		n.handler(time.Duration(n.w.r.IntN(3000)) * time.Millisecond)
	case opCancel:
		n.handler(time.Duration(n.w.r.IntN(200)) * time.Millisecond)
	case opDone:
		n.gone = true
	}
}

// handler ends the call under way after d.
func (n *node) handler(d time.Duration) {
	n.calls++
	calls := n.calls
	n.w.in(d, func() {
		if n.calls == calls {
			n.feed(memberIn{op: evHandled})
		}
	})
}

func (n *node) send(o memberOut) {
	a := &ask{node: n, out: o}
	n.flying = a
	n.w.in(o.timeout, a.fail)
	if n.w.lost(20) {
		n.w.in(n.w.latency(), a.fail)
		return
	}
	n.w.in(n.w.latency(), func() { n.w.coord.serve(a) })
}

// answer takes its way back to the member, or is lost.
func (a *ask) answer(in memberIn) {
	if a.done {
		return
	}
	if a.node.w.lost(20) {
		a.node.w.in(a.node.w.latency(), a.fail)
		return
	}
	in.op = map[memberOp]memberOp{opFind: evFound, opJoin: evJoined, opSync: evSynced, opBeat: evBeaten, opLeave: evLeft}[a.out.op]
	a.node.w.in(a.node.w.latency(), func() { a.arrive(in) })
}

// fail is a broken connection, or a time-out.
func (a *ask) fail() {
	op := map[memberOp]memberOp{opFind: evFound, opJoin: evJoined, opSync: evSynced, opBeat: evBeaten, opLeave: evLeft}[a.out.op]
	a.arrive(memberIn{op: op, err: io.EOF})
}

func (a *ask) arrive(in memberIn) {
	if !a.done {
		a.done = true
		a.node.feed(in)
	}
}

func (w *world) lost(oneIn int) bool { return !w.calm && w.r.IntN(oneIn) == 0 }

func (w *world) latency() time.Duration { return time.Duration(w.r.IntN(50)+1) * time.Millisecond }

func (w *world) log(format string, args ...any) {
	w.trace = append(w.trace, fmt.Sprintf("%8.3f ", float64(w.now.UnixMilli()-1e12)/1e3)+fmt.Sprintf(format, args...))
}

func (w *world) in(d time.Duration, fn func()) {
	w.order++
	heap.Push(&w.queue, timer{w.now.Add(d), w.order, fn})
}

func (w *world) run(d time.Duration) {
	end := w.now.Add(d)
	for steps := 0; len(w.queue) > 0 && !w.queue[0].at.After(end); steps++ {
		e := heap.Pop(&w.queue).(timer)
		w.now = e.at
		e.fn()
		w.exclusive()
		if steps > 200000 {
			w.fail("no end of it")
		}
	}
	w.now = end
}

// exclusive: no two members claim one task.
func (w *world) exclusive() {
	owner := make([]*node, w.tasks)
	for _, n := range w.nodes {
		if n.gone {
			continue
		}
		claims := n.m.claims()
		if len(claims) > 0 && !n.m.live {
			w.fail("%s claims %v and is not live", n.name, claims)
		}
		for _, t := range claims {
			if owner[t] != nil {
				w.fail("task %d is claimed by %s and %s", t, owner[t].name, n.name)
			}
			owner[t] = n
		}
	}
}

// settled: all tasks run, evenly spread over the members of the leader's topology.
func (w *world) settled() {
	var held []int32
	lo, hi, topology, alive := int(w.tasks), 0, "", 0
	for _, n := range w.nodes {
		if !n.gone && n.m.member.ID == w.coord.leader {
			topology = n.topology
		}
	}
	for _, n := range w.nodes {
		if n.gone {
			continue
		}
		alive++
		held = append(held, n.m.held...)
		if n.topology == topology {
			lo, hi = min(lo, len(n.m.held)), max(hi, len(n.m.held))
		} else if len(n.m.held) > 0 {
			w.fail("%s has another topology and tasks", n.name)
		}
	}
	slices.Sort(held)
	if alive > 0 && (int32(len(held)) != w.tasks || len(newTaskSet(held)) != len(held) || hi-lo > 1) {
		w.fail("not settled: %v of %d", held, w.tasks)
	}
}

func (w *world) fail(format string, args ...any) {
	w.t.Helper()
	from := max(0, len(w.trace)-150)
	w.t.Fatalf("seed %d: %s\n%s", w.seed, fmt.Sprintf(format, args...), strings.Join(w.trace[from:], "\n"))
}

// timers is a heap by time, then by order of making.
type timers []timer

type timer struct {
	at    time.Time
	order int
	fn    func()
}

func (q timers) Len() int { return len(q) }
func (q timers) Less(i, j int) bool {
	return q[i].at.Before(q[j].at) || q[i].at.Equal(q[j].at) && q[i].order < q[j].order
}
func (q timers) Swap(i, j int) { q[i], q[j] = q[j], q[i] }

// Push implements heap.Interface.
func (q *timers) Push(x any) { *q = append(*q, x.(timer)) }

// Pop implements heap.Interface.
func (q *timers) Pop() any {
	old := *q
	last := old[len(old)-1]
	*q = old[:len(old)-1]
	return last
}
