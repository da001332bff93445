package processor

import (
	"errors"
	"slices"
	"time"

	"github.com/tarnstream/tarn/internal/kafka"
	"github.com/tarnstream/tarn/observe"
	"github.com/tarnstream/tarn/state"
)

// Observe hands over an Observer of a Processor or a View; given several times, all are told.
func Observe(o observe.Observer) Option {
	return func(c *config) { c.observers = append(c.observers, o) }
}

// watched makes the one observer that everything is told to: first the log, then the user's.
func (c *config) watched() observe.Observer {
	all := observe.Log(c.kafka.Logger)
	for _, o := range c.observers {
		all = all.Tee(o.Protect(c.kafka.Logger))
	}
	return all
}

// restoreOptions makes a restore tell m what it does, and then the observer, with what m makes of it.
func (c *config) restoreOptions(at observe.Place, m *tableMeter) state.RestoreOptions {
	return state.RestoreOptions{Topic: at.Topic, Partition: at.Partition, HangDeadline: hangDeadline,
		Observer: m.observer().Tee(restoreObserver(at, c.observe, m))}
}

// hangDeadline leaves room for a transaction of another producer with Kafka's default time-out (60 s) and the broker's
// scan for timed out ones (10 s).
const hangDeadline = 2 * time.Minute

// restoreObserver tells o what a restore at a place tells, of which m has heard.
func restoreObserver(at observe.Place, o observe.Observer, m *tableMeter) state.Observer {
	restore := func(tell func(observe.Restore)) func(state.Outcome) {
		return func(out state.Outcome) {
			observe.Tell(tell, observe.Restore{Place: at, Plan: out.Plan, Outcome: out, Progress: m.progress()})
		}
	}
	return state.Observer{
		Planned: func(p state.Plan) {
			observe.Tell(o.RestorePlanned, observe.Restore{Place: at, Plan: p, Progress: m.progress()})
		},
		Progress:    restore(o.RestoreProgress),
		Reset:       func(err error) { observe.Tell(o.Reset, observe.Reset{Place: at, Cause: err}) },
		Swept:       func(rows int) { observe.Tell(o.Swept, observe.Swept{Place: at, Rows: rows}) },
		Ready:       restore(o.RestoreDone),
		Quarantined: quarantineObserver(at, o).Quarantined,
	}
}

// quarantineObserver tells o what is set aside at a place when a store is opened.
func quarantineObserver(at observe.Place, o observe.Observer) state.Observer {
	return state.Observer{Quarantined: func(path string, cause error) {
		observe.Tell(o.Quarantined, observe.Quarantined{Place: at, Path: path, Cause: cause})
	}}
}

// rebalanceOf is an event of the membership in the words of package observe.
func rebalanceOf(group string, e kafka.MemberEvent) observe.Rebalance {
	r := observe.Rebalance{Group: group, Member: e.Member.ID, Generation: e.Member.Generation, Kind: string(e.Kind),
		Tasks: slices.Clone(e.Tasks), Cause: e.Cause}
	switch e.Kind {
	case kafka.MemberIdle:
		r.Kind, r.Cause = observe.Idle, errOtherTopology
	case kafka.MemberRetry:
		r.Kind = observe.Retry
	}
	return r
}

var errOtherTopology = errors.New("processor: the group's leader has another topology")

// tellCommit counts what a turn wrote and tells of it; with err it was not committed, or nobody knows.
func (c *committer) tellCommit(turn []*sealed, began time.Time, err error) {
	now := c.env.now()
	e := observe.Commit{Group: c.env.group.Name, Took: now.Sub(began), Err: err}
	for _, s := range turn {
		e.Tasks = append(e.Tasks, s.task.partition)
		for i := range s.batches {
			b, size := &s.batches[i], s.batches[i].Bytes()
			e.Records, e.Bytes = e.Records+b.Len(), e.Bytes+size
			if err == nil {
				s.task.meter.wrote(b, size)
			}
		}
		if err == nil {
			s.task.meter.committed.Store(now.UnixNano())
		}
	}
	if err == nil {
		c.env.count.commits.Add(1)
		c.env.count.recordsOut.Add(int64(e.Records))
		c.env.count.bytesOut.Add(e.Bytes)
	}
	observe.Tell(c.env.conf.observe.Commit, e)
}
