package observe

import "time"

// Change speaks of one row of a View that changed: see View.OnChange of package processor.
type Change[T any] struct {
	Place
	// Kind says by what it changed: Record, Start, Rebuild or Sweep.
	Kind string
	Key  string
	// Old and New are its values before and now. Existed and Exists tell whether there were any.
	Old, New        T
	Existed, Exists bool
	// Offset and Timestamp are those of the record that New comes from, or of the one that deleted the row. A row that
	// goes by Rebuild or Sweep has no record: -1, and the zero time.
	Offset    int64
	Timestamp time.Time
}

// The kinds of Change.
const (
	// Record: a record of the table's topic was applied. Those of one partition come in the order of their offsets.
	Record = "record"
	// Start: the row was there when the partition was current for the first time in this run. Each has Existed false.
	Start = "start"
	// Rebuild: the log was reset, or could not be trusted, and the partition that was built anew differs in this row.
	Rebuild = "rebuild"
	// Sweep: the log start has risen above the row's record.
	Sweep = "sweep"
)
