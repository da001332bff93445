package processor

import (
	"errors"
	"fmt"
	"slices"

	"github.com/tarnstream/tarn/codec"
	"github.com/tarnstream/tarn/internal/scope"
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
// absent key. Of a table that is being rebuilt after a reset it gives what was there before, see Observer.StaleRead.
// Errors: ErrNotReady while the partition is being restored or given away, *NotLocalError for a partition of another process (a table
// that is looked up has none), the codec's own, or trouble with the disk.
func Get[T any](p *Processor, table tableOf[T], key string) (value T, ok bool, err error) {
	data, ok, err := p.row(table.Spec(), key)
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
func (p *Processor) row(topic scope.Topic, key string) ([]byte, bool, error) {
	g, ts := p.group.Description(), p.tasks()
	kept := slices.IndexFunc(g.Tables, func(t scope.Table) bool { return t.Handle == topic.Handle })
	read := slices.IndexFunc(g.Reads, func(r scope.Read) bool { return r.Handle == topic.Handle })
	switch {
	case kept < 0 && read < 0:
		return nil, false, fmt.Errorf("processor: group %s neither keeps nor reads table %s", g.Name, topic.Name)
	case ts == nil:
		return nil, false, ErrNotReady
	case read >= 0 && g.Reads[read].Lookup:
		l := ts.env.lookups.of(&g.Reads[read])
		if !l.isCurrent() {
			return nil, false, ErrNotReady
		}
		return l.Get(bytesOf(key))
	}
	partition := topic.Hash.Partition(bytesOf(key), ts.env.taskCount)
	t := ts.get(partition)
	switch {
	case t == nil:
		return nil, false, &NotLocalError{Table: topic.Name, Key: key, Partition: partition}
	case t.state.Load() != taskRunning:
		return nil, false, ErrNotReady
	case kept >= 0:
		return t.cells[kept].read(key, false)
	}
	return t.reads[read].Get(bytesOf(key))
}
