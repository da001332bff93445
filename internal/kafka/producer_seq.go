package kafka

import (
	"math"
	"time"
)

// laneKey names a partition.
type laneKey struct {
	topic     string
	partition int32
}

// stamp is what makes a batch's repetition known to the broker.
type stamp struct {
	id    int64
	epoch int16
	seq   int32
}

// RecordID is what a batch in the log says of a record: no two records of a partition have one in common.
type RecordID struct {
	Producer int64
	Epoch    int16
	Sequence int32
}

// NoRecord is the id of none.
var NoRecord = RecordID{Producer: -1}

// record is the i-th record's id.
func (s stamp) record(i int) RecordID { return RecordID{s.id, s.epoch, advance(s.seq, i)} }

// sequences are the producer's identity and what comes next in each partition. They outlive a Produce call.
//
// A non-transactional producer raises its epoch by itself: the broker takes the first batch of a higher epoch when its
// sequence is 0 and from then on refuses the lower one, so a request that was given up and arrives late is fenced.
// The epoch is one for all partitions; each starts again at 0 with its next batch.
type sequences struct {
	id    int64 // negative: InitProducerID has to be asked
	epoch int16
	parts map[laneKey]*sequence
}

type sequence struct {
	id    int64
	epoch int16
	next  int32
	// unresolved: a batch at next was given up with an unknown outcome. Numbers from next on are burnt
	// under this id and epoch: other records under them could be taken for a repetition, and lost.
	unresolved bool
	known      time.Time // when the broker acknowledged a batch of this id and epoch last, zero for never
}

// familiarity is how long a broker is taken to know a producer that has sent nothing. Kafka forgets after a day by default
// (producer.id.expiration.ms).
const familiarity = 5 * time.Minute

func newSequences() sequences { return sequences{id: -1, parts: map[laneKey]*sequence{}} }

func (s *sequences) known() bool { return s.id >= 0 }

// current tells whether a stamp is of the id and epoch that new batches get.
func (s *sequences) current(st stamp) bool { return st.id == s.id && st.epoch == s.epoch }

// take gives the numbers of the partition's next n records. It is false when a new producer id is needed first.
func (s *sequences) take(k laneKey, n int) (stamp, bool) {
	p := s.parts[k]
	if p == nil {
		p = &sequence{id: s.id, epoch: s.epoch}
		s.parts[k] = p
	}
	if p.unresolved {
		s.bump(stamp{id: p.id, epoch: p.epoch})
	}
	if !s.known() {
		return stamp{}, false
	}
	if p.id != s.id || p.epoch != s.epoch {
		*p = sequence{id: s.id, epoch: s.epoch}
	}
	st := stamp{p.id, p.epoch, p.next}
	p.next = advance(p.next, n)
	return st, true
}

// familiar tells whether the partition's broker is sure to refuse numbers that leave some out. One that does not know the
// producer takes any first.
func (s *sequences) familiar(k laneKey, now time.Time) bool {
	p := s.parts[k]
	return p != nil && s.current(stamp{id: p.id, epoch: p.epoch}) && !p.known.IsZero() && now.Sub(p.known) < familiarity
}

// acked notes that a batch with stamp st is in the log.
func (s *sequences) acked(k laneKey, st stamp, now time.Time) {
	if p := s.parts[k]; p.id == st.id && p.epoch == st.epoch {
		p.known = now
	}
}

// rewind gives numbers from st on back: nothing in the log has them.
func (s *sequences) rewind(k laneKey, st stamp) {
	s.parts[k] = &sequence{id: st.id, epoch: st.epoch, next: st.seq, known: s.parts[k].known}
}

// abandon marks numbers from st on as given up while some of them may be in the log.
func (s *sequences) abandon(k laneKey, st stamp) {
	s.parts[k] = &sequence{id: st.id, epoch: st.epoch, next: st.seq, unresolved: true}
}

// bump raises the epoch, unless st is of an older one already.
func (s *sequences) bump(st stamp) {
	switch {
	case st.id != s.id || st.epoch != s.epoch:
	case s.epoch == math.MaxInt16:
		s.renew(st)
	default:
		s.epoch++
	}
}

// renew gives the producer id up, unless st is of an older one already.
func (s *sequences) renew(st stamp) {
	if st.id == s.id && st.epoch == s.epoch {
		s.id = -1
	}
}

// advance adds as Kafka does: after the greatest number comes 0.
func advance(seq int32, n int) int32 {
	return int32((int64(seq) + int64(n)) % (math.MaxInt32 + 1))
}
