package processor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/tarnstream/tarn/internal/kafka"
	"github.com/tarnstream/tarn/internal/scope"
	"github.com/tarnstream/tarn/observe"
	"github.com/tarnstream/tarn/state"
)

// singleWriter keeps a table what its owner has made of it, when another has written to its topic (at-least-once).
//
// A process that no longer has a partition may write to its table all the same: its last request was long on its way, or
// the process stood still between the look at its claim and the request, and wakes. Without transactions no broker keeps
// it from that.
//
// The naive owner does not look where its records come to lie. Its rows are then others than the fold of the log, until it
// restarts: a table that changes by a restart. The next one reads what it has missed, and has the log decide. The two are
// the same then, but an old value has come over a newer one, whose input is committed: that record's effect is lost. The third,
// who is sure of itself, writes its own values over whatever it finds. But the zombie finds records as well, those of the
// owner, and is as sure: both write, and the last one wins. The rule:
//
//   - Kafka says where each record of a commit lies. Below what was expected, the log was truncated, and the task restores
//     its tables. Above it, what lies between is read, and first whether the log up to there is still the one that was
//     read and written.
//   - Markers, and records of aborted transactions, are of no account. Records of a transaction that is open are, since they
//     may be committed later, at those offsets.
//   - Records of other producers ask for a proof of who the owner is: the positions that the group has already are committed
//     once more, which its coordinator takes from no one but a member of the generation. It refuses a zombie, whose claim
//     ends with that, and who writes nothing more.
//   - The owner then writes its own value of each key that was written over, or a tombstone, behind them, before the
//     offsets of the commit; and looks where those records lie. No checkpoint passes a foreign record before. A restart
//     from any checkpoint, and whoever else reads the log, comes to the owner's rows.
//   - Records of the process's own that come late, of a commit that it gave up, are written over in the same way. They need
//     no proof, and are told to nobody.
//
// Before a write the group is not asked: the claim is looked at instead, which ends by the clock before the group's session
// does, and with a session all leases end. A pause between that look and the request is what is left, and what the rule is for.
// A crash between a foreign record and the write behind it leaves the foreign value.
//
// A nil singleWriter checks nothing: it is for processors whose producers the broker fences.
type singleWriter struct {
	c *committer

	mu       sync.Mutex
	suspects []suspect
	ids      map[int64]bool // of producers that the committer has had
}

// suspect is a table that its owner has not written to when its log went on.
type suspect struct {
	task  *task
	table int
	end   int64
}

const (
	// mostRounds bounds how often in a row a commit writes behind somebody who goes on writing. A restore comes after that.
	mostRounds = 8
	// strayPatience is how long the other tasks' commits wait for what a table's log has.
	strayPatience = 10 * time.Second
)

func newSingleWriter(c *committer) *singleWriter { return &singleWriter{c: c, ids: map[int64]bool{}} }

// retire remembers the ids of a producer that is about to be closed.
func (w *singleWriter) retire(p *kafka.Producer) {
	if w == nil || p == nil {
		return
	}
	for _, id := range p.IDs() {
		w.ids[id] = true
	}
}

// check looks where the changes of a turn lie, after they were written and before its offsets are committed. A task that has to
// start again for it has s.outrun set. An error is that of a write or a commit.
func (w *singleWriter) check(ctx context.Context, turn []*sealed) error {
	if w == nil {
		return nil
	}
	for _, s := range turn {
		for i, c := range s.task.cells {
			if s.outrun != nil || !c.gap(s.tables[i]) {
				continue
			}
			if err := w.judge(ctx, s, i, c.stretch(s.tables[i])); err != nil {
				return err
			}
		}
	}
	return nil
}

// suspect has a table looked at whose log ends behind its position. It is false where nobody will.
func (w *singleWriter) suspect(t *task, table int, end int64) bool {
	if w == nil {
		return false
	}
	w.mu.Lock()
	w.suspects = append(w.suspects, suspect{t, table, end})
	w.mu.Unlock()
	w.c.kickNow()
	return true
}

