package policy

import (
	"fmt"

	"github.com/tarnstream/tarn/internal/scope"
)

// FromEarliest makes an Input that the group has never read begin at its earliest record. It is the default.
func FromEarliest() InputOption {
	return func(in *scope.Input) { in.Begin = scope.BeginEarliest }
}

// FromLatest makes an Input that the group has never read begin at its end, as it is when the partition's first task
// starts: what was written before is not read. That is committed at once, so that a restart goes on there. A Loop begins
// with its earliest record all the same.
func FromLatest() InputOption {
	return func(in *scope.Input) { in.Begin = scope.BeginLatest }
}

// Lost is what an Input does when it cannot go on where the group stood: when retention or DeleteRecords has passed the
// group's committed offset, also under a running task that is slow; when the topic was truncated, or deleted and created
// again; when the offset itself has expired or was deleted, while the group's tables are not empty. Whatever is done, the
// Observer's Reset is told, with a *processor.InputError and the offsets that go unread.
type Lost = scope.Lost

// What an Input does.
const (
	// LostCareful reads from the earliest record, unless what is there may have been counted already: then Run ends with
	// the *processor.InputError. So it goes on after records were removed before they were read, unless the tables'
	// checkpoint on this machine is above the log's start; in a topic that was created again; and where the input is empty.
	// It ends Run without a committed offset, and with one beyond the end. It is the default.
	LostCareful = scope.LostCareful
	// LostEarliest reads from the earliest record: for callbacks that may see a record again.
	LostEarliest = scope.LostEarliest
	// LostLatest goes on at the end: what is in the log by then goes unread.
	LostLatest = scope.LostLatest
	// LostCheckpoint goes on where the tables' checkpoint on this machine stands, which is exact after a clean stop. Where
	// it does not tell, and in a topic that was created again, it is LostCareful: the checkpoint knows the input's position
	// only if nothing had to be read from the tables' topics since.
	LostCheckpoint = scope.LostCheckpoint
	// LostFail ends Run with the *processor.InputError in any case.
	LostFail = scope.LostFail
)

// OnLost sets what an Input does when its place is lost, or with processor.Inputs what those of the group do that do not
// say it themselves.
func OnLost(l Lost) InputOption {
	return func(in *scope.Input) {
		in.Lost = l
		if l < scope.LostCareful || l > scope.LostFail {
			in.Faults = append(in.Faults, fmt.Sprintf("OnLost: there is no policy %d", l))
		}
	}
}
