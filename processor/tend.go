package processor

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/tarnstream/tarn/internal/kafka"
	"github.com/tarnstream/tarn/observe"
	"github.com/tarnstream/tarn/state"
)

// What the owner of a table hears of its log while it runs. A restore judges the log by Bounds.Plan; the owner, who
// writes the log's end, needs five things of it: that rows below a risen log start go, as they do for whoever restores
// the table now; that a topic that was made again is restored; that what another writer has put there is found, such as an
// old owner whose last request was long on its way, which would else be seen by the next commit only (singleWriter); that a log which
// was truncated and has grown again, to where it stood, is another one; and, for a later start, until when the table was known to be
// current and which leader epoch its last record has.
const (
	// tendEvery is how often the broker is asked about a table.
	tendEvery = 30 * time.Second
	// restampAfter is how old the known-current time on disk may get while a table is idle.
	restampAfter = time.Minute
	// tendPatience keeps tables whose broker is away from the time of the others.
	tendPatience = time.Second
	// epochPatience bounds what a flush waits for an epoch. Without it a start rebuilds the table: it is asked for again with
	// the next flush, and a stop waits longer, for all its tables together.
	epochPatience     = 200 * time.Millisecond
	lastEpochPatience = 2 * time.Second
	epochRetry        = 50 * time.Millisecond
)

// What restarts a task, beside errOtherWriter.
var (
	errRemade    = errors.New("processor: a table's topic was deleted and created again")
	errTruncated = errors.New("processor: a table's topic ends before what was read and written")
)

// tends has a goroutine of its own, since a broker that is away must not hold up the flushes of tables that others lead.
func (f *flusher) tends(ctx context.Context) error {
	every(ctx, f.env.conf.flushInterval, func() {
		for _, t := range f.env.tasks.all() {
			if t.state.Load() != taskRunning {
				continue
			}
			if err := f.tend(ctx, t); err != nil && t.lease.Err() == nil && ctx.Err() == nil {
				f.env.fail(err)
			}
		}
	})
	return nil
}

// tend asks about a task's tables. Trouble with the broker is left to the next turn; an error is the disk's.
func (f *flusher) tend(ctx context.Context, t *task) error {
	ctx, cancel := until(ctx, t.lease)
	defer cancel()
	for i, c := range t.cells {
		asked := f.env.now()
		position, due := c.due(asked)
		if !due {
			continue
		}
		b, err := f.bounds(ctx, c)
		if err != nil {
			return nil
		}
		risen, outrun := c.heard(b, asked, position)
		if outrun == nil {
			outrun = f.compare(ctx, c, b.LeaderEpoch)
		}
		switch {
		case errors.Is(outrun, errOtherWriter) && f.env.commit.single.suspect(t, i, b.Stable):
		case outrun != nil:
			f.env.tasks.startAgain(t, outrun)
			return nil
		case risen:
			err = f.sweep(ctx, t, c, b.Start)
		}
		if err != nil {
			return fmt.Errorf("processor: group %s: sweep %s/%d: %w", f.env.group.Name, c.topic, c.partition, err)
		}
	}
	return nil
}

func (f *flusher) bounds(ctx context.Context, c *cell) (state.Bounds, error) {
	ctx, cancel := context.WithTimeout(ctx, tendPatience)
	defer cancel()
	cursor := f.env.reader.Open(c.topic, c.partition, nil)
	defer cursor.Close()
	return cursor.Bounds(ctx)
}

// compare looks whether the log has what the table took in last, once for each epoch of its leaders: only with another one can it have
// been truncated. What cannot be seen now is left to the next turn.
func (f *flusher) compare(ctx context.Context, c *cell, leader int32) error {
	x, due := c.vouched(leader)
	if !due {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, tendPatience)
	defer cancel()
	cursor := f.env.reader.Open(c.topic, c.partition, nil)
	defer cursor.Close()
	b, err := cursor.BatchAt(ctx, x.applied)
	if err == nil {
		err = x.inspect().anchor(&b)
	}
	if c.compared(&x, leader, err) {
		return c.reset(nil, "another history has what was written")
	}
	return nil
}

// sweep removes a table's rows below a log start, on disk and from what the task has read.
func (f *flusher) sweep(ctx context.Context, t *task, c *cell, below int64) error {
	rows, err := c.sweep(ctx, below)
	if rows == 0 {
		return err
	}
	t.outdated.Store(true)
	t.nudge()
	observe.Tell(f.env.conf.observe.Swept, observe.Swept{Place: f.env.place(c.topic, c.partition), Rows: rows})
	return err
}

// due tells whether it is time to ask the broker about the table, and at which position that is.
func (c *cell) due(now time.Time) (position int64, due bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.check.Position, now.Sub(c.asked) >= tendEvery
}

