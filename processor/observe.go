package processor

import (
	"log/slog"
	"time"

	"github.com/tarnstream/tarn/observe"
	"github.com/tarnstream/tarn/state"
)

// Observe hands over an Observer of a Processor or a View; given several times, all are told.
func Observe(o observe.Observer) Option {
	return func(c *config) { c.observe = c.observe.Tee(o) }
}

// restoreOptions makes a restore tell the log and the observer what it does.
func (c *config) restoreOptions(at observe.Place, log *slog.Logger) state.RestoreOptions {
	return state.RestoreOptions{Topic: at.Topic, Partition: at.Partition, HangDeadline: hangDeadline,
		Observer: logObserver(log).Tee(restoreObserver(at, c.observe))}
}

// hangDeadline leaves room for a transaction of another producer with Kafka's default time-out (60 s) and the broker's
// scan for timed out ones (10 s).
const hangDeadline = 2 * time.Minute

// restoreObserver tells o what a restore at a place tells.
func restoreObserver(at observe.Place, o observe.Observer) state.Observer {
	restore := func(tell func(observe.Restore)) func(state.Outcome) {
		return func(out state.Outcome) {
			observe.Tell(tell, observe.Restore{Place: at, Plan: out.Plan, Outcome: out})
		}
	}
	return state.Observer{
		Planned:  func(p state.Plan) { observe.Tell(o.RestorePlanned, observe.Restore{Place: at, Plan: p}) },
		Progress: restore(o.RestoreProgress),
		Reset:    func(err error) { observe.Tell(o.Reset, observe.Reset{Place: at, Cause: err}) },
		Swept:    func(rows int) { observe.Tell(o.Swept, observe.Swept{Place: at, Rows: rows}) },
		Ready:    restore(o.RestoreDone),
		Quarantined: func(path string, cause error) {
			observe.Tell(o.Quarantined, observe.Quarantined{Place: at, Path: path, Cause: cause})
		},
	}
}

func logObserver(log *slog.Logger) state.Observer {
	return state.Observer{
		Planned: func(p state.Plan) {
			log.Info("restore planned", "decision", p.Decision.String(), "cause", p.Cause, "position", p.Position, "end", p.End)
		},
		Reset: func(err error) { log.Warn("the log is not what was read before", "error", err) },
		Swept: func(rows int) { log.Info("rows below the log start removed", "rows", rows) },
		Ready: func(o state.Outcome) {
			log.Info("table is current", "position", o.Position, "applied", o.Records, "took", o.Took)
			if o.Unproven {
				log.Warn("tombstones unproven: the rebuild took longer than delete.retention.ms and met holes; a deleted key may be served")
			}
			if o.NullKeys > 0 {
				log.Warn("records with a null key skipped in the table's topic", "records", o.NullKeys)
			}
		},
	}
}
