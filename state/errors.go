package state

import (
	"errors"
	"fmt"
	"time"
)

// ErrClosed is returned by a Store, or by an Iterator of it, after Close. Open the store again to go on.
var ErrClosed = errors.New("state: store is closed")

// LogResetError says that the log is not the one the checkpoint was taken from, or no longer holds what was applied:
// deleted and created again, truncated, or gone. Restore and Follow rebuild by themselves and report it to
// Observer.Reset; it is returned only when there is nothing to rebuild from (the topic is gone). The caller can then
// create the topic, or stop.
type LogResetError struct {
	Topic     string
	Partition int32
	// Position is the checkpoint's position; Start and End are the log's bounds, UnknownOffset where not known.
	Position, Start, End int64
	Cause                string
	// Err is what the log said, nil where the bounds alone tell.
	Err error
}

func (e *LogResetError) Error() string {
	return fmt.Sprintf("state: log of %s/%d was reset: %s (position %d, log %d to %d)",
		e.Topic, e.Partition, e.Cause, e.Position, e.Start, e.End)
}

func (e *LogResetError) Unwrap() error { return e.Err }

// OutOfRangeError is a Log's answer when the broker refuses a position: the records there are gone or never were.
// Ask for the Bounds before anything else; Restore does.
type OutOfRangeError struct {
	Topic     string
	Partition int32
	Position  int64
}

func (e *OutOfRangeError) Error() string {
	return fmt.Sprintf("state: position %d of %s/%d is out of range", e.Position, e.Topic, e.Partition)
}

// TopicMissingError is a Log's answer when its topic does not exist. The caller can create it.
type TopicMissingError struct{ Topic string }

func (e *TopicMissingError) Error() string {
	return fmt.Sprintf("state: topic %s does not exist", e.Topic)
}

// LockedError says that another processor holds the group's directory. Stop that one, or use another state directory.
type LockedError struct {
	Dir string
	// PID and Host name the holder, 0 and "" where its lock file does not tell.
	PID  int
	Host string
}

func (e *LockedError) Error() string {
	return fmt.Sprintf("state: %s is in use by process %d on %s", e.Dir, e.PID, e.Host)
}

// HangingTransactionError says that a transaction has kept the log's end from being read for longer than any live
// transaction may last. The old rows stay readable. Abort the transaction (kafka-transactions.sh) and restore again.
type HangingTransactionError struct {
	Topic     string
	Partition int32
	// Position is where reading stands, Stable the last stable offset, End the end to be reached.
	Position, Stable, End int64
	Waited                time.Duration
}

func (e *HangingTransactionError) Error() string {
	return fmt.Sprintf("state: %s/%d cannot be read from %d to %d: no progress for %v, last stable offset %d (hanging transaction?)",
		e.Topic, e.Partition, e.Position, e.End, e.Waited, e.Stable)
}

// DamageError says that bytes are not what was written: in a store (Dir is set), which the next Open quarantines so
// that it is rebuilt, or in a log's answer (Topic is set), where a record at Offset cannot be applied.
type DamageError struct {
	Dir       string
	Topic     string
	Partition int32
	Offset    int64
	Err       error
}

func (e *DamageError) Error() string {
	if e.Topic != "" {
		return fmt.Sprintf("state: record at offset %d of %s/%d cannot be applied: %v", e.Offset, e.Topic, e.Partition, e.Err)
	}
	return fmt.Sprintf("state: store %s is damaged: %v", e.Dir, e.Err)
}

func (e *DamageError) Unwrap() error { return e.Err }
