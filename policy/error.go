package policy

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/tarnstream/tarn/internal/scope"
)

// InputOption is a choice about an input, for topology.Input and topology.Loop, or, with processor.Inputs, for all inputs of
// a group.
type InputOption = scope.InputOption

// ErrorPolicy says what is done about a record that cannot be handled: its value cannot be decoded, its callback returns
// an error or panics, or what it writes is too large or wrongly timed. Whatever is done, nothing that the failed attempt
// wrote stays. The zero value is Fail.
//
// Trouble with the disk, a lost partition and a table, stream or effect that the group does not declare are no matter of
// a record: they end the task, or Run, whatever the policy.
type ErrorPolicy struct{ of scope.ErrorPolicy }

// The kinds of error by which a record cannot be handled, as observe.RecordError and dead letters tell them.
const (
	KindDecode    = "decode"    // the value cannot be decoded
	KindCallback  = "callback"  // the callback returned an error
	KindPanic     = "panic"     // the callback panicked
	KindTooLarge  = "too large" // what the callback wrote is larger than its topic takes
	KindTimestamp = "timestamp" // what the callback wrote has a time that its topic does not take
)

// OnError sets the policy of an Input, or with processor.Inputs that of the group.
func OnError(p ErrorPolicy) InputOption {
	return func(in *scope.Input) {
		own := p.of
		in.OnError = &own
		for _, f := range own.Faults {
			in.Faults = append(in.Faults, "OnError: "+f)
		}
	}
}

// Fail ends Run with a *processor.RecordError. The record's offset is not committed: after a restart it is read again.
// It is the default.
func Fail() ErrorPolicy { return ErrorPolicy{scope.ErrorPolicy{Last: scope.Fail}} }

// Skip goes on with the next record. The skipped one is counted and told to the Observer and the log, and not kept
// anywhere.
func Skip() ErrorPolicy { return ErrorPolicy{scope.ErrorPolicy{Last: scope.Skip}} }

// Backoff says how often a record is tried and how long it waits in between. The wait doubles with each attempt.
type Backoff struct {
	// Attempts bounds how often the record is handled in all, the first time included. The default is 10; math.MaxInt
	// never gives up.
	Attempts int
	// First is the wait before the second attempt, 100 ms by default. Max bounds each wait, 10 s by default.
	First, Max time.Duration
	// If tells which errors are worth another attempt; for others the record goes to what comes after the retries at
	// once. The default is every error. It is called from the tasks' goroutines.
	If func(error) bool
}

// Retry handles the record again after a wait. When its attempts are used up, exhausted decides: Fail, Skip or
// DeadLetter. The order within the partition is kept: its task waits, with all its inputs, while the other tasks go on.
// What it did before is committed meanwhile, and a stop or a rebalance does not wait for it. Attempts are counted in
// memory: a task that starts again begins at the first.
func Retry(b Backoff, exhausted ErrorPolicy) ErrorPolicy {
	p := exhausted.of
	p.Faults = slices.Clone(p.Faults)
	if p.Backoff != nil {
		p.Faults = append(p.Faults, "Retry: what comes after it is a Retry itself")
	}
	check := func(bad bool, format string, args ...any) {
		if bad {
			p.Faults = append(p.Faults, "Retry: "+fmt.Sprintf(format, args...))
		}
	}
	check(b.Attempts < 0 || b.Attempts == 1, "%d attempts: two are the least", b.Attempts)
	check(b.First < 0, "the first wait of %v is negative", b.First)
	check(b.Max < 0, "the longest wait of %v is negative", b.Max)
	own := scope.Backoff{Attempts: cmp.Or(b.Attempts, 10), First: cmp.Or(b.First, 100*time.Millisecond),
		Max: cmp.Or(b.Max, 10*time.Second), If: b.If}
	check(b.First > 0 && own.First > own.Max, "the first wait of %v is above the longest of %v", own.First, own.Max)
	own.First = min(own.First, own.Max)
	p.Backoff = &own
	return ErrorPolicy{p}
}
