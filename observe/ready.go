package observe

import (
	"fmt"
	"maps"
	"slices"
	"time"
)

// Source is what has Stats: a Processor, a View.
type Source interface {
	Stats() Stats
}

// Reason says why something is not ready.
type Reason struct {
	// Group and Kind are those of the Stats.
	Group string `json:"group"`
	Kind  string `json:"kind"`
	// Part is what of it is not ready, as in "task 3, table counts"; "" for all of it.
	Part string `json:"part,omitempty"`
	Why  string `json:"why"`
}

// String is a line.
func (r Reason) String() string {
	where := r.Kind + " " + r.Group
	if r.Part != "" {
		where += ", " + r.Part
	}
	return where + ": " + r.Why
}

// Unready tells what is not ready, nil when all is: in the group, every task of this process with its tables current, no
// table answering from before a reset. A task that waits for another attempt at a record is ready: its tables are.
func (s Stats) Unready() []Reason {
	u := unready{stats: s}
	if s.State != StateRunning {
		u.add("", "%s", s.stateText())
		return u.reasons
	}
	if s.Kind == KindView && len(s.Tasks) == 0 {
		u.add("", "its partitions are not known yet")
	}
	for _, p := range slices.Sorted(maps.Keys(s.Tasks)) {
		u.task(p, s.Tasks[p])
	}
	for _, t := range s.Lookups {
		u.table(fmt.Sprintf("looked-up table %s/%d", t.Topic, t.Partition), t)
	}
	return u.reasons
}

func (s Stats) stateText() string {
	switch {
	case s.State == StateNew:
		return "not started"
	case s.State == StateStarting:
		return "looks for a broker and the topics"
	case s.State == StateJoining:
		return "not in its group"
	case s.Err != nil:
		return fmt.Sprintf("stopped: %v", s.Err)
	}
	return s.State
}

type unready struct {
	stats   Stats
	reasons []Reason
}

func (u *unready) add(part, format string, args ...any) {
	u.reasons = append(u.reasons, Reason{Group: u.stats.Group, Kind: u.stats.Kind, Part: part, Why: fmt.Sprintf(format, args...)})
}

func (u *unready) task(partition int32, t TaskStats) {
	part := fmt.Sprintf("task %d", partition)
	if u.stats.Kind == KindView {
		part = fmt.Sprintf("partition %d", partition)
	}
	before := len(u.reasons)
	for _, table := range t.Tables {
		u.table(part+", table "+table.Topic, table)
	}
	switch {
	case t.State == TaskWaiting:
		u.add(part, "waits for an older task of the partition to close")
	case t.State == TaskClosing:
		u.add(part, "ends")
	case t.State == TaskRestoring && len(u.reasons) == before:
		u.add(part, "looks for its place in the inputs")
	}
}

func (u *unready) table(part string, t TableStats) {
	switch r := t.Restore; {
	case r.Decision == "":
		u.add(part, "not restored yet")
	case !r.Done:
		u.add(part, "%s", r.text(t))
	case t.Stale:
		u.add(part, "stale: %s", t.Cause)
	}
}

// text says how far a restore has come, and how long it will go on.
func (r RestoreStats) text(t TableStats) string {
	text := fmt.Sprintf("%s (%s): %.0f %% of %d offsets", r.Decision, r.Cause, 100*r.Fraction(), r.End-r.From)
	if left, known := r.Remaining(); known && left > 0 {
		text += fmt.Sprintf(", %v left", left.Round(time.Second))
	}
	if t.Stale {
		text = "stale, " + text
	}
	return text
}
