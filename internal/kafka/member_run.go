package kafka

import (
	"context"
	"errors"
	"maps"
	"time"

	"github.com/tarnstream/tarn/internal/task"
)

// Run takes part in the group until ctx ends: it joins, beats, rebalances. At the end it revokes everything within
// StopTimeout and leaves the group, and returns nil.
//
// Other ends: ErrFencedInstance (a newer process has our InstanceID), *PartitionCountError, *state.TopicMissingError
// (an input is not there at the start), *VersionError, an *Error that cannot be retried (no right to the group, other
// clients in it), ErrClosed. Before each of these the handler is told by Lost or Revoked.
func (m *Membership) Run(ctx context.Context, h Handler) error {
	if m.cfg.Group == "" || len(m.cfg.Topics) == 0 {
		return errors.New("kafka: a member needs a group and at least one input topic")
	}
	tasks, err := m.count(ctx)
	if err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return err
	}
	r := newMemberRun(ctx, m, h)
	defer m.client.release(r.wire)
	defer m.now.Store(nil)
	r.machine = newMachine(r.m.cfg, tasks)
	r.group.Go("kafka: group requests", r.requests)
	r.group.Go("kafka: group handler", r.handle)
	r.group.Go("kafka: partition counts", func(ctx context.Context) error { return r.watch(ctx, tasks) })
	final, err := r.loop(ctx)
	r.group.Stop(nil)
	return errors.Join(final, err, r.group.Wait())
}

// count gives the number of tasks: every input has as many partitions. It waits for a broker to answer, and for an input
// that is missing to be so for a while.
func (m *Membership) count(ctx context.Context) (n int32, err error) {
	var gone absence
	err = retry(ctx, func() error {
		found, err := m.client.Refresh(ctx, m.cfg.Topics...)
		if err != nil {
			return err
		}
		if n, err = tasksOf(found, m.cfg.Topics); missing(err) && !gone.confirmed(time.Now(), absenceTimes, absenceTime) {
			return errNoAnswer
		}
		return err
	})
	return n, err
}

func tasksOf(found map[string]Topic, names []string) (int32, error) {
	n := int32(-1)
	for _, name := range names {
		t := found[name]
		if t.Err != nil {
			return 0, t.Err
		}
		is := int32(len(t.Partitions))
		if n >= 0 && is != n {
			return 0, &PartitionCountError{Topic: name, Was: n, Is: is}
		}
		n = is
	}
	return n, nil
}

// memberRun is the shell of the machine: one goroutine for it, one for its requests, one for its handler calls, one
// that watches the partition counts. All but the first only carry out what they are told and report back.
type memberRun struct {
	m       *Membership
	h       Handler
	wire    *memberWire
	machine *machine
	group   *task.Group

	in       chan memberIn  // what happens
	asks     chan memberReq // one at a time
	calls    chan memberCall
	abort    context.CancelCauseFunc // of the request under way
	unrevoke context.CancelCauseFunc // of the revoke under way
}

type memberReq struct {
	ctx context.Context
	out memberOut
}

type memberCall struct {
	ctx context.Context
	out memberOut
}

func newMemberRun(ctx context.Context, m *Membership, h Handler) *memberRun {
	noop := func(error) {}
	// Stopping is the machine's business: ctx alone must not end a commit under way.
	return &memberRun{m: m, h: h, wire: &memberWire{client: m.client, cfg: &m.cfg}, group: task.New(context.WithoutCancel(ctx)),
		in: make(chan memberIn), asks: make(chan memberReq, 1), calls: make(chan memberCall, 1), abort: noop, unrevoke: noop}
}

// loop feeds the machine until it is done. The first error is the machine's, the second says that the shell failed.
func (r *memberRun) loop(ctx context.Context) (final, failed error) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	defer func() { r.abort(nil); r.unrevoke(nil) }()
	stop, next := ctx.Done(), memberIn{op: evStart}
	for {
		for _, o := range r.machine.step(time.Now(), next) {
			if o.op == opDone {
				return o.err, nil
			}
			r.obey(o)
		}
		r.publish()
		timer.Stop()
		if at := r.machine.due(); !at.IsZero() {
			timer.Reset(time.Until(at))
		}
		select {
		case next = <-r.in:
		case cause := <-r.m.asked:
			next = memberIn{op: evRejoin, err: cause}
		case <-timer.C:
			next = memberIn{op: evTick}
		case <-stop:
			stop, next = nil, memberIn{op: evStop}
		case <-r.group.Context().Done():
			return nil, context.Cause(r.group.Context())
		}
	}
}

func (r *memberRun) publish() {
	if r.machine.live {
		r.m.now.Store(&claim{r.machine.member, r.machine.trustedUntil()})
	} else {
		r.m.now.Store(nil)
	}
}

func (r *memberRun) obey(o memberOut) {
	switch o.op {
	case opFind, opJoin, opSync, opBeat, opLeave:
		ctx, cancel := context.WithCancelCause(r.group.Context())
		r.abort(nil)
		r.abort = cancel
		r.asks <- memberReq{ctx, o}
	case opAbort:
		r.abort(context.Canceled)
	case opAssign, opLost:
		r.calls <- memberCall{r.group.Context(), o}
	case opRevoke:
		ctx, cancel := context.WithCancelCause(r.group.Context())
		r.unrevoke(nil)
		r.unrevoke = cancel
		r.calls <- memberCall{ctx, o}
	case opCancel:
		r.unrevoke(o.err)
	case opGeneration:
		r.h.Generation(o.member)
	case opTell:
		r.m.cfg.OnEvent(o.event)
	}
}

// requests carries out one request after the other.
func (r *memberRun) requests(ctx context.Context) error {
	for {
		select {
		case q := <-r.asks:
			r.report(ctx, r.wire.do(q.ctx, q.out))
		case <-ctx.Done():
			return nil
		}
	}
}

// handle carries out one handler call after the other.
func (r *memberRun) handle(ctx context.Context) error {
	for {
		select {
		case c := <-r.calls:
			r.call(c.ctx, c.out)
			r.report(ctx, memberIn{op: evHandled})
		case <-ctx.Done():
			return nil
		}
	}
}

func (r *memberRun) call(ctx context.Context, o memberOut) {
	switch o.op {
	case opAssign:
		r.h.Assigned(ctx, o.member, o.tasks)
	case opRevoke:
		ctx, cancel := context.WithTimeout(ctx, o.timeout)
		defer cancel()
		r.h.Revoked(ctx, o.member, o.tasks)
	default:
		r.h.Lost(o.tasks)
	}
}

func (r *memberRun) report(ctx context.Context, in memberIn) {
	select {
	case r.in <- in:
	case <-ctx.Done():
	}
}

// watch stops the member when a partition count changes.
func (r *memberRun) watch(ctx context.Context, tasks int32) error {
	counts := maps.Clone(r.m.cfg.Fixed)
	if counts == nil {
		counts = map[string]int32{}
	}
	for _, name := range r.m.cfg.Topics {
		counts[name] = tasks
	}
	if err := r.m.client.WatchPartitions(ctx, r.m.cfg.MetadataInterval, counts); err != nil {
		r.report(ctx, memberIn{op: evStop, err: err})
	}
	return nil
}
