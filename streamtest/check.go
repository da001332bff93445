package streamtest

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/tarnstream/tarn/codec"
	"github.com/tarnstream/tarn/internal/scope"
	"github.com/tarnstream/tarn/observe"
	"github.com/tarnstream/tarn/processor"
	"github.com/tarnstream/tarn/topology"
)

// invariant is one that a script has added.
type invariant struct {
	name  string
	holds func() error
}

// Invariant adds one to those of Check. holds is called when all input is handled and the tables are what their topics
// say; it gives an error that tells what is wrong.
func (k *Kit) Invariant(name string, holds func() error) {
	k.standing = append(k.standing, invariant{name, holds})
}

// foldPatience is how long a table may be another than its topic says, of which nobody told its keeper: a log that was cut
// is noticed with the next commit, or when the keeper asks.
const foldPatience = 5 * time.Minute

// Check waits until every group that has running instances has handled and committed its input, and then fails the test
// unless:
//   - every table that an instance keeps, joins or looks up is the fold of its topic, without a key that the topic has not;
//   - no record of an input is lost: of those below the committed offset each was handled by a callback that returned nil,
//     or passed by a policy, or told to be lost by an event (under at-least-once some are handled twice);
//   - the invariants of the script hold, where every group that was started has a running instance.
//
// A group without a running instance is not looked at, nor one whose last instance ends meanwhile, some of them by a
// FailDisk. Where input was read with processor.Inputs(policy.FromLatest()),
// say so at the Input itself: else what came before counts as lost.
func (k *Kit) Check() {
	k.t.Helper()
	groups := k.groups()
	for _, g := range groups {
		if !k.settles(g) && !k.broken(g) {
			k.unsettled(g)
		}
	}
	for _, g := range groups {
		for _, table := range tablesOf(g) {
			k.checkTable(g, table)
		}
		if lost := k.lost(g); len(lost) > 0 {
			k.t.Fatalf("streamtest: group %s has committed records that it has not handled:\n%s\n%s", g.Name(), strings.Join(lost, "\n"), k.status())
		}
	}
	if slices.ContainsFunc(k.instances, func(i *Instance) bool { return k.allEnded(i.group) }) {
		return // what is to hold may not be there yet
	}
	for _, i := range k.standing {
		if err := i.holds(); err != nil {
			k.t.Fatalf("streamtest: %s: %v\n%s", i.name, err, k.status())
		}
	}
}

// broken tells that all instances of a group have ended, those that the disk ended among them.
func (k *Kit) broken(g *topology.Group) bool {
	return k.allEnded(g) && slices.ContainsFunc(k.instances, func(i *Instance) bool {
		return i.group == g && i.byDisk()
	})
}

// groups are those that have running instances.
func (k *Kit) groups() (groups []*topology.Group) {
	for _, i := range k.instances {
		if !i.ended() && !slices.Contains(groups, i.group) {
			groups = append(groups, i.group)
		}
	}
	return groups
}

// rawTable is a table of a group, its values as bytes.
type rawTable struct {
	topic scope.Topic
}

func (t rawTable) Name() string               { return t.topic.Name }
func (t rawTable) Spec() scope.Topic          { return t.topic }
func (t rawTable) Codec() codec.Codec[[]byte] { return codec.Bytes }
func (t rawTable) Table()                     {}
func (t rawTable) differ(a, b answer[[]byte]) bool {
	return a.there != b.there || !bytes.Equal(a.value, b.value)
}

func tablesOf(g *topology.Group) (tables []rawTable) {
	for _, t := range g.Description().Tables {
		tables = append(tables, rawTable{t.Topic})
	}
	for _, r := range g.Description().Reads {
		tables = append(tables, rawTable{r.Topic})
	}
	return tables
}

// checkTable waits until the instances of a group answer for every key as the table's topic does.
func (k *Kit) checkTable(g *topology.Group, table rawTable) {
	k.t.Helper()
	var wrong []string
	if !k.within(foldPatience, func() bool { wrong = k.wrong(g, table); return len(wrong) == 0 || k.broken(g) }) {
		k.t.Fatalf("streamtest: table %s is not the fold of its topic:\n%s\n%s", table.Name(), strings.Join(wrong, "\n"), k.status())
	}
}

// wrong tells what instances answer otherwise than the topic, or not at all.
func (k *Kit) wrong(g *topology.Group, table rawTable) (wrong []string) {
	k.t.Helper()
	wrong = append(k.restoring(g), k.heldBack(table)...)
	rows := k.Fold(table.Name())
	for _, key := range k.seen(table.Name()) {
		value, there := rows[key]
		want := answer[[]byte]{value: []byte(value), there: there}
		answers := k.answers(g, table, key)
		if len(answers) == 0 {
			wrong = append(wrong, fmt.Sprintf("\tkey %.64q: no instance has it current", key))
		}
		for _, a := range answers {
			if table.differ(a, want) {
				wrong = append(wrong, fmt.Sprintf("\tkey %.64q: instance %s answers %s, the topic says %s", key, a.by.name, quoted(a), quoted(want)))
			}
		}
	}
	return wrong
}

// restoring names the tasks of a group that are not current in all of their tables. What an open transaction holds back of
// one is in no fold yet, though the others answer.
func (k *Kit) restoring(g *topology.Group) (tasks []string) {
	for _, i := range k.instances {
		if i.group != g || i.ended() {
			continue
		}
		for p, t := range i.Processor.Stats().Tasks {
			if t.State == observe.TaskRestoring {
				tasks = append(tasks, fmt.Sprintf("\tinstance %s: task %d is being restored", i.name, p))
			}
		}
	}
	return tasks
}

// heldBack names the partitions of which an open transaction of somebody keeps records from every reader, the owner's behind it, too.
func (k *Kit) heldBack(table rawTable) (partitions []string) {
	k.t.Helper()
	for p := range k.partitions(table.Name()) {
		if b, err := k.Broker.Bounds(table.Name(), p); err == nil && b.Stable < b.End {
			partitions = append(partitions, fmt.Sprintf("\tpartition %d: an open transaction holds back records from %d on", p, b.Stable))
		}
	}
	return partitions
}

func quoted(a answer[[]byte]) string {
	if !a.there {
		return shown(a.value, false)
	}
	return fmt.Sprintf("%.64q", a.value)
}

// answers are those of a group's running instances that have the key's partition.
func (k *Kit) answers(g *topology.Group, table rawTable, key string) (out []answer[[]byte]) {
	k.t.Helper()
	for _, i := range k.instances {
		if i.group != g || i.ended() {
			continue
		}
		v, there, err := processor.Get(i.Processor, table, key)
		switch _, elsewhere := errors.AsType[*processor.NotLocalError](err); {
		case elsewhere || errors.Is(err, processor.ErrNotReady):
		case err != nil:
			k.note("%s: table %s, key %.64q: %v", i.name, table.Name(), key, err)
		default:
			out = append(out, answer[[]byte]{i, v, there})
		}
	}
	return out
}
