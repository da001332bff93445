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
	leftOut  bool  // of its broker's last plan, for what it holds

	queue     []chunk // positions ascending, each begins where the one before ends
	bytes     int64   // of the chunks in queue
	inUse     int64   // of the chunk that was given last, until the next is asked for
	coming    int64   // what the request of this version that is under way may bring, 0 for none
	swell     float64 // what a byte asked for comes to in memory
	batch     int32   // what the next batch may have of bytes, as far as is known
	delivered int64   // next offset that Poll gives: <= position while that is known
	err       error   // after queue; sticks until seek. Then position is UnknownOffset
	told      bool    // pop gave err
	seen      logEnds // as the last answer said
	fresh     bool    // seen is of an answer since it was last taken

	id     state.TopicID // the topic that position belongs to, zero not known
	leader int32         // -1 not known
	epoch  int32
	stale  bool // leader or topic want fresh metadata

	alone     bool          // to be asked alone
	ample     bool          // and with room
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
		delivered: state.UnknownOffset, leader: -1, epoch: state.UnknownEpoch, stale: true, seen: unknownEnds,
		swell: firstSwell}
}

func (f *flow) of() partOf { return partOf{f.topic, f.partition} }

// firstSwell is that of small records: the first answer is smaller than it could be for others.
const firstSwell = 4

// asking tells whether a request of this version is under way.
func (f *flow) asking() bool { return f.coming > 0 }

// holds is what the flow holds in memory.
func (f *flow) holds() int64 { return f.bytes + f.inUse }

// ask is how many bytes to ask for where there is room for so much memory.
func (f *flow) ask(room int64) int32 {
	return int32(min(max(float64(room)/f.swell, leastAsk), mostPartition))
}

// memory is what so many bytes come to.
func (f *flow) memory(bytes int32) int64 { return int64(float64(bytes) * f.swell) }

// leastAsk keeps an answer from being too small to be worth its request.
const leastAsk = 1 << 10

// swells learns from an answer of size bytes, or with room for so many, that brought about what was asked for. It forgets slowly: a
// little too little is asked for rather than too much.
func (f *flow) swells(size int32, got int64) {
	if got >= int64(size)/2 {
		f.swell = max(float64(got)/float64(size), 1, f.swell*0.8)
	}
}

// saw learns from an answer whose largest batch had size bytes. The next one may be somewhat larger; what was known before counts for
// an eighth less each time.
func (f *flow) saw(size int) {
	if size > 0 {
		next := size + size/16
		if size <= mostPartition {
			next = min(next, mostPartition)
		}
		f.batch = max(int32(next), f.batch/8*7)
	}
}

// outgrown learns from an answer that had nothing although there was room for what was asked for: mostly because the next batch is
// larger. Where no batch of the size that is known was asked for, nothing is to be learned.
func (f *flow) outgrown(asked int32) {
	if asked >= f.batch {
		f.batch = asked + asked/2
	}
}

// tooFew tells that a batch is there that takes more bytes, though not more than are asked for at most.
func (f *flow) tooFew(bytes int32) bool {
	return bytes < f.batch && f.batch <= mostPartition && f.seen.stable > f.position
}

// empty lets go of what is buffered.
func (f *flow) empty() { f.queue, f.bytes, f.inUse = nil, 0, 0 }

// seek gives the flow a position and forgets all that belonged to the old one, errors too.
func (f *flow) seek(position int64) {
	f.raise(position)
	f.empty()
	f.delivered = position
	f.stale = f.stale || f.err != nil || f.leader < 0
	f.err, f.told, f.seen, f.fresh, f.alone, f.ample, f.damaged = nil, false, unknownEnds, false, false, false, 0
	f.notBefore, f.wait, f.missed, f.cuts, f.empties = time.Time{}, 0, absence{}, 0, absence{}
}

// raise begins a new version: what is under way will be dropped.
func (f *flow) raise(position int64) {
	f.version++
	f.position, f.coming = position, 0
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

// push buffers what an answer brought and moves on behind it.
func (f *flow) push(c chunk) {
	invariant.Check(c.position == f.position && c.next > c.position, "chunk [%d,%d) at position %d", c.position, c.next, f.position)
	f.queue = append(f.queue, c)
	f.bytes += c.bytes
	f.saw(c.batch)
	f.position, f.empties = c.next, absence{}
	f.notify()
}

// pop takes the oldest chunk, or the error once there is none.
func (f *flow) pop() (chunk, bool, error) {
	f.inUse = 0
	if len(f.queue) == 0 {
		f.tell()
		return chunk{}, false, f.err
	}
	c := f.queue[0]
	f.queue[0] = chunk{}
	f.queue = f.queue[1:]
	f.bytes -= c.bytes
	f.inUse = c.bytes
	f.delivered = c.next
	return c, true, nil
}

// tell takes note that the error was given. Only from then on may a seek mean the topic that is there now.
func (f *flow) tell() {
	f.told = f.err != nil
	if e, ok := errors.AsType[*TopicChangedError](f.err); ok {
		f.id = e.Is
	}
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
	f.wait, f.notBefore, f.alone, f.ample, f.damaged, f.cuts = 0, time.Time{}, false, false, 0, 0
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
