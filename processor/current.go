package processor

import (
	"context"
	"fmt"

	"github.com/tarnstream/tarn/observe"
	"github.com/tarnstream/tarn/state"
	"github.com/tarnstream/tarn/topology"
)

// Progress tells how far the restores of this process's tables have come, of each partition and in all, without asking
// anybody. It may be called at any time and as often as one likes.
func (p *Processor) Progress() observe.Progress { return p.Stats().Progress() }

// Current tells whether a table of the group is current in this process now, so that reads of it are answered: a kept or a
// joined one in every task that is here, however far the task's other tables are; a looked-up one in all its partitions. A
// table whose log was reset is not until that is mended. Ready, in contrast, speaks of all tables, and of the first time.
// It is false for a table that the group does not have.
func (p *Processor) Current(table topology.Handle) bool {
	at, err := p.find(table.Spec())
	ts := p.tasks()
	return err == nil && ts != nil && ts.areCurrent(at)
}

// AwaitCurrent waits until Current of the table is true, also for a Run that is still to be called. Errors: state.ErrClosed
// when Run has returned, the end of ctx, or a table that the group does not have.
func (p *Processor) AwaitCurrent(ctx context.Context, table topology.Handle) error {
	at, err := p.find(table.Spec())
	if err != nil {
		return err
	}
	err = awaitTrue(ctx, p.over, func() bool { ts := p.tasks(); return ts != nil && ts.areCurrent(at) })
	if err != nil {
		return fmt.Errorf("processor: group %s: table %s: %w", p.group.Name(), table.Name(), err)
	}
	return nil
}

// areCurrent tells whether a table is everywhere in the process.
func (ts *tasks) areCurrent(at role) bool {
	if at.lookup {
		return ts.env.lookups.of(at.read).isCurrent()
	}
	if !ts.areGiven() {
		return false
	}
	for _, t := range ts.all() {
		if table := t.outside(at); table == nil || !table.isCurrent() {
			return false
		}
	}
	return true
}

// awaitTrue waits for a condition that nobody tells of, until over is closed.
func awaitTrue(ctx context.Context, over <-chan struct{}, is func() bool) error {
	for {
		switch {
		case is():
			return nil
		case isClosed(over):
			return state.ErrClosed
		case !pause(ctx, syncPoll):
			return context.Cause(ctx)
		}
	}
}

// Progress tells how far the restores of the View's partitions have come, of each and in all, without asking anybody. It may
// be called at any time and as often as one likes.
func (v *View[T]) Progress() observe.Progress { return v.Stats().Progress() }

// Current tells whether all partitions are current now, so that reads need to allow nothing. One whose log was reset is not
// until that is mended. Ready, in contrast, speaks of the first time.
func (v *View[T]) Current() bool {
	parts, err := v.all()
	for _, p := range parts {
		if s, _ := p.staleness(); s.Cause != "" {
			return false
		}
	}
	return err == nil
}

// AwaitCurrent waits until Current is true, also for a Run that is still to be called. Errors: state.ErrClosed when Run has
// returned, or the end of ctx.
func (v *View[T]) AwaitCurrent(ctx context.Context) error {
	if err := awaitTrue(ctx, v.life.Done(), v.Current); err != nil {
		return fmt.Errorf("processor: view %s: %w", v.name, err)
	}
	return nil
}
