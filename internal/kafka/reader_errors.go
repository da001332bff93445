package kafka

import (
	"fmt"

	"github.com/tarnstream/tarn/state"
)

// TopicChangedError says that a topic was deleted and created again under a Cursor: its position means nothing in the
// new one. It is also a *state.OutOfRangeError to errors.As, so that a Restorer checks and resets. Ask for the Bounds
// and SeekTo.
type TopicChangedError struct {
	Topic     string
	Partition int32
	Was, Is   state.TopicID
	// Position is where the Cursor was going on.
	Position int64
}

func (e *TopicChangedError) Error() string {
	return fmt.Sprintf("kafka: topic %s was deleted and created again: id %x became %x, position %d of partition %d is void",
		e.Topic, e.Was, e.Is, e.Position, e.Partition)
}

// Unwrap makes it an out of range: the position is of another log.
func (e *TopicChangedError) Unwrap() error {
	return &state.OutOfRangeError{Topic: e.Topic, Partition: e.Partition, Position: e.Position}
}

// BatchError says that what the log has at a position cannot be read, fetched alone and with room: a checksum does not
// fit, the batch does not decode, or its format is older than Kafka 0.11. Asking again does not help. SeekTo beyond it,
// knowing that records are lost, or have the log repaired (a copy from another replica, for one).
type BatchError struct {
	Topic     string
	Partition int32
	// Position is where the reader stands; the batch begins there or, where the log has a hole, later.
	Position int64
	Err      error
}

func (e *BatchError) Error() string {
	return fmt.Sprintf("kafka: the batch at position %d of %s/%d cannot be read: %v", e.Position, e.Topic, e.Partition, e.Err)
}

func (e *BatchError) Unwrap() error { return e.Err }
