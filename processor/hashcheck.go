package processor

import (
	"github.com/tarnstream/tarn/internal/scope"
	"github.com/tarnstream/tarn/observe"
	"github.com/tarnstream/tarn/state"
)

// hashChecks is how many records of an input partition are looked at after each start of its task.
const hashChecks = 100

// hashCheck compares the partition of an input's first records with where the handle's hash puts their keys. A producer
// that hashes otherwise splits a table in silence: a key's records come to one task, its row is asked of another. The
// check stands between the reader's answers and the records, and is gone when it is done: it costs a record nothing.
type hashCheck struct {
	place      observe.Place
	hash       scope.Hash
	partitions int32
	left       int
	tell       func(observe.HashMismatch)
}

// look gives what is to look at the next records, nil for nothing: the first mismatch is told, and is enough.
func (h *hashCheck) look(records []state.Record) *hashCheck {
	for i := range records {
		r := &records[i]
		if h.left--; h.left < 0 {
			return nil
		}
		if r.Key == nil || len(r.Key) == 0 && h.hash == scope.CRC32 { // librdkafka's default spreads empty keys at random
			continue
		}
		if belongs := h.hash.Partition(r.Key, h.partitions); belongs != h.place.Partition {
			h.tell(observe.HashMismatch{Place: h.place, Offset: r.Offset, Key: cloneBytes(r.Key), Belongs: belongs, Hash: h.hash.String()})
			return nil
		}
	}
	return h
}

// newHashCheck is nil for an input partition of which a mismatch was told in this run.
func (t *task) newHashCheck(in *scope.Input) *hashCheck {
	at := t.env.place(in.Name, t.partition)
	if _, told := t.env.mismatched.Load(at); told {
		return nil
	}
	return &hashCheck{place: at, hash: in.Hash, partitions: t.env.taskCount, left: hashChecks, tell: func(e observe.HashMismatch) {
		t.env.mismatched.Store(at, true)
		observe.Tell(t.env.conf.observe.HashMismatch, e)
	}}
}
