package processor

import (
	"log/slog"
	"time"

	"github.com/tarnstream/tarn/state"
)

// OnRestore makes fn an observer of every restore of a table partition, in a Processor or a View. Its funcs are called
// from the restoring goroutine and must not block.
func OnRestore(fn func(table string, partition int32) state.Observer) Option {
	return func(c *config) { c.onRestore = fn }
}

// restoreOptions makes a restore tell the log and the user's observer what it does.
func (c *config) restoreOptions(table string, partition int32, log *slog.Logger) state.RestoreOptions {
	o := state.RestoreOptions{Topic: table, Partition: partition, Observer: logObserver(log), HangDeadline: hangDeadline}
	if c.onRestore != nil {
		o.Observer = o.Observer.Tee(c.onRestore(table, partition))
	}
	return o
}

// hangDeadline leaves room for a transaction of another producer with Kafka's default time-out (60 s) and the broker's
// scan for timed out ones (10 s).
const hangDeadline = 2 * time.Minute

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
