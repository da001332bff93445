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

// crew runs parts until it is stopped; the first that fails stops the rest.
type crew struct {
	ctx    context.Context
	cancel context.CancelCauseFunc
	wait   sync.WaitGroup
	mu     sync.Mutex
	errs   []error
}

func start(ctx context.Context, parts ...part) *crew {
	c := &crew{}
	c.ctx, c.cancel = context.WithCancelCause(ctx)
	for _, p := range parts {
		c.wait.Add(1)
		go func() {
			defer c.wait.Done()
			if err := p.run(c.ctx); err != nil {
				c.mu.Lock()
				c.errs = append(c.errs, fmt.Errorf("soc: %s: %w", p.name, err))
				c.mu.Unlock()
				c.cancel(err)
			}
		}()
	}
	return c
}

// stop ends the parts and gives their errors.
func (c *crew) stop() error {
	c.cancel(nil)
	c.wait.Wait()
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
