package policy

import (
	"cmp"
	"errors"
	"fmt"
	"time"
)

// Batching says how an Emitter gathers records before it sends them, and how long it tries. The zero value is good; it is
// handed over with processor.Batching.
type Batching struct {
	// Linger is how long a record waits for others to be sent with, 5 ms by default. Negative: not at all; what is
	// emitted while others are on their way is gathered all the same.
	Linger time.Duration
	// Bytes is how much is gathered before it is sent at once, 512 KiB by default.
	Bytes int
	// Buffer bounds the memory of the records that Kafka does not have yet, 8 MiB by default. Emit waits where it is
	// full. A record greater than all of it is taken when there is nothing else.
	Buffer int
	// Delivery is how long the sending of a record is tried, 2 minutes by default. It is then given up, and told. Meanwhile a
	// partition that takes nothing holds up the others.
	Delivery time.Duration
}

// WithDefaults is for package processor: it fills in what is not said, and gives all faults at once.
func (b Batching) WithDefaults() (Batching, error) {
	var faults []error
	fault := func(bad bool, format string, args ...any) {
		if bad {
			faults = append(faults, fmt.Errorf("Batching: "+format, args...))
		}
	}
	fault(b.Bytes < 0, "%d bytes to gather", b.Bytes)
	fault(b.Buffer < 0, "a buffer of %d bytes", b.Buffer)
	fault(b.Delivery < 0, "delivery within %v", b.Delivery)
	b.Linger = max(cmp.Or(b.Linger, 5*time.Millisecond), 0)
	b.Bytes = cmp.Or(b.Bytes, 512<<10)
	b.Buffer = cmp.Or(b.Buffer, 8<<20)
	b.Delivery = cmp.Or(b.Delivery, 2*time.Minute)
	fault(b.Bytes > b.Buffer, "%d bytes to gather are more than the buffer of %d", b.Bytes, b.Buffer)
	return b, errors.Join(faults...)
}

// EmitError says that records of one partition were given up: Kafka did not take them, or not in time.
type EmitError struct {
	Topic     string
	Partition int32
	// Records is how many there were.
	Records int
	// Unknown: some of them may be in the partition nevertheless, so that emitting them again may write them twice. Without
	// it none of them is.
	Unknown bool
	Cause   error
}

func (e *EmitError) Error() string {
	tail := ""
	if e.Unknown {
		tail = " (they may be there nevertheless)"
	}
	return fmt.Sprintf("policy: %d records for %s/%d were given up: %v%s", e.Records, e.Topic, e.Partition, e.Cause, tail)
}

// Unwrap gives the cause.
func (e *EmitError) Unwrap() error { return e.Cause }
