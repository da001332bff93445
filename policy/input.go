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
// Observer's Reset is told, with a *InputError and the offsets that go unread.
type Lost = scope.Lost

// What an Input does.
const (
	// LostCareful reads from the earliest record, unless what is there may have been counted already: then Run ends with
	// the *InputError. So it goes on after records were removed before they were read, unless the tables'
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
	// LostFail ends Run with the *InputError in any case.
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

// InputError says that an input does not go on where the group stood: retention has passed the committed offset, the topic
// was truncated or made again, or the group has no offset any more while its tables are not empty. Next is where it goes on;
// OnLost decides that. processor.Run returns it where it does not go on: find out what the log and the tables have, then
// start again with another policy, or set the group's offset.
type InputError struct {
	Group, Topic string
	Partition    int32
	// Committed is the offset at which the input was to go on, -1 where the group has none. Start and End bound the log.
	Committed, Start, End int64
	// Was and Is are the ids of the topic, different for one that was deleted and created again, else zero.
	Was, Is [16]byte
	Cause   string
	// Next is where the input goes on, -1 where it does not.
	Next int64
	// From and To bound the offsets of the log that were not read and will not be; equal where there are none, or where it
	// cannot be known.
	From, To int64
}

func (e *InputError) Error() string {
	then := "set the group's offset, or say in policy.OnLost where to go on"
	if e.Next >= 0 {
		then = fmt.Sprintf("it goes on at %d", e.Next)
	}
	unread := ""
	if e.From < e.To {
		unread = fmt.Sprintf("; the records in [%d, %d) go unread", e.From, e.To)
	}
	return fmt.Sprintf("policy: group %s: input %s/%d, log [%d, %d): %s%s; %s", e.Group, e.Topic, e.Partition, e.Start, e.End, e.Cause, unread, then)
}
