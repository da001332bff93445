package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/tarnstream/tarn/internal/child"
)

// fault is something that happens to the group, and its repair.
type fault struct {
	name string
	kill bool // it ends something by kill -9
	do   func(ctx context.Context, r *run, s *script) error
}

// onProcesses are those of the processes' script.
func onProcesses() []fault {
	all := []fault{
		{"process killed, back at once", true, func(ctx context.Context, r *run, s *script) error { return r.killed(ctx, s, 0, false) }},
		{"process killed, back after its session", true, func(ctx context.Context, r *run, s *script) error {
			return r.killed(ctx, s, session+s.upTo(3*time.Second), false)
		}},
		{"process killed, back without its state", true, func(ctx context.Context, r *run, s *script) error { return r.killed(ctx, s, s.upTo(session), true) }},
		{"process stopped, back", false, func(ctx context.Context, r *run, s *script) error { return r.stopped(ctx, s, false) }},
		{"process stopped, back without its state", false, func(ctx context.Context, r *run, s *script) error { return r.stopped(ctx, s, true) }},
		{"records deleted ahead of a stopped process", false, deleted},
		{"disk full", false, full},
		{"tables verified under load", false, verified},
	}
	if child.CanFreeze {
		all = append(all, fault{"process frozen past its session", false, frozen})
	}
	return all
}

// onBrokers are those of the brokers' script.
func onBrokers(c config) []fault {
	all := []fault{
		{"broker killed", true, func(ctx context.Context, r *run, s *script) error {
			return r.brokerKilled(ctx, s, 1+s.rand.IntN(r.brokers))
		}},
		{"the group's coordinator killed", true, groupCoordinatorKilled},
	}
	if c.guarantee == exactlyOnce {
		all = append(all, fault{"a transaction's coordinator killed", true, transactionCoordinatorKilled})
	}
	return all
}

// script draws faults: each comes once before one comes again.
type script struct {
	faults []fault
	rand   *rand.Rand
	deck   []int
	lull   time.Duration // the mean time between two
	wait   *wait         // since the fault in hand
}

func newScript(faults []fault, seed, stream uint64, lull time.Duration) *script {
	return &script{faults: faults, rand: rand.New(rand.NewPCG(seed, stream)), lull: lull}
}

func (s *script) draw() fault {
	if len(s.deck) == 0 {
		s.deck = s.rand.Perm(len(s.faults))
	}
	f := s.faults[s.deck[0]]
	s.deck = s.deck[1:]
	return f
}

func (s *script) upTo(d time.Duration) time.Duration { return time.Duration(s.rand.Int64N(int64(d))) }

func (s *script) pause() time.Duration {
	return min(time.Duration(s.rand.ExpFloat64()*float64(s.lull)), 4*s.lull)
}

// play lets faults happen until ctx ends. What is broken then is repaired: only whole ends that.
func (r *run) play(ctx, whole context.Context, s *script) error {
	for rest(ctx, s.pause()) {
		f := s.draw()
		s.wait = r.ledger.after()
		if err := f.do(whole, r, s); err != nil {
			return fmt.Errorf("%s: %w", f.name, err)
		}
		if err := r.goesOn(whole, f, s.wait); err != nil {
			return err
		}
	}
	return nil
}

// goesOn waits until the group makes progress after a fault.
func (r *run) goesOn(ctx context.Context, f fault, w *wait) error {
	select {
	case <-w.done:
		r.tell(f, w.took)
		return nil
	case <-time.After(patience):
		return fmt.Errorf("no progress within %v after: %s", patience, f.name)
	case <-r.fed.Done(): // nothing comes any more that could show it
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (r *run) anyProcess(s *script) *slot { return r.slots[s.rand.IntN(len(r.slots))] }

func (r *run) killed(ctx context.Context, s *script, away time.Duration, wipe bool) error {
	victim := r.anyProcess(s)
	victim.kill()
	rest(ctx, away)
	if wipe {
		if err := victim.wipe(); err != nil {
			return err
		}
	}
	return victim.start()
}

func (r *run) stopped(ctx context.Context, s *script, wipe bool) error {
	victim := r.anyProcess(s)
	if err := victim.stop(ctx); err != nil {
		return err
	}
	rest(ctx, s.upTo(2*time.Second))
	if wipe {
		if err := victim.wipe(); err != nil {
			return err
		}
	}
	return victim.start()
}

func frozen(ctx context.Context, r *run, s *script) error {
	victim := r.anyProcess(s)
	if err := victim.process.Freeze(); err != nil {
		return err
	}
	rest(ctx, session+s.upTo(4*time.Second))
	return victim.process.Thaw()
}

func full(ctx context.Context, r *run, s *script) error {
	victim := r.anyProcess(s)
	if err := victim.fill(ctx); err != nil {
		return err
	}
	s.wait = r.ledger.after() // it went on until it had to write
	if err := victim.empty(); err != nil {
		return err
	}
	return victim.start()
}

// deleted takes what nobody needs any more from the input and from the table's topic, while a process is away that is not
// so far: inputs that the group has committed, and rows that have been written again.
func deleted(ctx context.Context, r *run, s *script) error {
	victim := r.anyProcess(s)
	if err := victim.stop(ctx); err != nil {
		return err
	}
	rows, err := r.overtaken(ctx)
	if err != nil {
		return err
	}
	inputs, err := r.site.committed(ctx, r.partitions)
	if err != nil {
		return err
	}
	for p := range inputs {
		inputs[p] = min(inputs[p], r.ledger.position(p))
	}
	if err := r.site.trim(ctx, numbers.Name(), inputs); err != nil {
		return err
	}
	if err := r.site.trim(ctx, tallies.Name(), rows); err != nil {
		return err
	}
	return victim.start()
}

// overtaken waits until every row has been written again, and gives the starts that each partition of the table's topic may
// have then: a process that is away knows nothing that is still there. With the end of the feed it waits no longer.
func (r *run) overtaken(ctx context.Context) (map[int32]int64, error) {
	from := map[int32]int64{}
	for p := range int32(r.partitions) {
		from[p] = r.ledger.end(p)
	}
	starts := map[int32]int64{}
	err := persist(ctx, func() error {
		for p, end := range from {
			if starts[p] = r.ledger.needed(p); starts[p] < end && r.fed.Err() == nil {
				return fmt.Errorf("partition %d has rows that nobody has written for %v", p, patience)
			}
		}
		return nil
	})
	return starts, err
}

func verified(ctx context.Context, r *run, s *script) error {
	a, err := r.anyProcess(s).verify(ctx)
	r.audits.Add(int64(a.Equal))
	return err
}

// brokerKilled kills a broker, has it back once others lead, and waits until it has everything.
func (r *run) brokerKilled(ctx context.Context, s *script, id int) error {
	b := r.site.cluster.Broker(id)
	if err := b.Kill(); err != nil {
		return err
	}
	if err := r.site.deposed(ctx, id); err != nil {
		return err
	}
	rest(ctx, s.upTo(5*time.Second))
	if err := b.Start(ctx); err != nil {
		return err
	}
	return r.site.whole(ctx)
}

func groupCoordinatorKilled(ctx context.Context, r *run, s *script) error {
	id, err := r.site.groupCoordinator(ctx)
	if err != nil {
		return err
	}
	return r.brokerKilled(ctx, s, id)
}

func transactionCoordinatorKilled(ctx context.Context, r *run, s *script) error {
	id, err := r.site.transactionCoordinator(ctx, s.rand.IntN)
	if err != nil {
		return err
	}
	return r.brokerKilled(ctx, s, id)
}
