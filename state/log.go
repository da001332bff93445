package state

import (
	"context"
	"time"
)

// Values that stand for "not known". They are never treated as 0.
const (
	UnknownOffset int64 = -1
	UnknownEpoch  int32 = -1
)

// TopicID is Kafka's id of a topic (KIP-516): a topic deleted and created again under one name has another.
// The zero TopicID means not known.
type TopicID [16]byte

// Header is one record header.
type Header struct {
	Key, Value []byte
}

// Record is one data record as read from a log. A nil Key or Value is Kafka's null; an empty one is a value.
// Its bytes belong to the answer they came in: whoever keeps them copies them.
type Record struct {
	Key, Value []byte
	Headers    []Header
	Offset     int64
	// Timestamp is the record's time in milliseconds since 1970.
	Timestamp int64
}

// Records is what one read of a log gave. Position and Next bound the stretch of offsets it speaks of:
// the reader has seen [Position, Next) and goes on at Next. Next may be above the last record's offset + 1
// (control records, aborted records, compacted ones) and equals Position when nothing was there yet.
type Records struct {
	Position int64
	Next     int64
	// Records holds committed data records of [Position, Next) in ascending offset order.
	Records []Record
	// Present counts the offsets of [Position, Next) at which the log still has a record of any kind:
	// data, aborted or control. Present == Next-Position means the stretch has no hole.
	Present int64
	// FirstEpoch and LastEpoch are the leader epochs of the first and last batch, UnknownEpoch without one.
	FirstEpoch, LastEpoch int32
	// LogStart, Stable (last stable offset) and End (high watermark) are what the broker said with this answer,
	// UnknownOffset where it did not.
	LogStart, Stable, End int64
	// Bytes is the size of the keys and values in Records, for memory accounting.
	Bytes int64
}

// Bounds is what the broker says of a log now. UnknownOffset marks an offset the broker could not tell:
// it is not an end, and nothing may be concluded from it (R20).
type Bounds struct {
	// Start is the log start offset, End the read_uncommitted end (the high watermark),
	// Stable the last stable offset: Start <= Stable <= End where known.
	Start, End, Stable int64
	TopicID            TopicID
	ClusterID          string
	LeaderEpoch        int32
	// Compacted and Deletes tell the topic's live cleanup.policy.
	Compacted, Deletes bool
	// DeleteRetention is the topic's live delete.retention.ms, negative where not known.
	DeleteRetention time.Duration
}

// Log is one partition of a table's topic as the restore reads it. One goroutine uses a Log.
//
// Retriable trouble (a leader that moved, a lost connection) is the Log's own business: it refreshes, waits and
// tries again until ctx ends. It returns *OutOfRangeError when the broker refuses the position,
// *TopicMissingError when the topic is gone, and any other error only when asking again is of no use.
type Log interface {
	// Bounds asks the broker afresh; it never answers from a cache.
	Bounds(ctx context.Context) (Bounds, error)
	// Fetch reads from position. It waits for a while (the long poll, at most about 500 ms) when nothing is there,
	// and then answers Next == Position. Two calls never overlap, and a call with a position other than the
	// last answer's Next is a seek: what an older request still brings is dropped.
	Fetch(ctx context.Context, position int64) (Records, error)
	// Reuse takes back what the last Fetch gave, to which nobody refers any more: it may be read into again.
	Reuse(last Records)
}

// Next is the position after the record.
func (r *Record) Next() int64 { return next(r.Offset) }

// Applied moves the checkpoint past an own record that the log has at offset. Its batch's epoch is not known then.
func (c *Checkpoint) Applied(offset int64) {
	c.Position, c.LastApplied, c.LastAppliedEpoch = next(offset), offset, UnknownEpoch
}
