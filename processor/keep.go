package processor

import (
	"context"
	"math"
	"time"

	"github.com/tarnstream/tarn/observe"
	"github.com/tarnstream/tarn/state"
)

const (
	// keepCheck is how often stores of partitions that moved away are looked at.
	keepCheck = time.Minute
	// keepLeast is how long a partition has been away in this run before its store may be removed.
	keepLeast = 5 * time.Minute
	// keepDefault takes the place of a delete.retention.ms that is not known; it is Kafka's.
	keepDefault = 24 * time.Hour
)

// keeper removes the stores of partitions that have moved away.
//
// The naive way removes a store when its partition is given up, and a rolling restart then reads every table twice from
// its topic; or goes by the files' times, which a backup makes fresh (R40). Never to remove one fills the disk of each
// machine with every partition that it ever had.
//
// The rule: a store is of use for as long as its tail can be trusted, which is delete.retention.ms after it was last known
// to be current; that time stands in its checkpoint. Where it does not, or lies ahead of our clock, the age counts from
// when this run first saw the store. A process that was away for long itself has old stores that it is about to be given:
// nothing is removed before the partition has been away for a while in this run, nor while this process is in no
// generation of its group. While a store is looked at or removed its partition is held: a task that starts meanwhile waits.
type keeper struct {
	env  *environment
	away map[storeKey]*awayStore
}

type storeKey struct {
	table     string
	partition int32
}

// awayStore is a store of a partition that is not here.
type awayStore struct {
	last  *task     // that had it here, nil for none in this run
	since time.Time // when it was first seen so
	read  bool      // what follows was read
	has   bool      // there is something, a checkpoint or damage
	check state.Checkpoint
}

func newKeeper(env *environment) *keeper { return &keeper{env: env, away: map[storeKey]*awayStore{}} }

func (k *keeper) run(ctx context.Context) error {
	if k.env.dir == nil || len(taskTables(k.env.group)) == 0 {
		return nil
	}
	every(ctx, keepCheck, func() {
		if _, in := k.env.member.Current(); !in {
			clear(k.away) // nobody knows now whose the partitions are
			return
		}
		for _, table := range taskTables(k.env.group) {
			k.look(table)
		}
	})
	return nil
}

// look goes over the stores of one table.
func (k *keeper) look(table string) {
	partitions, err := k.env.dir.Partitions(table)
	if err != nil {
		k.env.log.Warn("stores of partitions that moved away cannot be listed", "table", table, "error", err)
	}
	for _, p := range partitions {
		key := storeKey{table, p}
		last, release := k.env.tasks.hold(p)
		if release == nil {
			delete(k.away, key)
			continue
		}
		if s := k.away[key]; s == nil || s.last != last { // also where it has come and gone since
			k.away[key] = &awayStore{last: last, since: k.env.now()}
		}
		removed, err := k.consider(key)
		release()
		if err != nil {
			k.env.log.Warn("the store of a partition that moved away is not removed now, but later", "table", table, "partition", p, "error", err)
		}
		if removed != nil {
			k.env.count.removed.Add(1)
			observe.Tell(k.env.conf.observe.StoreRemoved, *removed)
		}
	}
}

// consider removes a store that is old enough, and gives the event where there was something in it. Its partition is held.
func (k *keeper) consider(key storeKey) (*observe.StoreRemoved, error) {
	s, now := k.away[key], k.env.now()
	if now.Sub(s.since) < keepLeast {
		return nil, nil
	}
	if err := s.load(k.env.dir, key); err != nil {
		return nil, err
	}
	if s.age(now) < k.keep(s.check) {
		return nil, nil
	}
	if err := k.env.dir.Remove(key.table, key.partition); err != nil {
		return nil, err
	}
	delete(k.away, key)
	if !s.has {
		return nil, nil
	}
	return &observe.StoreRemoved{Place: k.env.place(key.table, key.partition), KnownCurrent: s.check.KnownCurrent}, nil
}

// load reads the checkpoint, once: nobody writes the store while its partition is away. One that is damaged has none.
func (s *awayStore) load(dir *state.GroupDir, key storeKey) (err error) {
	if s.read {
		return nil
	}
	s.check, s.has, err = dir.StoredCheckpoint(key.table, key.partition)
	if is[*state.DamageError](err) {
		s.check, s.has, err = state.Checkpoint{DeleteRetention: -1}, true, nil
	}
	s.read = err == nil
	return err
}

// age is for how long the store was not known to be current. One without anything is as old as can be.
func (s *awayStore) age(now time.Time) time.Duration {
	switch known := s.check.KnownCurrent; {
	case !s.has:
		return math.MaxInt64
	case known.IsZero() || known.After(now):
		return now.Sub(s.since)
	default:
		return now.Sub(known)
	}
}

// keep is how long a store is kept: as the user says, and no longer than its tail can be trusted.
func (k *keeper) keep(c state.Checkpoint) time.Duration {
	most := c.DeleteRetention
	if most < 0 {
		most = keepDefault
	}
	if own := k.env.conf.state.Keep; own > 0 {
		most = min(most, own)
	}
	return most
}
