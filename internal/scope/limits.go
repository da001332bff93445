package scope

import (
	"cmp"
	"fmt"
	"math"
	"time"
)

// Limits are what a topic takes, by its configs at start, so that what it does not take fails with its record in hand and
// not in a commit. The zero value knows of none but the times that can be written at all.
type Limits struct {
	// Bytes bounds the size of a record alone in its batch, 0 for no bound. Size tells the exact size; without it a record
	// some bytes below the bound is refused as well.
	Bytes int
	Size  func(Emission) int
	// Before and After bound a record's time by the present, in milliseconds; 0 is no bound.
	Before, After int64

	// What is known to fit, so that nearly all records need no closer look: rough sizes up to room, 0 before the first
	// look, and times up to until, which only moves on. Where Before binds, every record needs one.
	room  int
	until int64
}

// latest is the last time that can be written, in milliseconds: what lies behind it does not fit into nanoseconds, and
// would reach the topic as some other time.
const latest = math.MaxInt64 / int64(time.Millisecond)

// NoTimestamp is Kafka's mark for a record without a time.
const NoTimestamp = -1

// fits tells of nearly all records that the topic takes them, by their rough size and their time. Of the others it does not
// know.
func (l *Limits) fits(size int, at int64) bool { return size <= l.room && at >= 0 && at <= l.until }

// Check tells what a topic would refuse in a record.
func (l *Limits) Check(topic string, e Emission) error {
	size := roughSize(e)
	if l.Bytes > 0 && size > l.Bytes && l.Size != nil {
		size = l.Size(e)
	}
	if l.Bytes > 0 && size > l.Bytes {
		return &TooLargeError{Topic: topic, Key: e.Key, Size: size, Limit: l.Bytes}
	}
	from, to := l.span(e.Timestamp)
	if e.Timestamp < from || e.Timestamp > to {
		return &TimestampError{Topic: topic, Key: e.Key, Timestamp: e.Timestamp, Earliest: from, Latest: to}
	}
	if l.Before == 0 {
		l.room = cmp.Or(l.Bytes, math.MaxInt)
	}
	return nil
}

// Timely tells whether the topic takes a record of a time.
func (l *Limits) Timely(at int64) bool {
	from, to := l.span(at)
	return from <= at && at <= to
}

// span gives bounds that decide about a time.
func (l *Limits) span(at int64) (from, to int64) {
	if l.Before == 0 && at >= 0 && at <= l.until {
		return 0, l.until
	}
	now := time.Now().UnixMilli()
	to = latest
	if l.Before > 0 {
		from = max(0, now-l.Before)
	}
	if l.After > 0 {
		to = min(to, now+l.After)
	}
	l.until = to
	return from, to
}

// recordOverhead bounds what Kafka's record and batch framing adds to key, value and headers.
const recordOverhead = 128

// roughSize is never below the exact size.
func roughSize(e Emission) int {
	n := recordOverhead + len(e.Key) + len(e.Value)
	for _, h := range e.Headers {
		n += len(h.Key) + len(h.Value) + 10
	}
	return n
}

// TooLargeError says that a row or an emission would not fit into a record of its topic.
// Sizes are in bytes, with the record's overhead; raise the topic's max.message.bytes or write less.
type TooLargeError struct {
	Topic       string
	Key         string
	Size, Limit int
}

func (e *TooLargeError) Error() string {
	return fmt.Sprintf("topology: record for %s with key %.64q has %d bytes, the topic takes %d", e.Topic, e.Key, e.Size, e.Limit)
}

// TimestampError says that a record was to be written with a time that its topic does not take: one that was given, or
// that of the record in hand, whose producer may have counted in other units. Give one with Context.WithTimestamp.
// Times are in milliseconds since 1970.
type TimestampError struct {
	Topic     string
	Key       string
	Timestamp int64
	// Earliest and Latest bound what the topic takes: 1970 and 2262, or by its configs message.timestamp.before.max.ms
	// and message.timestamp.after.max.ms a span around the present.
	Earliest, Latest int64
}

func (e *TimestampError) Error() string {
	return fmt.Sprintf("topology: record for %s with key %.64q has the time %d ms, the topic takes %s to %s", e.Topic, e.Key, e.Timestamp,
		time.UnixMilli(e.Earliest).UTC().Format(time.RFC3339), time.UnixMilli(e.Latest).UTC().Format(time.RFC3339))
}