// last asks for the ends of tables that are about to be given away, so that the next commit looks at those whose logs have gone
// on: a zombie that wakes comes back to its group, which may give it what its late records have come into.
func (w *singleWriter) last(ctx context.Context, given []*task) {
	if w == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, tendPatience) // for all of them
	defer cancel()
	for _, t := range given {
		if t.lease.Err() != nil || t.frame == nil {
			continue
		}
		for i, c := range t.cells {
			end, err := w.end(ctx, c)
			if err != nil {
				t.log.Debug("end of a table's log not known before it is given away", "table", c.topic, "error", err)
			}
			if err == nil && end > c.position() {
				w.suspect(t, i, end)
			}
		}
	}
}

func (w *singleWriter) end(ctx context.Context, c *cell) (int64, error) {
	cursor := w.c.env.reader.Open(c.topic, c.partition, nil)
	defer cursor.Close()
	return cursor.Stable(ctx)
}

// examine looks at the suspects, between two commits.
func (w *singleWriter) examine(ctx context.Context) error {
	if w == nil {
		return nil
	}
	w.mu.Lock()
	suspects := w.suspects
	w.suspects = nil
	w.mu.Unlock()
	for _, x := range suspects {
		if err := w.examineOne(ctx, x); err != nil {
			return fmt.Errorf("processor: group %s: write behind another writer: %w", w.c.env.group.Name, err)
		}
	}
	return nil
}

func (w *singleWriter) examineOne(ctx context.Context, x suspect) error {
	t, c := x.task, x.task.cells[x.table]
	at := c.stretch(nil)
	if at.to = x.end; at.from >= at.to || t.lease.Err() != nil {
		return nil // a commit has seen it, or it is no matter of ours
	}
	ctx, cancel := until(ctx, t.lease)
	defer cancel()
	s, began := &sealed{task: t, tables: make([][]scope.Change, len(t.cells))}, w.c.env.now()
	err := w.judge(ctx, s, x.table, at)
	if len(s.batches) > 0 {
		w.c.tellCommit([]*sealed{s}, began, err)
	}
	switch {
	case ctx.Err() != nil:
		w.c.unknown(nil, err)
	case errors.Is(err, kafka.ErrOutcomeUnknown), errors.Is(err, kafka.ErrOffsetUnknown):
		w.c.unknown([]*sealed{s}, err)
	case err != nil:
		return err
	case s.outrun != nil:
		w.c.env.tasks.startAgain(t, s.outrun)
	default:
		w.promote(s)
	}
	return nil
}

// promote is committer.promote for what was written without a commit.
func (w *singleWriter) promote(s *sealed) {
	now := w.c.env.now()
	for i, c := range s.task.cells {
		grown := int64(s.promoteRewritten(i, c.consumed(), now))
		s.task.account.add(grown, grown)
	}
}

// promoteRewritten is cell.promote for what was written behind another writer.
func (s *sealed) promoteRewritten(table int, inputs *consumed, now time.Time) (grown int) {
	if s.rewritten == nil || len(s.rewritten[table]) == 0 {
		return 0
	}
	grown, _ = s.task.cells[table].promote(s.rewritten[table], inputs, now)
	return grown
}

// judge reads a stretch, and writes behind it what it takes for the table to be the fold of its log.
func (w *singleWriter) judge(ctx context.Context, s *sealed, table int, x stretch) error {
	env, c := w.c.env, s.task.cells[table]
	x.producers, x.most = w.producers(), int(env.budget.layers/4)
	if x.lower() {
		s.outrun = c.reset(x.changes, "it ends before what was written")
		return nil
	}
	var foreign []stray
	var v verdict
	for range mostRounds {
		var err error
		if v, err = w.read(ctx, c, &x); err != nil {
			return w.undecided(ctx, s, c, err)
		}
		others := v.foreign()
		foreign = append(foreign, others...)
		changes, err := c.rewrites(v.covered(x.changes), x.most, w.timely(c))
		if errors.Is(err, errUnsure) {
			return w.undecided(ctx, s, c, err)
		}
		if err != nil {
			return err
		}
		if len(others) > 0 {
			if err := w.prove(ctx, s.task); err != nil {
				return err
			}
		}
		if len(changes) == 0 {
			c.judged(&x, &v)
			w.tell(s, table, foreign)
			return nil
		}
		if err := w.write(ctx, s, table, changes); err != nil {
			return err
		}
		x = c.behind(&x, changes)
		if x.lower() {
			s.outrun = c.reset(changes, "it ends before what was written")
			return nil
		}
		if x.whole() {
			c.judged(&x, &v)
			w.tell(s, table, foreign)
			return nil
		}
	}
	s.outrun = errOtherWriter
	return nil
}

