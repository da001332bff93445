package processor

import (
	"context"
	"slices"

	"github.com/tarnstream/tarn/internal/scope"
	worker "github.com/tarnstream/tarn/internal/task"
	"github.com/tarnstream/tarn/observe"
)

// lookup is a whole table of somebody else, kept once for all tasks of the process. It implements scope.ReadBacking.
type lookup struct {
	read       *scope.Read
	partitions []*follower
}

// lookups are those of a run. Their followers outlive the tasks.
type lookups []*lookup

func newLookups(env *environment) lookups {
	var all lookups
	for i := range env.group.Reads {
		read := &env.group.Reads[i]
		if !read.Lookup {
			continue
		}
		l := &lookup{read: read}
		for p := range env.readPartitions[i] {
			l.partitions = append(l.partitions, newFollower(env, i, p, env.tasks.ran))
		}
		all = append(all, l)
	}
	return all
}

// start follows all partitions.
func (ls lookups) start(g *worker.Group) {
	for _, l := range ls {
		for _, f := range l.partitions {
			f.start(g)
		}
	}
}

// of finds the lookup of a table.
func (ls lookups) of(read *scope.Read) *lookup {
	for _, l := range ls {
		if l.read == read {
			return l
		}
	}
	return nil
}

// current waits until all of them are for the first time.
func (ls lookups) current(ctx context.Context) error {
	for _, l := range ls {
		for _, f := range l.partitions {
			if err := f.current(ctx); err != nil {
				return err
			}
		}
	}
	return nil
}

// areCurrent tells whether all of them have been.
func (ls lookups) areCurrent() bool {
	for _, l := range ls {
		if !l.wasCurrent() {
			return false
		}
	}
	return true
}

// wasCurrent tells whether all of its partitions have been.
func (l *lookup) wasCurrent() bool {
	return !slices.ContainsFunc(l.partitions, func(f *follower) bool { return !isClosed(f.ready) })
}

// isCurrent tells whether all of its partitions show their logs as they are.
func (l *lookup) isCurrent() bool {
	return !slices.ContainsFunc(l.partitions, func(f *follower) bool { return !f.isCurrent() })
}

func (ls lookups) stats() (all []observe.TableStats) {
	for _, l := range ls {
		for _, f := range l.partitions {
			all = append(all, f.stats())
		}
	}
	return all
}

// Get implements scope.ReadBacking.
func (l *lookup) Get(key []byte) ([]byte, bool, error) {
	return l.partitions[l.read.Hash.Partition(key, int32(len(l.partitions)))].Get(key)
}

// Range implements scope.ReadBacking.
func (l *lookup) Range() scope.Rows { return &chain{rest: l.partitions} }

// chain walks over one partition after the other.
type chain struct {
	scope.Rows // of the partition it is in; nil before the first
	rest       []*follower
}

func (c *chain) Next() bool {
	for {
		switch {
		case c.Rows != nil && c.Rows.Next():
			return true
		case c.Err() != nil || len(c.rest) == 0:
			return false
		}
		c.Close()
		c.Rows, c.rest = c.rest[0].Range(), c.rest[1:]
	}
}

func (c *chain) Err() error {
	if c.Rows == nil {
		return nil
	}
	return c.Rows.Err()
}

func (c *chain) Close() {
	if c.Rows != nil {
		c.Rows.Close()
	}
}
