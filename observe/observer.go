package observe

import (
	"log/slog"
	"runtime/debug"
)

// Observer is told what happens. Any func may be nil. They are called from the goroutine that does the work, some from
// several at a time: they must not block, since heartbeats, commits and records wait for them. No lock is held meanwhile.
// A func that panics is logged as an error, with its stack, and called again with the next event: who watches cannot
// bring down what is watched.
type Observer struct {
	// RestorePlanned is called with every plan made for a table partition, also after a reset.
	RestorePlanned func(Restore)
	// RestoreProgress is called after every answer that brought a restore forward.
	RestoreProgress func(Restore)
	// RestoreDone is called when a table partition is current; while it is followed, again after each rebuild.
	RestoreDone func(Restore)
	// Reset is called when a log is not what was read so far: a table is rebuilt, or an input goes on elsewhere.
	Reset func(Reset)
	// Swept is called when a rise of the log start removed rows.
	Swept func(Swept)
	// Quarantined is called when a generation of a store was set aside.
	Quarantined func(Quarantined)
	// StoreRemoved is called when the store of a partition that others have now was removed because of its age.
	StoreRemoved func(StoreRemoved)
	// Rebalance is called when the membership of the group or the tasks of this process change.
	Rebalance func(Rebalance)
	// Commit is called after each commit to Kafka, Flush after each write of a table partition to disk.
	Commit func(Commit)
	Flush  func(Flush)
	// RecordError is called for each input record that could not be handled, with what is done about it.
	RecordError func(RecordError)
	// HashMismatch is called when an input, or a table that is only read, has a record whose key belongs to another
	// partition by the handle's hash.
	HashMismatch func(HashMismatch)
	// ForeignRecords is called when the owner of a table has found records of another writer in the table's topic, and has written
	// its own values behind them.
	ForeignRecords func(ForeignRecords)
	// StaleRead is called when a read is answered from a table that is known not to be current, once for each time that
	// this is so.
	StaleRead func(StaleRead)
}

// Tee gives an Observer that tells o first and then p.
func (o Observer) Tee(p Observer) Observer {
	return Observer{
		RestorePlanned:  tee(o.RestorePlanned, p.RestorePlanned),
		RestoreProgress: tee(o.RestoreProgress, p.RestoreProgress),
		RestoreDone:     tee(o.RestoreDone, p.RestoreDone),
		Reset:           tee(o.Reset, p.Reset),
		Swept:           tee(o.Swept, p.Swept),
		Quarantined:     tee(o.Quarantined, p.Quarantined),
		StoreRemoved:    tee(o.StoreRemoved, p.StoreRemoved),
		Rebalance:       tee(o.Rebalance, p.Rebalance),
		Commit:          tee(o.Commit, p.Commit),
		Flush:           tee(o.Flush, p.Flush),
		RecordError:     tee(o.RecordError, p.RecordError),
		HashMismatch:    tee(o.HashMismatch, p.HashMismatch),
		ForeignRecords:  tee(o.ForeignRecords, p.ForeignRecords),
		StaleRead:       tee(o.StaleRead, p.StaleRead),
	}
}

func tee[T any](f, g func(T)) func(T) {
	if f == nil {
		return g
	}
	if g == nil {
		return f
	}
	return func(v T) { f(v); g(v) }
}

// Protect gives an Observer that tells o and logs its panics.
func (o Observer) Protect(logger *slog.Logger) Observer {
	return Observer{
		RestorePlanned:  protect(logger, "RestorePlanned", o.RestorePlanned),
		RestoreProgress: protect(logger, "RestoreProgress", o.RestoreProgress),
		RestoreDone:     protect(logger, "RestoreDone", o.RestoreDone),
		Reset:           protect(logger, "Reset", o.Reset),
		Swept:           protect(logger, "Swept", o.Swept),
		Quarantined:     protect(logger, "Quarantined", o.Quarantined),
		StoreRemoved:    protect(logger, "StoreRemoved", o.StoreRemoved),
		Rebalance:       protect(logger, "Rebalance", o.Rebalance),
		Commit:          protect(logger, "Commit", o.Commit),
		Flush:           protect(logger, "Flush", o.Flush),
		RecordError:     protect(logger, "RecordError", o.RecordError),
		HashMismatch:    protect(logger, "HashMismatch", o.HashMismatch),
		ForeignRecords:  protect(logger, "ForeignRecords", o.ForeignRecords),
		StaleRead:       protect(logger, "StaleRead", o.StaleRead),
	}
}

func protect[T any](logger *slog.Logger, name string, f func(T)) func(T) {
	if f == nil {
		return nil
	}
	return func(event T) {
		defer func() {
			if v := recover(); v != nil {
				logger.Error("an observer panicked", "func", name, "panic", v, "stack", string(debug.Stack()))
			}
		}()
		f(event)
	}
}

// Tell calls a func of an Observer, if there is one.
func Tell[T any](f func(T), event T) {
	if f != nil {
		f(event)
	}
}