// undecided leaves a table to a restore, unless the commit itself has ended.
func (w *singleWriter) undecided(ctx context.Context, s *sealed, c *cell, err error) error {
	switch {
	case ctx.Err() != nil:
		return cmp.Or(context.Cause(ctx), err)
	case errors.Is(err, errOtherLog):
		s.outrun = c.reset(nil, "another history has what was written")
	default:
		s.outrun = fmt.Errorf("%w: %w", errOtherWriter, err)
	}
	return nil
}

// producers are the ids that batches of this process have had.
func (w *singleWriter) producers() map[int64]bool {
	w.retire(w.c.producer)
	return w.ids
}

func (w *singleWriter) read(ctx context.Context, c *cell, x *stretch) (verdict, error) {
	ctx, cancel := context.WithTimeout(ctx, strayPatience)
	defer cancel()
	cursor := w.c.env.reader.Open(c.topic, c.partition, nil)
	defer cursor.Close()
	i := x.inspect()
	if err := cursor.Between(ctx, i.begin(), x.to, i.take); err != nil {
		return verdict{}, err
	}
	return i.verdict(), nil
}

// prove commits the positions that the group has: it succeeds for nobody who is not a member of the generation. It waits
// until the group has an answer; the end of the lease ends it.
func (w *singleWriter) prove(ctx context.Context, t *task) error {
	unchanged := offsets{}
	for _, in := range t.inputs {
		if m := in.committed.Load(); m != nil {
			unchanged.put(in.topic, t.partition, *m)
		}
	}
	err := w.c.env.commitOffsets(ctx, w.c.env.claimOf(t), unchanged)
	return cmp.Or(err, context.Cause(ctx))
}

// timely gives the time of a record that a table's topic takes now: that of the row, if it can be.
func (w *singleWriter) timely(c *cell) func(int64) int64 {
	limits, now := w.c.env.limits[c.topic], w.c.env.now().UnixMilli()
	return func(at int64) int64 {
		if !limits.Timely(at) {
			return now
		}
		return at
	}
}

// write brings changes to the table's topic, and their offsets into them.
func (w *singleWriter) write(ctx context.Context, s *sealed, table int, changes []scope.Change) error {
	c := s.task.cells[table]
	one := &sealed{task: s.task, batches: []kafka.OutBatch{changelogBatch(c.topic, c.partition, changes)}}
	if err := w.c.produce(ctx, []*sealed{one}); err != nil {
		return err
	}
	b := one.batches[0]
	b.Rows.(*changelog).settle()
	c.rewritten(b.Last)
	c.unmark(changes)
	s.batches = append(s.batches, b) // they are of the commit
	if s.rewritten == nil {
		s.rewritten = make([][]scope.Change, len(s.task.cells))
	}
	s.rewritten[table] = append(s.rewritten[table], changes...)
	return nil
}

func (w *singleWriter) tell(s *sealed, table int, foreign []stray) {
	if len(foreign) == 0 {
		return
	}
	c, env := s.task.cells[table], w.c.env
	e := observe.ForeignRecords{Place: env.place(c.topic, c.partition)}
	if s.rewritten != nil {
		e.Rewritten = len(s.rewritten[table])
	}
	for _, f := range foreign {
		r := observe.ForeignRecord{Offset: f.offset, Producer: f.producer}
		if !f.null {
			r.Key = []byte(f.key)
		}
		e.Records = append(e.Records, r)
	}
	observe.Tell(env.conf.observe.ForeignRecords, e)
}

