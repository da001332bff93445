package workload

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/tarnstream/tarn/observe"
)

// The clients. The last three are floors: what a part of the work costs without the rest.
const (
	Tarn                   = "tarn"
	TarnAtLeastOnce        = "tarn-at-least-once"
	Goka                   = "goka"
	Streams                = "streams" // Kafka Streams, exactly-once
	StreamsAtLeastOnce     = "streams-at-least-once"
	StreamsUncached        = "streams-uncached" // at least once, without its cache of rows: each change goes to the changelog
	StreamsExactlyUncached = "streams-exactly-once-uncached"
	Sarama                 = "sarama"  // a ConsumerGroup that counts in a map, without a changelog
	Raw                    = "fetch"   // Broker.Fetch, decoded and thrown away
	LevelDB                = "leveldb" // Broker.Fetch and plain batches of goleveldb
)

// The work they do.
const (
	Count   = "count"
	Map     = "map"  // every other record goes to an output topic, its value changed; no state
	Pass    = "pass" // counts each record, and hands it on
	Restore = "restore"
	Fetch   = "fetch"
	Restart = "restart" // from the start of a process to its first record, on the state of the process before
	Lookup  = "lookup"  // reads of a view
	Crowd   = "crowd"   // three tables, behind a connection that is slow to write
	Again   = "again"   // the same tables on another machine
)

// Job says what one process does.
type Job struct {
	Client, Work string
	Brokers      []string
	// Topic is what is read; a Restart makes its own. Group counts its records by key into the table that TableOf names.
	Topic, Group string
	// Dir is an empty folder.
	Dir string
	// Records is how many records Topic has.
	Records int64
	// Shape is what Topic was filled with: a Lookup asks for its keys, a Map's output and a Restart's input are like it.
	Shape Shape
	// Filled is what filling Topic gave, by which the work is verified.
	Filled Outcome
	// Memory is tarn's option, 0 the default; WriteRate bounds what a client may write, in bytes a second, 0 for no bound.
	Memory    int64
	WriteRate int
	// CommitInterval is an option of tarn and Kafka Streams, 0 for tarn's default.
	CommitInterval time.Duration
	// SessionTimeout is an option of Kafka Streams: how long its group waits for a process that was killed. 0 is the default, 45 s.
	SessionTimeout time.Duration
	// Time is how long a Lookup goes on at least, and how long a Restart's first process has traffic; 0 for 3 and 5 s.
	Time time.Duration
	// Kill has a Restart follow a SIGKILL under traffic, not a clean stop.
	Kill bool
	// Readers is how many goroutines, or threads, a Lookup has; 0 is one.
	Readers int
	// Began is when the process was started, where its start counts. Process sets it.
	Began time.Time
	// Profile is the beginning of the paths of a processor and a heap profile, "" for none. Kafka Streams has none.
	Profile string
}

// Outcome is what came of a Job.
type Outcome struct {
	// Seconds is the time of the work alone: the start of the process, joining the group and leaving it are no part of it,
	// but for a Restart, where it is from the start of the process to the first record handled.
	Seconds float64
	// Warm is the part of Seconds after a quarter of the records; 0 where the work has no such part.
	Warm float64
	// CPU is the processor time of the whole process, user and system, in seconds. Process sets it.
	CPU float64
	// Rows counts the rows of a restored table, Sum adds up their sequence numbers. A count in a map has them of its map.
	Rows, Sum int64
	// Lookups is how many rows were read, by Readers goroutines or threads together.
	Lookups int64
	Readers int
	// Restored is how many records of its table's topic a Restart has read; below 0 where the client does not tell.
	Restored int64
	// Idle is the process's peak memory before the work, Peak after it, in bytes; 0 where the system does not tell.
	Idle, Peak int64
	// InUse is the most of each part of its memory that tarn said was in use, Most of all of them at a time.
	InUse observe.MemoryStats
	Most  int64
}

// Run does the job.
func Run(ctx context.Context, j Job) (Outcome, error) {
	run, ok := map[string]func(context.Context, Job) (Outcome, error){
		Tarn + Count: tarnCount, TarnAtLeastOnce + Count: tarnCount, Tarn + Restore: tarnRestore,
		Tarn + Pass: tarnPass, TarnAtLeastOnce + Pass: tarnPass, Tarn + Map: tarnMap, TarnAtLeastOnce + Map: tarnMap,
		Goka + Count: gokaCount, Goka + Pass: gokaPass, Goka + Map: gokaMap, Goka + Restore: gokaRestore,
		Tarn + Restart: tarnRestart, TarnAtLeastOnce + Restart: tarnRestart, Goka + Restart: gokaRestart,
		Tarn + Lookup: tarnLookup, Goka + Lookup: gokaLookup,
		Sarama + Count: saramaCount, Raw + Fetch: rawFetch, LevelDB + Restore: levelDBRestore, Tarn + Crowd: tarnCrowd, Tarn + Again: tarnAgain,
	}[j.Client+j.Work]
	if !ok {
		return Outcome{}, fmt.Errorf("workload: no client %q for %q", j.Client, j.Work)
	}
	idle := PeakMemory()
	stop, err := profile(j.Profile)
	if err != nil {
		return Outcome{}, err
	}
	out, err := run(ctx, j)
	if err = errors.Join(err, stop()); err != nil {
		return out, fmt.Errorf("workload: %s %s: %w", j.Client, j.Work, err)
	}
	out.Idle = idle
	return out, nil
}

// add takes a restored row.
func (o *Outcome) add(value []byte) error {
	n, err := numberOf(value)
	o.Rows++
	o.Sum += n
	return err
}
