package observe

import (
	"time"

	"github.com/tarnstream/tarn/state"
)

// Audit is what the comparison of one table partition with its topic came to: the rows with the fold of the log.
type Audit struct {
	Place
	// Position is where both were compared: the rows as they were when everything below it was applied, with the log below it.
	Position int64
	// Rows counts the rows of the table, Records the records of the log that were read, over again in each of Passes.
	Rows, Records int64
	Passes        int
	// Different counts the keys in which table and topic differ; Differences are the first of them in key order.
	Different   int64
	Differences []Difference
	// Changed counts rows that could not be compared, since the log has a newer record of them and the one at Position may be
	// compacted away: a later audit compares them.
	Changed int64
	// Below counts rows whose records are below the log start. They are no difference: the next restore, or a follower, sweeps them.
	Below int64
	// Unproven counts rows of which the topic has no record, where that says nothing: the log has grown beyond Position, and the
	// table was known to be current longer than delete.retention.ms ago, so that a tombstone may have come and gone. A start
	// reads the tail, and rebuilds the table where it has a hole.
	Unproven int64
	// Digest is that of the rows on disk, each with its key, offset and value, and Stored the one that the store had noted of them
	// with its last write: 16 hex digits, empty where not known. A whole audit always finds Digest; a store that had none stores it with its
	// next write.
	Digest, Stored string
	Took           time.Duration
	// Err says why nothing was compared, or not all: the partition has moved away, or the log is not that of the table. It is nil
	// after a whole audit, whatever that found.
	Err error
}

// Equal tells that the whole partition was compared and no difference found, nor is it Altered.
func (a *Audit) Equal() bool {
	return a.Err == nil && a.Different == 0 && a.Unproven == 0 && !a.Altered()
}

// Altered tells that the rows on disk are not those that the store has written, whatever the topic says of them: something else has
// changed the files. A store that is removed while its process is stopped is rebuilt from the topic at the next start.
func (a *Audit) Altered() bool { return a.Digest != "" && a.Stored != "" && a.Digest != a.Stored }

// Difference is a key in which a table differs from its topic. nil means that there is no row.
type Difference struct {
	Key   []byte
	Table *state.Row
	// Topic is the newest record below the audit's position. Its Value is nil where it was compacted away before it could be
	// read for this report, and empty where it is empty.
	Topic *state.Row
}
