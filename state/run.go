package state

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// shell carries out the commands of a restorer, on the goroutine of its caller.
type shell struct {
	s     Store
	l     Log
	o     RestoreOptions
	r     restorer
	told  changes
	batch Batch
	cp    Checkpoint // of what is in batch
	dirty bool
	out   Outcome
	began time.Time

	turn int       // what the rebuild's turn may take
	done func()    // ends it; nil without one
	last time.Time // when something came in it
}

func newShell(s Store, l Log, o RestoreOptions, follow bool) *shell {
	o.BatchBytes = orDefault(o.BatchBytes, 512<<10)
	o.HangDeadline = orDefault(o.HangDeadline, time.Minute)
	o.Relist = orDefault(o.Relist, 30*time.Second)
	if o.Now == nil {
		o.Now = time.Now
	}
	return &shell{s: s, l: l, o: o, began: o.Now(), told: changes{s: s, tell: o.Changed},
		r: restorer{topic: o.Topic, partition: o.Partition, follow: follow, hang: o.HangDeadline, relist: o.Relist}}
}

// run ends when the store is current or, of a follower, with ctx or an error.
func (sh *shell) run(ctx context.Context) (Outcome, error) {
	defer sh.leave()
	cp, has := sh.s.Checkpoint()
	_, left := sh.s.Stale()
	var ev event = evStart{cp: cp, has: has, left: left}
	for {
		cmd := sh.r.step(sh.o.Now(), ev)
		sh.report(cmd)
		if cmd.kind == cmdFail {
			return sh.outcome(), cmd.err
		}
		var err error
		if ev, err = sh.do(ctx, cmd); err != nil {
			return sh.outcome(), err
		}
		if cmd.kind == cmdReady && !sh.r.follow {
			return sh.outcome(), nil
		}
	}
}

// report tells the observer what a command carries.
func (sh *shell) report(c command) {
	if c.plan != nil {
		sh.out.Plan = *c.plan
		if f := sh.o.Observer.Planned; f != nil {
			f(*c.plan)
		}
	}
	if c.reset != nil {
		if isReset(c.reset) {
			sh.out.Resets++
		}
		if f := sh.o.Observer.Reset; f != nil {
			f(c.reset)
		}
	}
}

func (sh *shell) outcome() Outcome {
	out := sh.out
	out.Position, out.End = sh.r.cp.Position, max(sh.r.end, sh.r.high)
	out.Unproven = sh.r.unproven
	out.Took = sh.o.Now().Sub(sh.began)
	return out
}

// do carries out one command. Its errors end the restore: trouble with the store, or ctx.
func (sh *shell) do(ctx context.Context, c command) (event, error) {
	if ctx.Err() != nil {
		return nil, fmt.Errorf("state: restore %s/%d: %w", sh.o.Topic, sh.o.Partition, context.Cause(ctx))
	}
	if sh.idle() {
		if err := sh.park(); err != nil {
			return nil, err
		}
	}
	switch c.kind {
	case cmdList:
		return sh.list(ctx)
	case cmdFetch:
		return sh.fetch(ctx, c.position)
	case cmdWait:
		return evTick{}, sleep(ctx, c.wait)
	}
	if c.kind == cmdApply && len(c.apply.Records) > 0 {
		if err := sh.enter(ctx); err != nil {
			return nil, err
		}
	}
	if err := sh.change(c); err != nil {
		return nil, err
	}
	sh.reuse(c)
	return evDone{}, nil
}

// reuse gives back what was applied. Who is told of changes may refer to it for longer.
func (sh *shell) reuse(c command) {
	if c.kind == cmdApply && len(c.apply.Records) > 0 && (sh.told.hidden || !sh.told.telling()) {
		sh.l.Reuse(c.apply)
	}
}

func (sh *shell) list(ctx context.Context) (event, error) {
	b, err := sh.bounds(ctx)
	if err != nil {
		return evFailed{err}, nil
	}
	return evBounds{b}, nil
}

