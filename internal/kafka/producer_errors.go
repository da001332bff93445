package kafka

import (
	"errors"
	"fmt"
)

// ErrOutcomeUnknown is matched by a *ProduceError of records that may or may not be in the log. Whoever must know reads
// the log again; the producer itself never sends them again.
var ErrOutcomeUnknown = errors.New("kafka: outcome of a produce is unknown")

// ErrOffsetUnknown is the cause in a *ProduceError when the broker says that the records are in the log but no more where.
// They must not be sent again; whoever needs their offsets reads the log.
var ErrOffsetUnknown = errors.New("kafka: the records are in the log at offsets the broker no more tells")

// errHeld is why a request was not sent that ProducerConfig.Allowed did not allow.
var errHeld = errors.New("kafka: nothing may be written now")

// ProduceError says that records of one partition were not acknowledged: those of the call whose Offset is unknown.
type ProduceError struct {
	Topic     string
	Partition int32
	// Unknown: some of them may be in the log nevertheless. Without it none of them is.
	Unknown bool
	Cause   error
}

func (e *ProduceError) Error() string {
	tail := ""
	if e.Unknown {
		tail = " (the outcome is unknown: records may be in the log)"
	}
	return fmt.Sprintf("kafka: produce to %s/%d: %v%s", e.Topic, e.Partition, e.Cause, tail)
}

// Unwrap gives the cause.
func (e *ProduceError) Unwrap() error { return e.Cause }

// Is makes an unknown outcome match ErrOutcomeUnknown.
func (e *ProduceError) Is(target error) bool { return e.Unknown && target == ErrOutcomeUnknown }

// RecordTooLargeError says that a single record is above what the topic takes (max.message.bytes).
type RecordTooLargeError struct {
	Topic     string
	Partition int32
	// Size is the record's EncodedSize, in bytes.
	Size int
	// Limit is the topic's max.message.bytes, 0 where Prepare has not read it.
	Limit int
}

func (e *RecordTooLargeError) Error() string {
	limit := "max.message.bytes"
	if e.Limit > 0 {
		limit = fmt.Sprintf("max.message.bytes of %d", e.Limit)
	}
	return fmt.Sprintf("kafka: a record of %d bytes is above the %s of %s/%d", e.Size, limit, e.Topic, e.Partition)
}
