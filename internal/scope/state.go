package scope

import "time"

// StatePolicy is what is done with a state directory.
type StatePolicy struct {
	// Keep bounds how long stores of partitions that moved away are kept; 0 leaves it to their topics.
	Keep time.Duration
	// Stay: a stop keeps the process's place in the group.
	Stay bool
	// Disk is the internal/ldb.FS that tables are kept on, nil for the real one; this package knows of no file systems.
	Disk any
	// Faults are what is wrong with the policy.
	Faults []string
}

// StateOption sets one thing of a StatePolicy.
type StateOption func(*StatePolicy)