func (sh *shell) fetch(ctx context.Context, position int64) (event, error) {
	rs, err := sh.l.Fetch(ctx, position)
	if _, ok := errors.AsType[*OutOfRangeError](err); ok {
		return evOutOfRange{}, nil
	}
	if err != nil {
		return evFailed{err}, nil
	}
	if rs.Next > rs.Position {
		sh.last = sh.o.Now()
	}
	return evRecords{rs}, nil
}

// sleep waits; that ctx ended meanwhile shows at the next command.
func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
	return nil
}

// change carries out what changes the store.
func (sh *shell) change(c command) error {
	switch c.kind {
	case cmdBegin:
		sh.batch.Reset()
		sh.batch.fold()
		sh.told.hide()
		sh.cp, sh.dirty = c.cp, true // an empty log leaves a checkpoint too
		return sh.s.Rebuild(c.plan.Cause, c.plan.Quarantine)
	case cmdApply:
		return sh.apply(c)
	case cmdSweep:
		return sh.sweep(c.below)
	case cmdSwap:
		sh.batch.last = true
		if err := sh.flush(); err != nil {
			return err
		}
		sh.batch = Batch{}
		return sh.told.swap(sh.leave)
	}
	if err := sh.flush(); err != nil { // cmdReady
		return err
	}
	sh.batch = Batch{} // what follows is small
	if err := sh.told.start(); err != nil {
		return err
	}
	if f := sh.o.Observer.Ready; f != nil {
		f(sh.outcome())
	}
	return nil
}

// apply puts records into the batch and writes it when it is big enough or wanted now. What is applied and the
// checkpoint that says so are one batch (R15).
func (sh *shell) apply(c command) error {
	for i := range c.apply.Records {
		rec := &c.apply.Records[i]
		if sh.r.rebuilding && sh.batch.Bytes() >= sh.room() { // thrown away if it is interrupted: any checkpoint will do
			if err := sh.makeRoom(); err != nil {
				return err
			}
		}
		sh.dirty = true
		if rec.Key == nil {
			sh.out.NullKeys++
			continue
		}
		if err := sh.told.add(rec); err != nil {
			return err
		}
		switch {
		case rec.Value == nil:
			sh.batch.Delete(rec.Key)
			sh.out.Deletes++
		default:
			sh.batch.Put(rec.Key, rec.Value, rec.Offset, rec.Timestamp)
		}
		sh.out.Records++
		sh.out.Bytes += int64(len(rec.Key) + len(rec.Value))
	}
	sh.cp, sh.dirty = c.cp, true
	if err := sh.settle(c.flush); err != nil {
		return err
	}
	if f := sh.o.Observer.Progress; f != nil && c.apply.Next > c.apply.Position {
		f(sh.outcome())
	}
	return nil
}

// settle writes the batch if that is wanted now, and else makes room where it has become big. What a rebuild has at the end of
// the log is written by the swap that follows.
func (sh *shell) settle(now bool) error {
	switch {
	case now && !sh.r.rebuilding:
		return sh.flush()
	case sh.batch.Bytes() >= sh.room():
		return sh.makeRoom()
	}
	return nil
}

// makeRoom writes the batch, unless half of it is overwritten in it.
func (sh *shell) makeRoom() error {
	if sh.batch.thin(sh.room() / 2) {
		return nil
	}
	return sh.flush()
}

func (sh *shell) flush() error {
	if !sh.dirty {
		return nil
	}
	sh.batch.SetCheckpoint(sh.cp)
	sh.batch.SetChange(sh.told.digest())
	if err := sh.s.Write(&sh.batch); err != nil {
		return err
	}
	sh.batch.Reset()
	sh.dirty = false
	return sh.told.written()
}

func (sh *shell) sweep(below int64) error {
	if err := sh.flush(); err != nil {
		return err
	}
	n, err := sh.told.sweep(below)
	sh.out.Swept += n
	if f := sh.o.Observer.Swept; f != nil && n > 0 {
		f(n)
	}
	return err
}
