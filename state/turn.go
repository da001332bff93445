package state

import (
	"context"
	"fmt"
	"time"
)

// idleTurn is how long a rebuild keeps its turn while nothing comes: its broker may be away for long, and others wait.
const idleTurn = 5 * time.Second

// Of a turn, three quarters are for rows that are folded. The rest is for what merges them on disk.
const turnFold = 4

// room is how much a batch takes before it is written.
func (sh *shell) room() int {
	if sh.done != nil {
		return sh.turn / turnFold * (turnFold - 1)
	}
	return sh.o.BatchBytes
}

// enter takes a turn where a rebuild has none.
func (sh *shell) enter(ctx context.Context) (err error) {
	if sh.o.Admit == nil || !sh.r.rebuilding || sh.done != nil {
		return nil
	}
	if sh.turn, sh.done, err = sh.o.Admit(ctx); err != nil {
		sh.done = nil
		return fmt.Errorf("state: restore %s/%d: %w", sh.o.Topic, sh.o.Partition, err)
	}
	sh.last = sh.o.Now()
	return nil
}

// bounds gives the turn back when the broker does not answer for a while.
func (sh *shell) bounds(ctx context.Context) (Bounds, error) {
	if sh.done != nil {
		soon, cancel := context.WithTimeout(ctx, idleTurn)
		b, err := sh.l.Bounds(soon)
		late := soon.Err() != nil
		cancel()
		if err == nil || !late || ctx.Err() != nil {
			return b, err
		}
		if err := sh.park(); err != nil {
			return b, err
		}
	}
	return sh.l.Bounds(ctx)
}

// idle tells that nothing has come for a while in the turn.
func (sh *shell) idle() bool { return sh.done != nil && sh.o.Now().Sub(sh.last) >= idleTurn }

// park gives the turn back, and the memory of what was gathered in it.
func (sh *shell) park() error {
	defer sh.leave()
	if err := sh.flush(); err != nil {
		return err
	}
	sh.batch = Batch{}
	sh.batch.fold()
	return nil
}

// leave ends the turn.
func (sh *shell) leave() {
	if sh.done != nil {
		sh.done()
		sh.done = nil
	}
}
