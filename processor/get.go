package processor

import (
	"errors"
	"fmt"
	"slices"

	"github.com/tarnstream/tarn/codec"
	"github.com/tarnstream/tarn/internal/scope"
	"github.com/tarnstream/tarn/policy"
	"github.com/tarnstream/tarn/state"
	"github.com/tarnstream/tarn/topology"
)

// ErrNotReady is returned by reads before the table is current.
var ErrNotReady = errors.New("processor: the table is not current yet: wait for Ready")

// NotLocalError says that a key's partition is not kept by this process now. Ask the process that has it, or a View.
type NotLocalError struct {
	Table     string
	Key       string
	Partition int32
}

func (e *NotLocalError) Error() string {
	return fmt.Sprintf("processor: table %s: key %.64q is in partition %d, which is not kept here", e.Table, e.Key, e.Partition)
}

// tableOf is a handle of a table of T: a *topology.Table or a *topology.ReadTable.
type tableOf[T any] interface {
	topology.Handle
	Codec() codec.Codec[T]
	Table()
}

// Get reads a row of a table that p's group keeps, joins or looks up, as it is committed in Kafka. ok is false for an
// absent key. While the key's partition is restored there is no answer, unless the read allows a stale one: then it is the
// row from before, of a rebuild that of the old generation, with its age. Of a joined or looked-up table that is rebuilt
// after a reset it is the row from before in any case, see Observer.StaleRead; policy.MaxAge bounds its age.
// Errors: ErrNotReady while the partition is restored, has nothing from before, or is given away; it is inside of a
// *policy.StaleError where the read would only have to allow it. *NotLocalError for a partition of another process (a table
// that is looked up has none), the codec's own, or trouble with the disk.
func Get[T any](p *Processor, table tableOf[T], key string, reads ...policy.Read) (value T, ok bool, err error) {
	data, ok, err := p.row(table.Spec(), key, reads)
	if errors.Is(err, state.ErrClosed) { // between the look at its task and the read the partition went
		err = ErrNotReady
	}
	if err != nil || !ok {
		return value, false, err
	}
	value, err = table.Codec().Decode(data)
	return value, err == nil, err
}

// row reads from whatever has the key's partition now.
func (p *Processor) row(topic scope.Topic, key string, reads []policy.Read) ([]byte, bool, error) {
	at, err := p.find(topic)
	if err != nil {
		return nil, false, err
	}
	ts := p.tasks()
	if ts == nil {
		return nil, false, ErrNotReady
	}
	if at.lookup {
		l := ts.env.lookups.of(at.read)
		return l.partitions[topic.Hash.Partition(bytesOf(key), int32(len(l.partitions)))].answer(key, reads)
	}
	partition := topic.Hash.Partition(bytesOf(key), ts.env.taskCount)
	t := ts.get(partition)
	if t == nil {
		return nil, false, &NotLocalError{Table: topic.Name, Key: key, Partition: partition}
	}
	table := t.outside(at)
	if table == nil {
		return nil, false, ErrNotReady
	}
	return table.answer(key, reads)
}

// role is what a group does with a table.
type role struct {
	kept   int         // its number among the tables that the group keeps, negative: it does not
	read   *scope.Read // nil: it is not only read
	joined int         // its number among the joined tables
	lookup bool
}

// find gives the role of a table in the group.
func (p *Processor) find(topic scope.Topic) (role, error) {
	g := p.group.Description()
	if kept := slices.IndexFunc(g.Tables, func(t scope.Table) bool { return t.Handle == topic.Handle }); kept >= 0 {
		return role{kept: kept}, nil
	}
	r := role{kept: -1}
	for i := range g.Reads {
		switch read := &g.Reads[i]; {
		case read.Handle == topic.Handle:
			r.read, r.lookup = read, read.Lookup
			return r, nil
		case !read.Lookup:
			r.joined++
		}
	}
	return r, fmt.Errorf("processor: group %s neither keeps nor reads table %s", g.Name, topic.Name)
}

// outsideTable is a table partition of a task for who is outside of it.
type outsideTable interface {
	answer(key string, reads []policy.Read) ([]byte, bool, error)
	isCurrent() bool
}

// outside gives a table of the task as long as there is something to be read.
func (t *task) outside(at role) outsideTable {
	if t.state.Load() == taskClosing {
		return nil
	}
	if at.kept >= 0 {
		return &t.kept[at.kept]
	}
	if joins := t.meter.joins.Load(); joins != nil {
		return (*joins)[at.joined]
	}
	return nil
}
