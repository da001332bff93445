package observe

import (
	"time"

	"github.com/tarnstream/tarn/state"
)

// Place is one partition of a topic as one part of the program uses it.
type Place struct {
	// Group is the group's name, or the view's.
	Group     string
	Topic     string
	Partition int32
}

// Restore speaks of a table partition that is brought current.
type Restore struct {
	Place
	// Plan is what is done and why; Outcome how far it has come, counted since the partition was opened.
	Plan    state.Plan
	Outcome state.Outcome
	// Progress is the same as Stats tells it: since the plan was made, with the rate of the last seconds.
	Progress RestoreStats
}

// Reset speaks of a log that is not what was read before.
type Reset struct {
	Place
	// Cause is *state.LogResetError or *state.OutOfRangeError for a table, *policy.InputError for an input.
	Cause error
	// From and To bound the offsets of an input that the group has not read and will not; equal where there are none or
	// where it cannot be known.
	From, To int64
}

// Swept speaks of rows removed because the log start rose.
type Swept struct {
	Place
	Rows int
}

// Quarantined speaks of a generation set aside at Path, "" when there was nothing to set aside.
type Quarantined struct {
	Place
	Path  string
	Cause error
}

// StoreRemoved speaks of the store of a partition that others have now, removed because of its age: it was last known to be
// current at KnownCurrent, which is zero where its checkpoint did not tell.
type StoreRemoved struct {
	Place
	KnownCurrent time.Time
}

// The kinds of a Rebalance.
const (
	// Joined: the member is in a generation; Tasks is what it was given in all, the tasks it had included.
	Joined = "joined"
	// Assigned: Tasks were started. Revoked: Tasks were given up in order, committed and flushed.
	Assigned = "assigned"
	Revoked  = "revoked"
	// Lost: Tasks were lost without notice; what they had not committed is done again by whoever has them now.
	Lost = "lost"
	// Restarted: Tasks start again from their checkpoints, without leaving this process.
	Restarted = "restarted"
	// Rebalancing: the member joins again.
	Rebalancing = "rebalancing"
	// Idle: the member is given no task while its topology is not the leader's, as in a rolling deploy.
	Idle = "idle"
	// Retry: the group's coordinator did not answer as it should and is asked again.
	Retry = "retry"
	// Left: the member has left the group. With a Cause the group did not confirm it, and its tasks wait for the session
	// time-out.
	Left = "left"
)

// Rebalance speaks of the membership: Kind says what happened, Tasks which partitions it is about.
type Rebalance struct {
	Group string
	// Member is the member's id and Generation the group's; "" and -1 before the first join.
	Member     string
	Generation int32
	Kind       string
	Tasks      []int32
	Cause      error // nil where there is none
}

// Commit speaks of one commit of the whole process.
type Commit struct {
	Group string
	// Tasks took part, Records were written to tables' topics and outputs, Bytes are their keys and values. A commit of
	// offsets alone has 0 of both.
	Tasks   []int32
	Records int
	Bytes   int64
	Took    time.Duration
	// Err is nil for a commit that counts. Else it failed or its outcome is unknown: its tasks start again, or the run ends.
	Err error
}

// Flush speaks of one write of a table partition to disk. Rows is 0 where only the checkpoint was written.
type Flush struct {
	Place
	Rows  int
	Bytes int64
	Took  time.Duration
	Err   error
}

// RecordError speaks of an input record that could not be handled.
type RecordError struct {
	Place
	Offset int64
	Key    []byte
	// Cause is what the callback returned, a decoding error, or a panic; Kind is decode, callback, panic, too large or
	// timestamp.
	Cause error
	Kind  string
	// Action is what is done: fail, skip, retry or dead letter. Attempt counts from 1.
	Action  string
	Attempt int
}

// HashMismatch speaks of a record in Partition whose key belongs to Belongs by Hash, the hash of the input's handle: its
// producer hashes keys otherwise, and rows of one key would be kept by several tasks, or those of a joined or looked-up
// table would not be found.
type HashMismatch struct {
	Place
	Offset  int64
	Key     []byte
	Belongs int32
	Hash    string
}

// ForeignRecords speaks of records that another writer has put into the topic of a table that this process keeps: an old owner
// whose last request was long on its way, or a program that has no business there. The owner has proved to be it, and has
// written its own values behind them: the table is what it was.
type ForeignRecords struct {
	Place
	// Records are all of them, in the order of the log.
	Records []ForeignRecord
	// Rewritten counts the rows, or the absent ones, that were written again for it.
	Rewritten int
}

// ForeignRecord is one of them. Its Key is nil for a record without one, which is no row.
type ForeignRecord struct {
	Key      []byte
	Offset   int64
	Producer int64 // its producer id, negative for one without
}

// StaleRead speaks of reads answered from a table that is restored, rebuilt, or not current. It is told with the first such
// read of a partition, and again only when the table has been current in between.
type StaleRead struct {
	Place
	Cause string
}
