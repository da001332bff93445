package processor

import (
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/tarnstream/tarn/internal/kafka"
	"github.com/tarnstream/tarn/state"
)

// countsEvery is how often a view looks at the number of partitions.
const countsEvery = 10 * time.Second

// sameCount compares the topic's number of partitions with that of the last start, before which the folders of the given
// partitions were there. A key's partition follows from the number, so that rows written before it changed are looked for
// in the wrong partition: a view of such a table would be silently wrong (R36). Only a topic that was made again since may
// have another number.
func (v *View[T]) sameCount(dir *state.GroupDir, topic kafka.Topic, parts []*part, before []int32) error {
	if len(before) == 0 {
		return nil
	}
	was, is := before[len(before)-1]+1, int32(len(parts))
	if was == is {
		return nil
	}
	for _, p := range parts {
		if cp, ok := p.store.Checkpoint(); ok && cp.TopicID == topic.ID {
			return v.counted(&kafka.PartitionCountError{Topic: topic.Name, Was: was, Is: is})
		}
	}
	for _, n := range before {
		if n < is {
			continue
		}
		gone := dir.StoreDir(topic.Name, n)
		v.log.Warn("the topic was made again with fewer partitions: a store is removed", "partition", n, "dir", gone)
		if err := os.RemoveAll(gone); err != nil {
			return fmt.Errorf("remove the store of a partition that is gone: %w", err)
		}
	}
	return nil
}

// counted makes trouble with the number of partitions a *TopicsError.
func (v *View[T]) counted(err error) error {
	if is[*kafka.PartitionCountError](err) || errors.Is(err, kafka.ErrNoPartition) {
		return &TopicsError{Group: v.name, Causes: []error{err}}
	}
	return err
}
