package processor

import (
	"context"
	"sync"
	"sync/atomic"
)

// ledger counts the memory of what callbacks have written, of all tasks, from the record in hand to the disk, and of rebuilds
// that have their turn. Past its limit tasks wait, and what they wait for is a commit and a flush: neither needs anything of
// the ledger, but a commit needs the callbacks in hand to return. What it does not need now others may have until it does.
type ledger struct {
	limit   int64
	freed   func() // called, without a lock, when it is no more full
	pressed func() // called, without a lock, when a reservation has to wait
	shifted func() // called, without a lock, when idle may be another. It falls at once, and rises when it can by two steps

	isFull atomic.Bool
	room   atomic.Int64 // limit without what is reserved
	spare  atomic.Int64 // what is left of it, in steps, as shifted was told

	mu       sync.Mutex // guards what follows
	held     int64
	pending  int64         // of held: in Kafka, not on disk
	reserved int64         // for rebuilds
	fell     chan struct{} // closed when held or reserved falls; nil while nobody waits
}

// idleStep keeps shifted from being called for every change.
const idleStep = 1 << 20

// full tells that tasks have to wait. It is asked with every record.
func (l *ledger) full() bool { return l.isFull.Load() }

// count changes what is counted, and tells whom it concerns.
func (l *ledger) count(held, pending, reserved int64) {
	l.mu.Lock()
	freed, shifted := l.change(held, pending, reserved)
	l.mu.Unlock()
	if freed {
		l.freed()
	}
	if shifted {
		l.shifted()
	}
}

// change changes what is counted, with mu held, and tells whether tasks need not wait any more, and whether idle is another.
func (l *ledger) change(held, pending, reserved int64) (freed, shifted bool) {
	l.held, l.pending, l.reserved = l.held+held, l.pending+pending, l.reserved+reserved
	if (held < 0 || reserved < 0) && l.fell != nil {
		close(l.fell)
		l.fell = nil
	}
	room := l.limit - l.reserved
	l.room.Store(room)
	if full := l.held >= room; full != l.isFull.Load() {
		l.isFull.Store(full)
		freed = !full
	}
	spare := max(room-l.held, 0) / idleStep
	if told := l.spare.Load(); spare < told || spare > told+1 {
		l.spare.Store(spare)
		shifted = true
	}
	return freed, shifted
}

// idle is what neither changes nor rebuilds need now: a step less, so that changes that make no whole step have room while it is
// taken back.
func (l *ledger) idle() int64 { return max(l.spare.Load()-1, 0) * idleStep }

// unflushed is what waits for the disk.
func (l *ledger) unflushed() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.pending
}

// bytes is what is counted now: changes and rebuilds.
func (l *ledger) bytes() (held, reserved int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.held, l.reserved
}

func (l *ledger) add(held, pending int64) { l.count(held, pending, 0) }

// reserve makes room: tasks have to do with less from now on, and it returns when they do.
func (l *ledger) reserve(ctx context.Context, bytes int64) error {
	l.count(0, 0, bytes)
	l.mu.Lock()
	for l.held > l.limit-l.reserved {
		if l.fell == nil {
			l.fell = make(chan struct{})
		}
		fell := l.fell
		l.mu.Unlock()
		l.pressed()
		select {
		case <-fell:
		case <-ctx.Done():
			l.release(bytes)
			return context.Cause(ctx)
		}
		l.mu.Lock()
	}
	l.mu.Unlock()
	return nil
}

func (l *ledger) release(bytes int64) { l.count(0, 0, -bytes) }

// account is one task's part of the ledger. What is left of it when the task has closed is taken off, and what still comes
// is not counted: a commit or a flush may end later than its task.
type account struct {
	ledger *ledger

	mu            sync.Mutex
	closed        bool
	held, pending int64
}

func (a *account) add(held, pending int64) {
	if held == 0 && pending == 0 {
		return
	}
	a.mu.Lock()
	closed := a.closed
	if !closed {
		a.held += held
		a.pending += pending
	}
	a.mu.Unlock()
	if !closed {
		a.ledger.add(held, pending)
	}
}

// moved counts what is in Kafka and not on disk.
func (a *account) moved(bytes int) {
	if a != nil {
		a.add(int64(bytes), int64(bytes))
	}
}

func (a *account) close() {
	a.mu.Lock()
	held, pending := a.held, a.pending
	a.closed, a.held, a.pending = true, 0, 0
	a.mu.Unlock()
	a.ledger.add(-held, -pending)
}
