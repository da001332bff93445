package processor

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"sync"

	"github.com/tarnstream/tarn/internal/kafka"
)

// fence keeps tasks from asking where the group stands before this process alone can write for it (exactly-once).
//
// The naive order reads the committed offsets, restores the table, and gets the producer's epoch with the first commit. A
// transaction that an earlier incarnation of this process left open is then ended in between: the table has what the offsets
// do not say, or the other way round, and records count twice or not at all. The rule: join, then the epoch, which ends
// what was open; then the offsets, which wait for transactions of others to end; then the table's end, and the restore to it.
type fence struct {
	mu     sync.Mutex
	up     chan struct{} // closed while the producer has an epoch
	barred bool          // another process may have our id: the group has to say first whether we still have tasks
	asked  chan struct{} // a task waits
}

func newFence() *fence { return &fence{up: make(chan struct{}), asked: make(chan struct{}, 1)} }

// pass waits until the producer has an epoch.
func (f *fence) pass(ctx context.Context) error {
	f.mu.Lock()
	up := f.up
	f.mu.Unlock()
	notify(f.asked)
	select {
	case <-up:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// closed tells whether an epoch is wanted and may be taken.
func (f *fence) closed() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return !isClosed(f.up) && !f.barred
}

// isUp tells whether commits may go on; at-least-once has no fence.
func (f *fence) isUp() bool {
	if f == nil {
		return true
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return isClosed(f.up)
}

func (f *fence) open() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !isClosed(f.up) {
		close(f.up)
	}
}

// shut makes tasks wait again; barred until unbar says that the group has given us tasks anew.
func (f *fence) shut(barred bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if isClosed(f.up) {
		f.up = make(chan struct{})
	}
	f.barred = f.barred || barred
}

func (f *fence) unbar() {
	f.mu.Lock()
	f.barred = false
	f.mu.Unlock()
	notify(f.asked)
}

// transactionalID is the group's and the process's own: whoever comes after it with the same state directory ends what it
// has left open. Without a directory nobody can come after it.
func (e *environment) transactionalID() string {
	if e.dir == nil {
		return e.group.Name + "-" + rand.Text()
	}
	return e.group.Name + "-" + e.dir.InstanceID()
}

// needsTransactions is what is said where there are none, or none may be made.
func needsTransactions(group string, cause error) error {
	return fmt.Errorf("processor: group %s: exactly-once needs transactions (processor.AtLeastOnce does without): %w", group, cause)
}

// begin gets the producer an epoch, for tasks that wait for it.
func (c *committer) begin(ctx context.Context) error {
	if !c.fence.closed() {
		return nil
	}
	if err := c.makeProducer(ctx); err != nil {
		return err
	}
	if err := c.producer.Recover(ctx, true); err != nil {
		if errors.Is(err, kafka.ErrProducerFenced) { // in the middle of it
			return c.aborted(ctx, nil, err)
		}
		if failed, _ := errors.AsType[*kafka.TransactionError](err); failed != nil && failed.Final {
			return needsTransactions(c.env.group.Name, err)
		}
		return fmt.Errorf("processor: group %s: %w", c.env.group.Name, err)
	}
	c.fence.open()
	return nil
}

// transact writes a turn in one transaction.
func (c *committer) transact(ctx context.Context, turn []*sealed) error {
	return c.producing(turn, func(batches []kafka.OutBatch) error {
		return c.producer.Transact(ctx, kafka.Txn{Batches: batches, Group: c.env.group.Name, Offsets: offsetsOf(turn), Member: c.env.claimOf(tasksOf(turn)...)})
	})
}

// aborted drops a commit that was aborted, or whose outcome nobody knows: its tasks start again from their checkpoints. First
// the producer gets another epoch, which ends what is open in their tables' topics. Where another process has taken our id
// the group is asked first: all tasks are lost then, and those that come back wait for an epoch.
func (c *committer) aborted(ctx context.Context, turn []*sealed, why error) error {
	switch {
	case errors.Is(why, kafka.ErrProducerFenced):
		c.fence.shut(true)
		for _, s := range turn {
			s.task.lose() // as the group will say, unless it is being stopped
		}
		c.env.member.Rejoin(why)
		return nil
	case errors.Is(why, kafka.ErrUnknownMember), errors.Is(why, kafka.ErrFencedInstance):
		c.env.member.Rejoin(why)
	}
	c.fence.shut(false)
	err := c.producer.Recover(ctx, false)
	if errors.Is(err, kafka.ErrProducerFenced) {
		return c.aborted(ctx, turn, err)
	}
	if err != nil {
		return fmt.Errorf("processor: group %s: after %w: %w", c.env.group.Name, why, err)
	}
	c.fence.open()
	c.restart(turn, why)
	return nil
}
