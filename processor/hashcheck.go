package processor

import (
	"context"

	"github.com/tarnstream/tarn/internal/scope"
	"github.com/tarnstream/tarn/observe"
	"github.com/tarnstream/tarn/state"
)

// hashChecks is how many records of a partition of an input are looked at after each start of its task, or of a table of
// somebody else from the start of its follower.
const hashChecks = 100

// hashCheck compares the partition of an input's first records, or a read table's, with where the handle's hash puts their
// keys. A producer that hashes otherwise splits a table in silence: a key's records come to one task, its row is asked of
// another, or of another partition of the table that is read. The check stands between the reader's answers and the records, and is gone when it is done: it costs a record nothing.
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

// newHashCheck is nil for a partition, one of n, of which a mismatch was told in this run.
func (e *environment) newHashCheck(t *scope.Topic, partition, n int32) *hashCheck {
	at := e.place(t.Name, partition)
	if _, told := e.mismatched.Load(at); told {
		return nil
	}
	return &hashCheck{place: at, hash: t.Hash, partitions: n, left: hashChecks, tell: func(m observe.HashMismatch) {
		e.mismatched.Store(at, true)
		observe.Tell(e.conf.observe.HashMismatch, m)
	}}
}

// checkedLog has the first records of a log looked at.
type checkedLog struct {
	state.Log
	check *hashCheck // nil when it is done
}

// Fetch implements state.Log.
func (l *checkedLog) Fetch(ctx context.Context, position int64) (state.Records, error) {
	rs, err := l.Log.Fetch(ctx, position)
	if l.check != nil {
		l.check = l.check.look(rs.Records)
	}
	return rs, err
}
