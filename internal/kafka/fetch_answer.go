package kafka

import (
	"errors"
	"time"

	"github.com/IBM/sarama"
)

// answer applies what came of a plan's fetch.
func (x *fetcher) answer(p fetchPlan, a fetchAnswer, now time.Time) {
	x.flying -= p.flying()
	if n := x.nodes[p.node]; n != nil && a.res != nil && a.res.throttle > 0 {
		n.notBefore = now.Add(a.res.throttle)
	}
	a.unfold(p, &x.unfold)
	left, before := int64(p.bytes), false // brokers fill an answer in the order in which they are asked
	for i := range p.asks {
		k := &p.asks[i]
		fits, behind := int64(k.bytes) <= left, before
		left, before = left-int64(a.size(k)), before || a.size(k) > 0
		if k.flow.version != k.version {
			continue // sought, reset, moved or closed meanwhile (R50, R38)
		}
		k.flow.coming = 0
		got := received{since: k.since, alone: p.alone, ample: p.ample, behind: behind}
		if fits {
			got.asked = k.bytes
		}
		if a.chunks != nil {
			got.chunk, got.throttled = a.chunks[i], a.res.throttle > 0
		}
		if x.answerOne(k, &a, got, now) {
			k.flow.stale = true
		}
		x.urgent = x.urgent || k.flow.stale
	}
}

// size is what an answer has of what was asked for, as it came.
func (a *fetchAnswer) size(k *fetchAsk) int {
	if a.res == nil {
		return 0
	}
	part := a.res.parts[k.flow.of()]
	if part == nil {
		return 0
	}
	return len(part.log)
}

// answerOne is true where fresh metadata may help.
func (x *fetcher) answerOne(k *fetchAsk, a *fetchAnswer, got received, now time.Time) bool {
	f := k.flow
	switch {
	case a.err != nil && a.sent && undecoded(a.err):
		f.undecodable(a.err, now) // each partition is asked alone until one is found to be the cause (R56)
		return false
	case a.err != nil:
		f.cut(a.sent, now)
		return true
	case a.res.code != sarama.ErrNoError:
		return f.refused(a.res.code, now)
	}
	part := a.res.parts[f.of()]
	if part == nil {
		if got.behind {
			f.lastAsked = got.since // a broker that leaves out what has no room
		} else {
			f.later(now)
		}
		return false
	}
	if part.code != sarama.ErrNoError {
		return f.refused(part.code, now)
	}
	got.at = now
	f.swells(max(k.bytes, int32(len(part.log))), got.bytes)
	x.brought(f, got, now)
	return false
}

// undecoded tells whether an answer came that is none.
func undecoded(err error) bool {
	return !transport(err)
}

// received is what an answer has of a partition, and how it came: what an empty one says depends on it. behind: others,
// asked for before it, brought something. asked is for how many bytes there was room behind theirs, 0 for too little.
type received struct {
	chunk
	asked                           int32
	since                           uint64
	alone, ample, behind, throttled bool
}

// brought takes an answer without error.
func (x *fetcher) brought(f *flow, c received, now time.Time) {
	switch {
	case errors.Is(c.err, errOldFormat):
		f.stick(&BatchError{Topic: f.topic, Partition: f.partition, Position: f.position, Err: c.err})
	case c.err != nil:
		f.undecodable(c.err, now)
	case c.next > f.position:
		f.good(c.ends)
		f.push(c.chunk)
	case c.short && c.ample:
		f.stick(&BatchError{Topic: f.topic, Partition: f.partition, Position: f.position, Err: errShortBatch})
	case c.short:
		f.alone, f.ample = true, c.alone
	case !c.throttled && c.ends.stable > f.position && c.behind:
		f.good(c.ends)
		f.lastAsked = c.since // the others have filled the answer (R67), or its batch is larger: it still waits, and comes before them
		f.outgrown(c.asked)
	case !c.throttled && c.ends.stable > f.position:
		f.good(c.ends)
		f.alone, f.ample = true, c.alone
		if c.ample {
			x.hollow(f, c.chunk, now)
		}
	default:
		f.good(c.ends)
	}
}

// hollow takes note of an empty answer to a partition asked for alone, with room, below its last stable offset. Mostly
// nothing follows from it: a broker that waits for tiered storage answers so too. Only when that goes on for long is the
// stretch taken for one whose batches are all gone.
func (x *fetcher) hollow(f *flow, c chunk, now time.Time) {
	f.notBefore = now.Add(emptyWait)
	if !f.empties.confirmed(now, emptyTimes, emptyTime) {
		return
	}
	x.cfg.Logger.Warn("log has no batch between position and last stable offset; going on behind", "topic", f.topic,
		"partition", f.partition, "position", f.position, "stable", c.ends.stable)
	c.next, c.records.Next = c.ends.stable, c.ends.stable
	f.alone, f.ample, f.notBefore = false, false, time.Time{}
	f.push(c)
}

const (
	emptyTimes = 10
	emptyTime  = 30 * time.Second
	emptyWait  = 500 * time.Millisecond
)
