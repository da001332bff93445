package observe

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// Unknown marks an offset or a lag that is not known yet. It is never to be taken for 0.
const Unknown int64 = -1

// The kinds of what Stats speaks of.
const (
	KindProcessor = "processor"
	KindView      = "view"
)

// The states of a Processor or a View.
const (
	// StateNew: Run was not called yet.
	StateNew = "new"
	// StateStarting: a broker and the topics are looked for.
	StateStarting = "starting"
	// StateJoining: a Processor is in no generation of its group: it has not joined yet, was not given tasks yet, or has lost
	// its place.
	StateJoining = "joining"
	// StateRunning: see the tasks for what they do.
	StateRunning = "running"
	// StateStopped: Run has returned.
	StateStopped = "stopped"
)

// The states of a task.
const (
	// TaskWaiting: an older task of the partition is not closed yet in this process.
	TaskWaiting = "waiting"
	// TaskRestoring: its tables are brought current.
	TaskRestoring = "restoring"
	// TaskRunning: it handles records, or follows its table.
	TaskRunning = "running"
	// TaskClosing: it ends.
	TaskClosing = "closing"
)

// Stats is what a Processor or a View has done since it was made, and where it stands. It is a copy. Figures of one task
// are of moments that lie up to a commit interval apart: who counts does not wait for who reads.
type Stats struct {
	// Group is the group's name, or the view's; Kind and State are constants of this package.
	Group, Kind, State string
	// Err is what ended Run, nil before and after a clean stop.
	Err error

	// Records counts the input records read past, BytesIn their keys and values. Among them are Nulls, skipped for their
	// null value, Skipped, which could not be handled, and DeadLetters, which went to another topic for that.
	Records, BytesIn, Nulls, Skipped, DeadLetters int64
	// Retries counts further attempts at records that failed.
	Retries int64
	// RecordsOut and BytesOut count what commits wrote to tables' topics and outputs.
	RecordsOut, BytesOut int64
	// Restored counts the records of tables' topics that restores have applied, of a View also those followed since.
	Restored int64
	// Commits counts commits to Kafka, Flushes writes of a table partition to disk.
	Commits, Flushes int64
	// StoresRemoved counts stores of partitions that others have now, removed because of their age.
	StoresRemoved int64

	// Memory is what is in use of what processor.MemoryBytes bounds; zero before the tasks are known.
	Memory MemoryStats

	// Tasks are those of this process now, by partition number. Of a View, every partition is one.
	Tasks map[int32]TaskStats
	// Lookups are the partitions of the looked-up tables, which all tasks share.
	Lookups []TableStats
}

// TaskStats is one task. What it counts begins at 0 with each assignment of the partition.
type TaskStats struct {
	// State is one of the Task constants.
	State string
	// Held tells why a running task handles no record now, "" if nothing keeps it from that: a record that failed waits for
	// another attempt, or a joined table is not current.
	Held string
	// LastCommit is when the task's effects were last in Kafka, zero if they were not yet.
	LastCommit time.Time
	// Inputs are empty until the tables are current.
	Inputs  []InputStats
	Outputs []OutputStats
	// Tables are those that the group keeps, in its order, and then the joined ones.
	Tables []TableStats
}

// InputStats is one partition of an input.
type InputStats struct {
	Topic string
	// Position is the next offset to handle, Committed the one that the group has in Kafka.
	Position, Committed int64
	// End is the log's end as the last answer told it, Lag is End - Position. Both may be Unknown. Records of an open
	// transaction lie before the end.
	End, Lag int64
	// Records were read past, Bytes are their keys and values.
	Records, Bytes int64
}

// OutputStats is what a task wrote to an output, all partitions.
type OutputStats struct {
	Topic string
	// Records are in Kafka, Bytes are their keys and values.
	Records, Bytes int64
}

// The roles of a table.
const (
	RoleKept     = "kept"
	RoleJoined   = "joined"
	RoleLookedUp = "looked up"
	RoleViewed   = "viewed"
)

// TableStats is one partition of a table.
type TableStats struct {
	Topic     string
	Partition int32
	// Role is one of the Role constants. What is written, and the layers, are those of a kept table.
	Role string
	// Position is the next offset of the table's topic to apply, End the log's end, Lag is End - Position. A Lag of 0 says
	// that reads show all of it: it is Unknown while a restore has read everything and is not done. While the group itself
	// writes the table, they are those of its last commit.
	Position, End, Lag int64
	// Flushed is the position on disk: a crash costs the records from there to Position.
	Flushed int64
	// The layers over the store, newest first: Open is written to by callbacks, Sealed is in a commit, Committed is in
	// Kafka, Frozen is being flushed.
	Open, Sealed, Committed, Frozen LayerStats
	// Records were written to the table's topic, Bytes are their keys and values.
	Records, Bytes int64
	// LastCommit is when Kafka last took changes of the table, LastFlush when the disk did; zero if not yet.
	LastCommit, LastFlush time.Time
	// Restore is the last restore, under way or done.
	Restore RestoreStats
	// Stale: the table has been current, but its log is not what was read, for Cause. Reads, where they are allowed, answer
	// from before until a rebuild is done.
	Stale bool
	Cause string
}

