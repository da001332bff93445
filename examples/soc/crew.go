package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// part is something with a Run that goes on until its context ends.
type part struct {
	name string
	run  func(context.Context) error
}

// crew runs parts until it is stopped; the first that fails ends ctx.
type crew struct {
	// ctx ends when a part fails or the program is interrupted: then it is time to stop.
	ctx    context.Context
	fail   context.CancelCauseFunc
	cancel context.CancelFunc // of what the parts see
	wait   sync.WaitGroup
	mu     sync.Mutex
	errs   []error
}

// start runs parts. An interrupt ends the crew's ctx only: the parts go on until stop, so that they can be read until
// the last.
func start(ctx context.Context, parts ...part) *crew {
	c := &crew{}
	c.ctx, c.fail = context.WithCancelCause(ctx)
	life, cancel := context.WithCancel(context.WithoutCancel(ctx))
	c.cancel = cancel
	for _, p := range parts {
		c.wait.Go(func() {
			if err := p.run(life); err != nil {
				c.mu.Lock()
				defer c.mu.Unlock()
				c.errs = append(c.errs, fmt.Errorf("soc: %s: %w", p.name, err))
				c.fail(err)
			}
		})
	}
	return c
}

// stop ends the parts and gives their errors. It may be called again.
func (c *crew) stop() error {
	c.cancel()
	c.wait.Wait()
	c.fail(nil)
	return errors.Join(c.errs...)
}

func wait(ctx context.Context, all ...<-chan struct{}) error {
	for _, ready := range all {
		select {
		case <-ready:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
