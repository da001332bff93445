package processor

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/tarnstream/tarn/internal/kafka"
	"github.com/tarnstream/tarn/internal/scope"
)

func (e *environment) membershipConfig() kafka.MembershipConfig {
	var topics []string
	for _, in := range e.group.Inputs {
		topics = append(topics, in.Name)
	}
	c := kafka.MembershipConfig{Group: e.group.Name, Topics: topics, LeaveOnStop: true, SessionTimeout: e.conf.sessionTimeout,
		StopTimeout: e.conf.stopTimeout, RebalanceTimeout: e.conf.stopTimeout, Fingerprint: fingerprint(e.group), Fixed: map[string]int32{},
		OnEvent: e.tasks.onEvent}
	for i, r := range e.group.Reads {
		c.Fixed[r.Name] = e.readPartitions[i]
	}
	if e.dir != nil { // without one nobody can come back as this member
		c.InstanceID, c.Stored, c.LeaveOnStop = e.dir.InstanceID(), e.stored, !e.conf.state.Stay
	}
	return c
}

// stored lists the tasks with all their state on this machine.
func (e *environment) stored() []int32 {
	var all []int32
	for i, table := range taskTables(e.group) {
		list, err := e.dir.Stores(table)
		if err != nil {
			e.log.Warn("state directory cannot be listed", "error", err)
			return nil
		}
		if i == 0 {
			all = list
		}
		all = slices.DeleteFunc(all, func(p int32) bool { return !slices.Contains(list, p) })
	}
	return all
}

// taskTables are the tables of which a task has the partition of its number on disk: its own and the joined ones.
func taskTables(g *scope.Group) []string {
	var names []string
	for _, t := range g.Tables {
		names = append(names, t.Name)
	}
	for _, r := range g.Reads {
		if !r.Lookup {
			names = append(names, r.Name)
		}
	}
	return names
}

// fingerprint tells members of the group with another topology apart: it names what a task reads and keeps, and how keys
// are spread. Outputs, visits and effects are left out: they are no matter of which task runs where.
func fingerprint(g *scope.Group) string {
	var parts []string
	add := func(kind string, t scope.Topic) {
		parts = append(parts, fmt.Sprintf("%s %s by %s", kind, t.Name, t.Hash))
	}
	for _, in := range g.Inputs {
		add(strings.ToLower(in.Kind()), in.Topic)
	}
	for _, t := range g.Tables {
		add("table", t.Topic)
	}
	for _, r := range g.Reads {
		if r.Lookup {
			add("lookup", r.Topic)
		} else {
			add("join", r.Topic)
		}
	}
	slices.Sort(parts)
	return strings.Join(parts, ", ")
}

// endedBy gives the membership's own ends the names that a user knows.
func (e *environment) endedBy(err error) error {
	if errors.Is(err, kafka.ErrFencedInstance) {
		fenced := &FencedError{Group: e.group.Name, Err: err}
		if e.dir != nil {
			fenced.Dir, fenced.InstanceID = e.dir.Dir(), e.dir.InstanceID()
		}
		return fenced
	}
	if count, ok := errors.AsType[*kafka.PartitionCountError](err); ok {
		return &TopicsError{Group: e.group.Name, Causes: []error{count}}
	}
	return err
}

// FencedError says that a newer process has joined the group with this one's instance id, and that Kafka has given it the
// tasks. This process has stopped and does not come back by itself; what it had not committed is done again by the newer
// one. An id belongs to one state directory on one host, and a copied directory makes a new one: two processes have the
// same id where a machine or a disk was cloned, or one directory is mounted on two hosts. Stop one of them, or remove
// the file INSTANCE from one of the directories while its process is stopped: it then gets an id of its own.
type FencedError struct {
	Group, Dir, InstanceID string
	// Err is what Kafka said.
	Err error
}

func (e *FencedError) Error() string {
	return fmt.Sprintf("processor: group %s: a newer process has instance id %s, which is that of %s: stop one of the two, or remove INSTANCE from one directory: %v",
		e.Group, e.InstanceID, e.Dir, e.Err)
}

// Unwrap gives Kafka's error.
func (e *FencedError) Unwrap() error { return e.Err }
