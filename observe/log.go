package observe

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"
)

// Log gives an Observer that writes every event to logger: debug for what is ordinary many times a minute (commit, flush),
// info for what an operator follows (restore, rebalance), warn for what is mended but worth a look (resets, stale reads,
// other hashes, records set aside), error for a record that ends the run and for records that go unread. How far a restore
// has come is written every few seconds at most, and records of one partition that do not end the run once a second. A
// Processor and a View have one of their own.
func Log(logger *slog.Logger) Observer {
	l := &logObserver{log: logger, told: map[Place]time.Duration{}, failed: map[Place]failed{}}
	return Observer{
		RestorePlanned:  l.restorePlanned,
		RestoreProgress: l.restoreProgress,
		RestoreDone:     l.restoreDone,
		Reset:           l.reset,
		Swept:           l.swept,
		Quarantined:     l.quarantined,
		StoreRemoved:    l.storeRemoved,
		Rebalance:       l.rebalance,
		Commit:          l.commit,
		Flush:           l.flush,
		RecordError:     l.recordError,
		HashMismatch:    l.hashMismatch,
		ForeignRecords:  l.foreignRecords,
		StaleRead:       l.staleRead,
	}
}

type logObserver struct {
	log *slog.Logger

	mu   sync.Mutex
	told map[Place]time.Duration // the restores under way, and how long each had taken when it was written of last

	failed map[Place]failed // inputs with records that cannot be handled
}

// failed is when a line was last written of a record of an input, and how many records have failed without one since.
type failed struct {
	at     time.Time
	untold int
}

func (l *logObserver) write(level slog.Level, text string, args ...any) {
	l.log.Log(context.Background(), level, text, args...)
}

// at writes of a partition.
func (l *logObserver) at(p Place, level slog.Level, text string, args ...any) {
	l.write(level, text, append([]any{"group", p.Group, "topic", p.Topic, "partition", p.Partition}, args...)...)
}

func (l *logObserver) restorePlanned(r Restore) {
	l.mu.Lock()
	l.told[r.Place] = 0
	l.mu.Unlock()
	l.at(r.Place, slog.LevelInfo, "restore planned", "decision", r.Plan.Decision.String(), "cause", r.Plan.Cause,
		"position", r.Plan.Position, "end", r.Plan.End, "left", r.Plan.End-r.Plan.Position)
}

// progressEvery is the least time between two lines of one restore.
const progressEvery = 5 * time.Second

// restoreProgress is told of every answer, and by a follower also after its restore: such an answer is no line.
func (l *logObserver) restoreProgress(r Restore) {
	p := r.Progress
	l.mu.Lock()
	last, under := l.told[r.Place]
	due := under && p.Took-last >= progressEvery
	if due {
		l.told[r.Place] = p.Took
	}
	l.mu.Unlock()
	if !due {
		return
	}
	args := []any{"position", p.Position, "end", p.End, "left", p.End - p.Position, "rate", fmt.Sprintf("%.0f offsets/s", p.Rate)}
	if left, known := p.Remaining(); known {
		args = append(args, "remaining", left)
	}
	l.at(r.Place, slog.LevelInfo, "restore goes on", args...)
}

func (l *logObserver) restoreDone(r Restore) {
	l.mu.Lock()
	delete(l.told, r.Place)
	l.mu.Unlock()
	l.at(r.Place, slog.LevelInfo, "table is current", "decision", r.Plan.Decision.String(),
		"position", r.Outcome.Position, "applied", r.Progress.Records, "took", r.Progress.Took)
	if r.Outcome.Unproven {
		l.at(r.Place, slog.LevelWarn, "tombstones unproven: the rebuild took longer than delete.retention.ms and met holes; a deleted key may be served")
	}
	if r.Outcome.NullKeys > 0 {
		l.at(r.Place, slog.LevelWarn, "records with a null key skipped in the table's topic", "records", r.Outcome.NullKeys)
	}
}

func (l *logObserver) reset(r Reset) {
	level, args := slog.LevelWarn, []any{"error", r.Cause}
	if r.From != r.To { // records that nobody has read
		level, args = slog.LevelError, append(args, "from", r.From, "to", r.To)
	}
	l.at(r.Place, level, "the log is not what was read before", args...)
}

func (l *logObserver) swept(s Swept) {
	l.at(s.Place, slog.LevelInfo, "rows below the log start removed", "rows", s.Rows)
}

