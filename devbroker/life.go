package devbroker

import (
	"context"
	"sync"
	"time"
)

// A life is one incarnation of the cluster. Requests that sleep in it must have ended before it ends, since a cluster
// that is closed over several of them locks up.
type life struct {
	ctx    context.Context
	cancel context.CancelFunc

	mu       sync.Mutex
	ending   bool
	sleepers int
	idle     chan struct{} // closed when ending and no sleeper is left
}

func newLife() *life {
	ctx, cancel := context.WithCancel(context.Background())
	return &life{ctx: ctx, cancel: cancel, idle: make(chan struct{})}
}

// enter counts a request that will sleep; false when it is too late for that.
func (l *life) enter() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ending {
		return false
	}
	l.sleepers++
	return true
}

// sleep waits for d, or for the life to end.
func (l *life) sleep(d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-l.ctx.Done():
	}
}

func (l *life) leave() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sleepers--
	if l.ending && l.sleepers == 0 {
		close(l.idle)
	}
}

// end wakes the sleepers and waits for them. It may be called again.
func (l *life) end() {
	l.mu.Lock()
	if !l.ending {
		l.ending = true
		l.cancel()
		if l.sleepers == 0 {
			close(l.idle)
		}
	}
	l.mu.Unlock()
	<-l.idle
}
