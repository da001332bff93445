package policy

import (
	"fmt"
	"time"

	"github.com/tarnstream/tarn/internal/scope"
)

// StateOption is a choice about a state directory, for processor.StateDir.
type StateOption = scope.StateOption

// KeepStores sets how long a Processor keeps the store of a partition that others have now: when the partition comes back in
// that time, only what was written since is read. The age of a store is the time since it was last known to be current. The
// default, and the most, is delete.retention.ms of the table's topic: an older store may miss that keys were deleted, and
// would mostly be rebuilt. Stores are looked at every minute, and none is removed in the first five minutes that its
// partition is away in a run.
func KeepStores(d time.Duration) StateOption {
	return func(s *scope.StatePolicy) {
		s.Keep = d
		if d <= 0 {
			s.Faults = append(s.Faults, fmt.Sprintf("KeepStores: %v is not positive", d))
		}
	}
}

// StayOnStop makes a stop, also one by an error, keep this process's place in the group: its tasks wait for it to come back
// with the same state directory, until processor.SessionTimeout is over, and no other process takes them up meanwhile. It is
// for rolling restarts; choose a session time-out that is longer than a restart. Without it a stop leaves the group and gives
// the tasks to others at once. A group without a state directory has no identity to come back with, and leaves.
func StayOnStop() StateOption { return func(s *scope.StatePolicy) { s.Stay = true } }
