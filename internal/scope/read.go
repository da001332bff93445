package scope

// Read is one table of somebody else that the group reads. A joined one is co-partitioned with the inputs, and a task has
// the partition of its number; of one looked up a task has all of them.
type Read struct {
	Topic
	Lookup bool
	// AllowStale lets a task handle records while its partition of a joined table is rebuilt.
	AllowStale bool
}

// ReadOption says how a group reads a table.
type ReadOption func(*Read)

// ReadBacking gives the rows of one Read, as they are committed in its topic.
type ReadBacking interface {
	// Get gives key's row; ok is false for an absent key. The bytes are the caller's own.
	Get(key []byte) (value []byte, ok bool, err error)
	// Range walks over all rows that the task has, partition by partition, in key order within one: each as it is when
	// the walk reaches it. It must be closed.
	Range() Rows
}

// SetReads gives the frame what stands behind the group's Reads, in their order.
func (f *Frame) SetReads(reads []ReadBacking) {
	f.reads = make([]ReadBacking, len(reads))
	for i, r := range reads {
		f.reads[i] = &guardedRead{below: r, frame: f}
	}
}

// Read finds what stands behind the handle of a table that is only read.
func (f *Frame) Read(t *Topic) (*Read, ReadBacking, error) {
	if !f.inside {
		return nil, nil, ErrNotInCallback
	}
	for i := range f.group.Reads {
		if r := &f.group.Reads[i]; r.Handle == t.Handle {
			return r, f.reads[i], nil
		}
	}
	return nil, nil, &UndeclaredError{Group: f.group.Name, Kind: "table", Name: t.Name, Edge: "Join or Lookup"}
}
