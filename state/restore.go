package state

import (
	"context"
	"time"
)

// Outcome says how far a restore has come.
type Outcome struct {
	// Plan is the last plan that was carried out.
	Plan Plan
	// Position is the next offset to apply, End the one to be reached. The lag is End - Position.
	Position, End int64
	// Records counts the records applied, Deletes the tombstones among them, NullKeys the records skipped for having
	// no key, Bytes the size of what was applied.
	Records, Deletes, NullKeys, Bytes int64
	// Swept counts the rows removed because the log start rose, Resets the times the log had to be checked anew.
	Swept, Resets int
	// Unproven says that a rebuild took longer than delete.retention.ms and met holes: a deleted key may have come back.
	Unproven bool
	// Took is the time since the start.
	Took time.Duration
}

// RestoreOptions are the options of Restore and Follow. Topic and Partition are needed; zero is a good default for the rest.
type RestoreOptions struct {
	Topic     string
	Partition int32
	Observer  Observer
	// Changed, where set, is told each change of a row once reads show it, in the order of the log: was is the row before,
	// nil for none, and is what it is now, with a nil Value for none. What it is told, folded from nothing on, is what
	// the store shows. kind is "record" for a record of the log; "start" for each row there is when the store is current
	// for the first time; "rebuild", in key order, for each row in which a rebuild left the store different; and "sweep"
	// for a row below a risen log start. A row that goes by one of the last two has no offset and time of its own:
	// UnknownOffset. Bytes are good until it returns. An error ends the restore.
	Changed func(kind string, was *Row, is Record) error
	// Admit, where set, gives a rebuild its turn, and may wait for it: bytes is the memory it may take, and done is called
	// when it ends. The more it may take, the more records are overwritten before they cost a write. A rebuild that nothing
	// comes for gives its turn back and asks again when something does.
	Admit func(ctx context.Context) (bytes int, done func(), err error)
	// BatchBytes is the size at which a batch is written, 512 KiB by default, but for a rebuild that has a turn.
	BatchBytes int
	// HangDeadline is how long a transaction may keep the end from being read before *HangingTransactionError,
	// 60 s by default. It must be longer than the producers' transaction.timeout.ms plus the broker's scan (10 s).
	HangDeadline time.Duration
	// Relist is how often Follow asks for the bounds afresh, 30 s by default.
	Relist time.Duration
	// Now is time.Now by default.
	Now func() time.Time
}

// Restore brings s up to the end of l as listed at its start, and returns then: the store equals the log up to
// Outcome.Position. On an error the store holds what it held, or a part of the tail more, and its checkpoint says so.
func Restore(ctx context.Context, s Store, l Log, o RestoreOptions) (Outcome, error) {
	return newShell(s, l, o, false).run(ctx)
}

// Follow does what Restore does and then goes on following the log until ctx ends, which is not an error.
// Observer.Ready tells when the store is current for the first time.
func Follow(ctx context.Context, s Store, l Log, o RestoreOptions) error {
	_, err := newShell(s, l, o, true).run(ctx)
	if ctx.Err() != nil {
		return nil
	}
	return err
}
