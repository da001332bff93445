package processor

import (
	"errors"
	"fmt"

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

// Get reads a row of a table that p's group keeps, as it is committed in Kafka. ok is false for an absent key.
// Errors: ErrNotReady while the partition is being restored, *NotLocalError for a partition of another process, the
// codec's own, or trouble with the disk.
func Get[T any](p *Processor, table *topology.Table[T], key string) (value T, ok bool, err error) {
	index, ts := -1, p.tasks()
	for i, t := range p.group.Description().Tables {
		if t.Handle == any(table) {
			index = i
		}
	}
	if index < 0 {
		return value, false, fmt.Errorf("processor: group %s does not keep table %s", p.group.Name(), table.Name())
	}
	if ts == nil {
		return value, false, ErrNotReady
	}
	partition := table.Spec().Hash.Partition(bytesOf(key), ts.env.taskCount)
	t := ts.get(partition)
	if t == nil {
		return value, false, &NotLocalError{Table: table.Name(), Key: key, Partition: partition}
	}
	if t.state.Load() != taskRunning {
		return value, false, ErrNotReady
	}
	data, ok, err := t.cells[index].read(key, false)
	if err != nil || !ok {
		return value, false, err
	}
	value, err = table.Codec().Decode(data)
	return value, err == nil, err
}
