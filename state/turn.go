package state

import (
	"context"
	"fmt"
	"time"
)

// idleTurn is how long a rebuild keeps its turn while nothing comes: its broker may be away for long, and others wait.
const idleTurn = 5 * time.Second

// enter takes a turn where a rebuild has none.
func (sh *shell) enter(ctx context.Context) (err error) {
	sh.last = sh.o.Now()
	if sh.o.Admit == nil || !sh.r.rebuilding || sh.done != nil {
		return nil
	}
	if sh.buffer, sh.done, err = sh.o.Admit(ctx); err != nil {
		sh.done = nil
		return fmt.Errorf("state: restore %s/%d: %w", sh.o.Topic, sh.o.Partition, err)
	}
	sh.last = sh.o.Now()
	return sh.s.Resize(sh.buffer)
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

// idle gives the turn back when nothing has come for a while.
func (sh *shell) idle(rs Records) error {
	if sh.done == nil || rs.Next > rs.Position || sh.o.Now().Sub(sh.last) < idleTurn {
		return nil
	}
	return sh.park()
}

func (sh *shell) park() error {
	defer sh.leave()
	return sh.s.Resize(0)
}

// leave ends the turn.
func (sh *shell) leave() {
	if sh.done != nil {
		sh.done()
		sh.done = nil
	}
}
