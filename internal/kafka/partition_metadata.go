package kafka

import (
	"errors"
	"time"

	"github.com/tarnstream/tarn/state"
)

// adopt takes over what fresh metadata says of the topic.
func (f *flow) adopt(t Topic, now time.Time) {
	f.stale = false
	switch {
	case t.Err != nil && !missing(t.Err):
		f.adoptError(t.Err)
	case t.Err != nil:
		f.absent(t.Err, now)
	case f.recreated(t):
		at, _ := f.standing()
		f.lose(&TopicChangedError{Topic: f.topic, Partition: f.partition, Was: f.id, Is: t.ID, Position: at})
	case int(f.partition) >= len(t.Partitions):
		f.absent(noPartition(f.topic, f.partition), now)
	default:
		f.missed = absence{}
		if f.id == (state.TopicID{}) {
			f.id = t.ID
		}
		f.follow(t.Partitions[f.partition], now)
	}
}

// recreated compares topic ids. Without a position there is nothing that could be of the wrong topic; seek compares then.
func (f *flow) recreated(t Topic) bool {
	_, ok := f.standing()
	return ok && f.id != (state.TopicID{}) && t.ID != (state.TopicID{}) && t.ID != f.id
}

// standing is the position that the user relies on: also one that was refused, as long as that was not told. A topic
// created again mostly shows itself by a refusal first, and its own name is the better one.
func (f *flow) standing() (int64, bool) {
	if out, ok := f.err.(*state.OutOfRangeError); ok && !f.told {
		return out.Position, true
	}
	return f.position, f.position >= 0
}

func (f *flow) adoptError(err error) {
	if f.position < 0 {
		return
	}
	if e, ok := errors.AsType[*Error](err); ok && e.Retriable() {
		f.stale = true
		return
	}
	f.stick(err)
}

// absent counts how often metadata did not know the partition, and gives up once that is confirmed.
func (f *flow) absent(err error, now time.Time) {
	f.leader = -1
	if f.position < 0 {
		return
	}
	if f.missed.confirmed(now, absenceTimes, absenceTime) {
		f.stick(err)
		return
	}
	f.stale = true
}

// follow moves to the partition's leader. A request under way at the old one is given up.
func (f *flow) follow(p Partition, now time.Time) {
	if f.leader >= 0 && p.Leader != f.leader {
		f.raise(f.position)
		f.notBefore = now
	}
	f.leader, f.epoch = p.Leader, p.Epoch
	f.stale = p.Leader < 0
}

// absence is something that was not there, several times over a while.
type absence struct {
	times int
	since time.Time
}

// A broker may learn of a new topic late.
const (
	absenceTimes = 3
	absenceTime  = 500 * time.Millisecond
)

func (a *absence) confirmed(now time.Time, times int, span time.Duration) bool {
	if a.times++; a.times == 1 {
		a.since = now
	}
	return a.times >= times && now.Sub(a.since) >= span
}
