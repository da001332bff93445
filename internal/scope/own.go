package scope

import "fmt"

// PartitionError says that a callback named a key whose row another task keeps. Emit to a Loop of the group with that
// key, and write its row when the record arrives there.
type PartitionError struct {
	Table string
	Key   string
	// Partition is the key's, Task the one the callback runs in.
	Partition, Task int32
}

func (e *PartitionError) Error() string {
	return fmt.Sprintf("topology: table %s: key %.64q is in partition %d, this is task %d: emit to a Loop with that key instead",
		e.Table, e.Key, e.Partition, e.Task)
}

// SetTask says which partition of how many the frame is for. Before that every key is taken for its own.
func (f *Frame) SetTask(partition, of int32) { f.task, f.partitions = partition, of }

// Own checks that key of table t is a row of this frame's task.
func (f *Frame) Own(t *Topic, key []byte) error {
	if f.partitions == 0 {
		return nil
	}
	if p := t.Hash.Partition(key, f.partitions); p != f.task {
		return &PartitionError{Table: t.Name, Key: string(key), Partition: p, Task: f.task}
	}
	return nil
}