func (l *logObserver) quarantined(q Quarantined) {
	l.at(q.Place, slog.LevelWarn, "store quarantined, it will be rebuilt", "path", q.Path, "cause", q.Cause)
}

func (l *logObserver) storeRemoved(s StoreRemoved) {
	l.at(s.Place, slog.LevelInfo, "store of a partition that moved away removed", "knownCurrent", s.KnownCurrent)
}

func (l *logObserver) rebalance(r Rebalance) {
	level, text := slog.LevelInfo, "group member "+r.Kind
	switch {
	case r.Kind == Restarted:
		level, text = slog.LevelWarn, "task starts again from its checkpoint"
	case r.Kind == Lost, r.Kind == Idle, r.Kind == Left && r.Cause != nil:
		level = slog.LevelWarn
	}
	args := []any{"group", r.Group, "member", r.Member, "generation", r.Generation}
	if r.Tasks != nil {
		args = append(args, "tasks", r.Tasks)
	}
	l.write(level, text, withCause(args, r.Cause)...)
}

func withCause(args []any, cause error) []any {
	if cause == nil {
		return args
	}
	return append(args, "cause", cause)
}

func (l *logObserver) commit(c Commit) {
	args := []any{"group", c.Group, "tasks", c.Tasks, "records", c.Records, "bytes", c.Bytes, "took", c.Took}
	if c.Err != nil {
		l.write(slog.LevelWarn, "commit failed or its outcome is unknown", withCause(args, c.Err)...)
		return
	}
	l.write(slog.LevelDebug, "commit", args...)
}

func (l *logObserver) flush(f Flush) {
	args := []any{"rows", f.Rows, "bytes", f.Bytes, "took", f.Took}
	if f.Err != nil {
		l.at(f.Place, slog.LevelWarn, "flush failed; what is on disk is right, only older", withCause(args, f.Err)...)
		return
	}
	l.at(f.Place, slog.LevelDebug, "flush", args...)
}

func (l *logObserver) recordError(e RecordError) {
	level, untold := slog.LevelError, 0
	if e.Action != "fail" {
		level = slog.LevelWarn
		var due bool
		if untold, due = l.untold(e.Place); !due {
			return
		}
	}
	args := []any{"offset", e.Offset, "key", shown(e.Key), "action", e.Action, "attempt", e.Attempt, "kind", e.Kind, "cause", e.Cause}
	if untold > 0 {
		args = append(args, "others since", untold)
	}
	l.at(e.Place, level, "record cannot be handled", args...)
}

// untold tells whether a line is due of a failed record, and how many failed since the last one.
func (l *logObserver) untold(at Place) (n int, due bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f := l.failed[at]
	if time.Since(f.at) < time.Second {
		f.untold++
		l.failed[at] = f
		return 0, false
	}
	l.failed[at] = failed{at: time.Now()}
	return f.untold, true
}

func (l *logObserver) hashMismatch(m HashMismatch) {
	l.at(m.Place, slog.LevelWarn, "a producer hashes keys otherwise: rows of one key may be kept by several tasks, or not be found",
		"offset", m.Offset, "key", shown(m.Key), "belongs", m.Belongs, "hash", m.Hash)
}

// mostKeys bounds the keys in a line.
const mostKeys = 10

func (l *logObserver) foreignRecords(f ForeignRecords) {
	if len(f.Records) == 0 {
		return
	}
	var keys []string
	var producers []int64
	for _, r := range f.Records {
		if key := shown(r.Key); len(keys) < mostKeys && !slices.Contains(keys, key) {
			keys = append(keys, key)
		}
		if len(producers) < mostKeys && !slices.Contains(producers, r.Producer) {
			producers = append(producers, r.Producer)
		}
	}
	l.at(f.Place, slog.LevelWarn, "another writer's records in the table's topic: the owner's rows are written again", "records", len(f.Records),
		"first", f.Records[0].Offset, "last", f.Records[len(f.Records)-1].Offset, "keys", keys, "producers", producers, "rewritten", f.Rewritten)
}

func (l *logObserver) staleRead(s StaleRead) {
	l.at(s.Place, slog.LevelWarn, "reads are answered from before", "cause", s.Cause)
}

// shown is a key as a line has it: keys are any bytes, of any length.
func shown(key []byte) string { return fmt.Sprintf("%.64q", key) }