// heard takes note of what the broker said when it was asked at a position: outrun is why the table is not what its log says,
// because that is another topic's, or ends elsewhere while nothing was written here meanwhile; risen, where there are rows to be swept.
func (c *cell) heard(b state.Bounds, asked time.Time, position int64) (risen bool, outrun error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.asked = asked
	unknown := state.TopicID{}
	if b.TopicID != unknown && c.check.TopicID != unknown && b.TopicID != c.check.TopicID {
		return false, errRemade
	}
	retention := min(b.DeleteRetention, c.check.DeleteRetention) // the smallest since the known-current time
	known := c.check.KnownCurrent
	old := known.After(asked) || asked.Sub(known) >= restampAfter // a time after our clock is none (R44)
	last := c.reach()
	if old && b.End != state.UnknownOffset && b.End <= last {
		c.check.KnownCurrent, retention, c.restamped = asked, b.DeleteRetention, true
	}
	c.restamped = c.restamped || retention != c.check.DeleteRetention || c.lacksEpoch(c.check, c.last)
	c.check.DeleteRetention = retention
	if still := c.check.Position == position && c.sealed.len() == 0; still {
		switch {
		case b.End != state.UnknownOffset && b.End < position:
			return false, errTruncated
		case b.Stable > last: // what is in an open transaction is none of the table's records yet
			return false, errOtherWriter
		}
	}
	return b.Start > c.check.LogStart, nil
}

// vouched gives what the log is to have, where that is due in an epoch.
func (c *cell) vouched(leader int32) (x stretch, due bool) {
	x = c.stretch(nil)
	c.mu.RLock()
	defer c.mu.RUnlock()
	return x, leader > c.leader && x.applied >= 0 && (x.record != kafka.NoRecord || x.epoch >= 0)
}

// compared notes what was seen of it, in an epoch that will tell no more, and tells whether the log is another one. That counts if
// nothing was written meanwhile.
func (c *cell) compared(x *stretch, leader int32, err error) (other bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err == nil || errors.Is(err, errUnsure) {
		c.leader = leader
	}
	return errors.Is(err, errOtherLog) && c.check.LastApplied == x.applied && c.last.record == x.record
}

// sweep removes the rows below a log start from the store, behind those that are not there yet. While the log begins above
// the position, a commit is under way whose rows would come too late to be swept: then nothing is done, and the next time
// it is heard of will do.
func (c *cell) sweep(ctx context.Context, below int64) (rows int, err error) {
	release, err := c.exclusive(ctx)
	if err != nil {
		return 0, err
	}
	defer release()
	if c.reached() < below {
		return 0, nil
	}
	if _, _, err := c.write(ctx, epochPatience); err != nil {
		return 0, err
	}
	rows, err = c.store.Sweep(below)
	if err != nil {
		return rows, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.check.LogStart = max(c.check.LogStart, below)
	if c.check.Position < below { // the marker is gone with the rest
		c.check.Position, c.last.marked, c.restamped = below, false, true
	}
	return rows, nil
}

// reached is where the log ends if nobody else writes and no commit is under way.
func (c *cell) reached() int64 {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.reach()
}

func (c *cell) reach() int64 {
	if c.last.marked {
		return c.check.Position + 1
	}
	return c.check.Position
}

// lacksEpoch tells whether a checkpoint has an epoch to be read back: of a record that the log still has, or of the marker
// behind it.
func (c *cell) lacksEpoch(check state.Checkpoint, last tail) bool {
	return c.epochAt != nil && check.LastApplied >= max(check.LogStart, 0) && (last.marked || check.LastAppliedEpoch == state.UnknownEpoch)
}

// withEpoch completes a checkpoint that is about to be written. The epoch is read back from the log, not taken from what
// brokers say of their leaders: those may know of an election late. It counts where the log has there what this process wrote.
// The marker of a transaction is passed with it, so that the next start has nothing to read.
func (c *cell) withEpoch(ctx context.Context, patience time.Duration, check state.Checkpoint, last tail) state.Checkpoint {
	if !c.lacksEpoch(check, last) {
		return check
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	written, passed := check.LastApplied, false
	epoch, ok := c.epochAt(ctx, written, tail{record: last.record})
	if !ok {
		return check
	}
	check.ReadBack(epoch)
	if last.marked {
		if epoch, passed = c.epochAt(ctx, check.Position, last); passed {
			check.Applied(check.Position)
			check.ReadBack(epoch)
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.check.LastApplied == written {
		c.check.Position = max(c.check.Position, check.Position) // it may have passed what was another writer's
		c.check.LastApplied, c.check.LastAppliedEpoch = check.LastApplied, check.LastAppliedEpoch
		c.last.marked = c.last.marked && !passed
	}
	return check
}

// epochOf gives the epochAt of a table partition.
func (e *environment) epochOf(topic string, partition int32) func(ctx context.Context, offset int64, what tail) (int32, bool) {
	return func(ctx context.Context, offset int64, what tail) (int32, bool) {
		cursor := e.reader.Open(topic, partition, nil)
		defer cursor.Close()
		ask := cursor.EpochAt
		if what.marked {
			ask = cursor.MarkerEpochAt
		}
		for {
			epoch, err := ask(ctx, offset, what.record)
			if err == nil {
				return epoch, true
			}
			if !pause(ctx, epochRetry) {
				e.log.Debug("leader epoch not read back", "topic", topic, "partition", partition, "offset", offset, "error", err)
				return 0, false
			}
		}
	}
}