// LayerStats is one layer.
type LayerStats struct {
	Rows int
	// Bytes estimates the memory they take.
	Bytes int64
}

// MemoryStats is what is in use of the memory of a Processor or a View, in bytes. Much of it is estimated: what a row, a record
// or an open LevelDB takes beside its bytes.
type MemoryStats struct {
	// Bound is what may be in use: 7/16 of processor.MemoryBytes, since a heap grows to twice of it before it is collected.
	Bound int64
	// Fixed is what tasks and open stores take in any case, Stores are LevelDB's memory tables and the filters of keys, Blocks its cache,
	// which has what Layers and Rebuilds do not need at the moment, too, and the tables that are being written.
	Fixed, Stores, Blocks int64
	// Rows are those that callbacks have read, Layers what they have written and is not on disk, Rebuilds the rebuilds that
	// have their turn.
	Rows, Layers, Rebuilds int64
	// Fetched are records that were not handled yet and answers under way, of a View those of all views of its Client;
	// Producing is what it takes to send a commit.
	Fetched, Producing int64
}

// InUse is the sum of it.
func (m MemoryStats) InUse() int64 {
	return m.Fixed + m.Stores + m.Blocks + m.Rows + m.Layers + m.Rebuilds + m.Fetched + m.Producing
}

// Lag sums what is left to read: of a Processor the lags of the inputs of this process's tasks, of a View those of the
// table's partitions. It is false while one of them is not known: before the tasks run and have heard of their ends.
// 0 says that everything was handled; its effects are in Kafka a commit later. processor.Lag asks Kafka, of the whole group.
func (s Stats) Lag() (offsets int64, known bool) {
	if s.State != StateRunning {
		return 0, false
	}
	for _, t := range s.Tasks {
		lags := t.inputLags()
		if s.Kind == KindView {
			lags = t.tableLags()
		}
		for _, lag := range lags {
			if lag == Unknown {
				return 0, false
			}
			offsets += lag
		}
	}
	return offsets, true
}

// inputLags has one that is not known while the inputs themselves are not.
func (t TaskStats) inputLags() []int64 {
	if len(t.Inputs) == 0 {
		return []int64{Unknown}
	}
	lags := make([]int64, len(t.Inputs))
	for i, in := range t.Inputs {
		lags[i] = in.Lag
	}
	return lags
}

func (t TaskStats) tableLags() []int64 {
	lags := make([]int64, len(t.Tables))
	for i, table := range t.Tables {
		lags[i] = table.Lag
	}
	return lags
}

// String is a line for people: the totals that are not 0, the state, and the tasks by number.
func (s Stats) String() string {
	var parts []string
	total := func(name string, n int64, always bool) {
		if n != 0 || always {
			parts = append(parts, fmt.Sprintf("%s %d", name, n))
		}
	}
	total("records", s.Records, s.Kind != KindView)
	total("nulls", s.Nulls, false)
	total("skipped", s.Skipped, false)
	total("dead letters", s.DeadLetters, false)
	total("retries", s.Retries, false)
	total("restored", s.Restored, s.Kind == KindView)
	total("commits", s.Commits, false)
	total("flushes", s.Flushes, false)
	total("stores removed", s.StoresRemoved, false)
	lag, known := s.Lag()
	total("lag", lag, known)
	state := s.State
	if s.Err != nil {
		state += fmt.Sprintf(" (%v)", s.Err)
	}
	var tasks []string
	for _, n := range slices.Sorted(maps.Keys(s.Tasks)) {
		tasks = append(tasks, fmt.Sprintf("%d %s", n, s.Tasks[n]))
	}
	return fmt.Sprintf("%s, %s, tasks [%s]", strings.Join(parts, ", "), state, strings.Join(tasks, ", "))
}

// String is the state, with what a restore is at.
func (t TaskStats) String() string {
	text := t.State
	if t.Held != "" {
		text += " (" + t.Held + ")"
	}
	for _, table := range t.Tables {
		switch r := table.Restore; {
		case table.Stale:
			text += fmt.Sprintf(" %s stale: %s", table.Topic, table.Cause)
		case t.State == TaskRestoring && r.Decision != "" && !r.Done:
			text += fmt.Sprintf(" %s %.0f %%", table.Topic, 100*r.Fraction())
		}
	}
	return text
}
