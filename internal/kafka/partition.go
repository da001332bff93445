package kafka

import (
	"errors"
	"time"

	"github.com/IBM/sarama"

	"github.com/tarnstream/tarn/internal/invariant"
	"github.com/tarnstream/tarn/state"
)

// flow is one partition as a Cursor reads it: where it stands, what is buffered, what went wrong.
//
// The naive way is to hold a position and to apply each answer to it. It fails when an answer for the old position
// comes after a seek, or after the leader moved and was asked too: old records under the new position, or records twice.
// So each position carries a version; seek, reset and a move raise it, and an answer of an older version is dropped
// whole.
type flow struct {
	topic     string
	partition int32
	wake      chan<- struct{} // the user's, may be nil
	ready     chan struct{}   // for Fetch: also on an answer without progress

	version  uint64
	position int64 // next offset to ask for; UnknownOffset: in no fetch
	asking   bool  // a request of this version is under way

	queue     []chunk // positions ascending, each begins where the one before ends
	bytes     int64   // of the chunks in queue
	delivered int64   // next offset that Poll gives: <= position while that is known
	err       error   // after queue; sticks until seek. Then position is UnknownOffset
	seen      logEnds // as the last answer said
	fresh     bool    // seen is of an answer since it was last taken

	id     state.TopicID // the topic that position belongs to, zero not known
	leader int32         // -1 not known
	epoch  int32
	stale  bool // leader or topic want fresh metadata

	alone     bool          // to be asked alone, with room
	cuts      int           // connections in a row that broke while it was asked for
	damaged   int           // answers in a row that could not be decoded, asked alone
	wait      time.Duration // the last back-off, 0 after a good answer
	notBefore time.Time
	missed    absence // from metadata
	empties   absence // of records below the last stable offset, asked for alone
	lastAsked uint64
}

// logEnds is what an answer says of a log, UnknownOffset where it does not.
type logEnds struct{ start, stable, end int64 }

var unknownEnds = logEnds{state.UnknownOffset, state.UnknownOffset, state.UnknownOffset}

func newFlow(topic string, partition int32, wake chan<- struct{}) *flow {
	return &flow{topic: topic, partition: partition, wake: wake, ready: make(chan struct{}, 1), position: state.UnknownOffset,
		delivered: state.UnknownOffset, leader: -1, epoch: state.UnknownEpoch, stale: true, seen: unknownEnds}
}

// seek gives the flow a position and forgets all that belonged to the old one, errors too.
func (f *flow) seek(position int64) {
	f.raise(position)
	f.queue, f.bytes, f.delivered = nil, 0, position
	f.stale = f.stale || f.err != nil || f.leader < 0
	f.err, f.seen, f.fresh, f.alone, f.damaged = nil, unknownEnds, false, false, 0
	f.notBefore, f.wait, f.missed, f.cuts, f.empties = time.Time{}, 0, absence{}, 0, absence{}
}

// raise begins a new version: what is under way will be dropped.
func (f *flow) raise(position int64) {
	f.version++
	f.position, f.asking = position, false
}

// stick ends the reading at this position with an error that Poll gives after what is buffered.
func (f *flow) stick(err error) {
	f.raise(state.UnknownOffset)
	f.err = err
	f.notify()
}

// lose is stick for trouble that makes what is buffered suspect.
func (f *flow) lose(err error) {
	f.queue, f.bytes = nil, 0
	f.stick(err)
}

// later backs off after trouble that may pass.
func (f *flow) later(now time.Time) {
	f.wait = grow(f.wait)
	f.notBefore = now.Add(f.wait)
}

// cutTries is how often a connection may break under requests for several partitions before each is asked alone: one
// partition's answer must not be able to keep the others from theirs.
const cutTries = 3

// cut takes note of a connection that broke, before or after the request was sent.
func (f *flow) cut(sent bool, now time.Time) {
	if sent {
		f.cuts++
	}
	f.alone = f.alone || f.cuts >= cutTries
	f.later(now)
}

// full tells whether the flow is left out of the fetches because of what it holds undelivered.
func (f *flow) full(cfg *ReaderConfig) bool {
	return f.bytes > 0 && f.bytes+int64(cfg.PartitionBytes) > cfg.BufferBytes
}

// push buffers what an answer brought and moves on behind it.
func (f *flow) push(c chunk) {
	invariant.Check(c.position == f.position && c.next > c.position, "chunk [%d,%d) at position %d", c.position, c.next, f.position)
	f.queue = append(f.queue, c)
	f.bytes += c.bytes
	f.position, f.empties = c.next, absence{}
	f.notify()
}

// pop takes the oldest chunk, or the error once there is none.
func (f *flow) pop() (chunk, bool, error) {
	if len(f.queue) == 0 {
		return chunk{}, false, f.err
	}
	c := f.queue[0]
	f.queue[0] = chunk{}
	f.queue = f.queue[1:]
	f.bytes -= c.bytes
	f.delivered = c.next
	return c, true, nil
}

func (f *flow) notify() {
	if f.wake != nil {
		signal(f.wake)
	}
	signal(f.ready)
}

// good takes note of an answer without error, whatever it brought.
func (f *flow) good(ends logEnds) {
	f.seen, f.fresh = ends, true
	f.wait, f.notBefore, f.alone, f.damaged, f.cuts = 0, time.Time{}, false, 0, 0
	signal(f.ready)
}

// refused takes note of an answer with an error code. It is true where fresh metadata may help.
func (f *flow) refused(code sarama.KError, now time.Time) bool {
	cause := codeError(code, "Fetch", f.topic, f.partition)
	switch {
	case code == sarama.ErrOffsetOutOfRange:
		f.stick(&state.OutOfRangeError{Topic: f.topic, Partition: f.partition, Position: f.position})
		return true
	case code == sarama.ErrInvalidMessage: // the broker itself found the batch damaged
		f.undecodable(cause, now)
	case code == sarama.ErrUnknown || retriableCode(code):
		f.later(now)
		return true
	default:
		f.stick(cause)
	}
	return false
}

// damageTries is how often a batch is asked for alone before it counts as damaged: the first time may be the network's fault.
const damageTries = 3

// undecodable takes note of an answer that could not be decoded and may be this partition's fault.
func (f *flow) undecodable(cause error, now time.Time) {
	if f.alone {
		f.damaged++
	}
	if f.damaged >= damageTries {
		f.stick(&BatchError{Topic: f.topic, Partition: f.partition, Position: f.position, Err: cause})
		return
	}
	f.alone = true
	f.later(now)
}

// adopt takes over what fresh metadata says of the topic.
func (f *flow) adopt(t Topic, now time.Time) {
	f.stale = false
	switch {
	case t.Err != nil && !missing(t.Err):
		f.adoptError(t.Err)
	case t.Err != nil:
		f.absent(t.Err, now)
	case f.recreated(t):
		was, at := f.id, f.position
		f.id = t.ID
		f.lose(&TopicChangedError{Topic: f.topic, Partition: f.partition, Was: was, Is: t.ID, Position: at})
	case int(f.partition) >= len(t.Partitions):
		f.absent(codeError(sarama.ErrUnknownTopicOrPartition, "Metadata", f.topic, f.partition), now)
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
	return f.position >= 0 && f.id != (state.TopicID{}) && t.ID != (state.TopicID{}) && t.ID != f.id
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

// after is the position behind an offset.
func after(offset int64) int64 { return offset + 1 }
