package processor

import (
	"fmt"
	"runtime/debug"
)

// RecordError says which record could not be handled, and why. Its effects were dropped and its offset is not
// committed: after a restart the record is read again. Cause is what the callback returned, a decoding error, or a
// *PanicError. Of a View it names the change that an OnChange could not handle, and the view as the Group.
type RecordError struct {
	Group     string
	Topic     string
	Partition int32
	Offset    int64
	Key       []byte // nil for a null key
	// Attempts is how often it was tried.
	Attempts int
	Cause    error
}

func (e *RecordError) Error() string {
	tried := ""
	if e.Attempts > 1 {
		tried = fmt.Sprintf(", tried %d times", e.Attempts)
	}
	return fmt.Sprintf("processor: group %s: record %s/%d@%d, key %.64q%s: %v", e.Group, e.Topic, e.Partition, e.Offset, e.Key, tried, e.Cause)
}

// Unwrap gives the cause.
func (e *RecordError) Unwrap() error { return e.Cause }

// PanicError is a callback's panic with its stack.
type PanicError struct {
	Value any
	Stack []byte
}

func (e *PanicError) Error() string { return fmt.Sprintf("panic: %v\n%s", e.Value, e.Stack) }

// protect makes a panic an error with its stack: that of the user's code, and a defect of ours, which ends the run, since
// the other goroutines would wait for what never comes.
func protect(call func() error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = &PanicError{Value: v, Stack: debug.Stack()}
		}
	}()
	return call()
}
