package processor

import (
	"log/slog"
	"sync"
	"time"

	"github.com/tarnstream/tarn/internal/kafka"
	"github.com/tarnstream/tarn/internal/scope"
	"github.com/tarnstream/tarn/observe"
	"github.com/tarnstream/tarn/state"
)

// environment is what the parts of one run share. It is built before anything runs and then only read.
type environment struct {
	group  *scope.Group
	conf   config
	log    *slog.Logger
	now    func() time.Time
	client *kafka.Client
	// disconnect is called when the client is needed no more.
	disconnect func()
	dir        *state.GroupDir // nil for a group without tables that was given no state directory
	reader     *kafka.Reader
	member     *kafka.Membership
	tasks      *tasks
	commit     *committer
	flush      *flusher
	// lookups are the looked-up tables, for all tasks.
	lookups lookups
	// fail ends the run with an error; the first counts.
	fail func(error)
	// budget is divided once the partitions are known.
	budget *budget

	restoring      chan struct{}           // a slot for each restore that may run at a time
	taskCount      int32                   // partitions of the inputs
	partitions     []int32                 // of each output
	readPartitions []int32                 // of each table that is only read
	limits         map[string]scope.Limits // of the topics written
	written        []string                // the topics of tables, outputs and dead letters
	letters        []scope.Topic           // of dead letters

	letterPartitions map[string]int32
	mismatched       sync.Map // places of which a HashMismatch was told

	count *counters
}

// place names a partition in events.
func (e *environment) place(topic string, partition int32) observe.Place {
	return observe.Place{Group: e.group.Name, Topic: topic, Partition: partition}
}

func (e *environment) topicNames() []string {
	var names []string
	for _, in := range e.group.Inputs {
		if !in.Loop { // a loop is among those written
			names = append(names, in.Name)
		}
	}
	for _, r := range e.group.Reads {
		names = append(names, r.Name)
	}
	return append(names, e.written...)
}

// kept names the topics that belong to the group alone: tables and loops.
func (e *environment) kept() []string {
	var names []string
	for _, t := range e.group.Tables {
		names = append(names, t.Name)
	}
	for _, o := range e.group.Outputs {
		if o.Loop {
			names = append(names, o.Name)
		}
	}
	return names
}

func writtenTopics(g *scope.Group, letters []scope.Topic) []string {
	var names []string
	for _, t := range g.Tables {
		names = append(names, t.Name)
	}
	for _, o := range g.Outputs {
		names = append(names, o.Name)
	}
	for _, t := range letters {
		names = append(names, t.Name)
	}
	return names
}