// stretch is from the cell's position to its own changes, or to nowhere without any.
func (c *cell) stretch(changes []scope.Change) stretch {
	c.mu.RLock()
	defer c.mu.RUnlock()
	x := stretch{from: c.check.Position, changes: changes, applied: c.check.LastApplied, record: c.last.record, epoch: c.check.LastAppliedEpoch}
	if x.applied < c.check.LogStart {
		x.applied = state.UnknownOffset
	}
	if n := len(changes); n > 0 {
		x.to = changes[n-1].Offset
	}
	return x
}

func (c *cell) position() int64 {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.check.Position
}

// behind is the next stretch after one that changes were written behind.
func (c *cell) behind(x *stretch, changes []scope.Change) stretch {
	end := state.Checkpoint{Position: x.to}
	if n := len(x.changes); n > 0 {
		end.Applied(x.changes[n-1].Offset)
	}
	return stretch{from: end.Position, to: changes[len(changes)-1].Offset, changes: changes, applied: state.UnknownOffset,
		record: kafka.NoRecord, epoch: state.UnknownEpoch, producers: x.producers, most: x.most}
}

// reset says that the log is not the one that was read and written.
func (c *cell) reset(changes []scope.Change, cause string) error {
	e := &state.LogResetError{Topic: c.topic, Partition: c.partition, Position: c.position(), Start: state.UnknownOffset, End: state.UnknownOffset, Cause: cause}
	if len(changes) > 0 {
		e.End = changes[0].Offset
	}
	return e
}

// rewrites are changes that give keys the values that they have, as Kafka has them but for strays. It is errUnsure where those
// take more than most bytes.
func (c *cell) rewrites(keys []string, most int, timely func(int64) int64) ([]scope.Change, error) {
	changes := make([]scope.Change, 0, len(keys))
	for _, key := range keys {
		v, ok := c.layered(key, false)
		ch := scope.Change{Key: key, Value: v.value, Delete: v.deleted, Timestamp: v.timestamp}
		if !ok {
			row, there, err := c.store.Get(bytesOf(key))
			if err != nil {
				return nil, err
			}
			ch = scope.Change{Key: key, Value: row.Value, Delete: !there, Timestamp: row.Timestamp}
			if !there {
				ch.Timestamp = scope.NoTimestamp
			}
		}
		ch.Timestamp = timely(ch.Timestamp)
		if most -= weight(&ch); most < 0 {
			return nil, errUnsure
		}
		changes = append(changes, ch)
	}
	return changes, nil
}

// rewritten notes which record was written last.
func (c *cell) rewritten(last kafka.RecordID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.placed = last
}

// unmark forgets what is on disk of rows: their changes have no mark from now on, since the task's own has not heard of what
// was written here.
func (c *cell) unmark(changes []scope.Change) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.unmarked == nil {
		c.unmarked = map[string]bool{}
	}
	for _, ch := range changes {
		c.unmarked[ch.Key] = true
	}
}

// judged lets the position pass what is none of the owner's in a stretch: with the owner's changes that are promoted next, or
// at once where there are none.
func (c *cell) judged(x *stretch, v *verdict) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.passable = x.to
	switch {
	case len(x.changes) > 0:
	case v.end == state.UnknownOffset:
		c.check.Position, c.restamped = x.to, true
	default:
		c.check.Applied(v.end)
		c.last, c.restamped = tail{record: v.last}, true
	}
}

// passes tells whether the log's next offset may be that of a change when a table is at a position.
func (c *cell) passes(position, offset int64) bool {
	return offset == position || position < offset && offset <= c.passable
}

// consumed is how far the newest commit has come in the inputs, nil where that is not known.
func (c *cell) consumed() *consumed {
	c.mu.RLock()
	defer c.mu.RUnlock()
	if c.check.Inputs == nil {
		return nil
	}
	return &consumed{c.check.Inputs, c.check.InputTopics}
}
