package processor

import (
	"fmt"
	"iter"

	"github.com/tarnstream/tarn/policy"
	"github.com/tarnstream/tarn/state"
	"github.com/tarnstream/tarn/topology"
)

// Get reads a row; ok is false for an absent key. Errors: *policy.StaleError where the key's partition is not current and
// the read does not allow that, ErrNotReady while there is nothing to read from yet, state.ErrClosed after Run, the
// codec's own, or trouble with the disk.
func (v *View[T]) Get(key string, reads ...policy.Read) (value T, ok bool, err error) {
	row, ok, err := v.row(key, reads)
	if err != nil || !ok {
		return value, false, err
	}
	value, err = v.table.Codec().Decode(row.Value)
	return value, err == nil, err
}

// Has tells whether there is a row, without decoding it. Errors are those of Get but the codec's.
func (v *View[T]) Has(key string, reads ...policy.Read) (bool, error) {
	_, ok, err := v.row(key, reads)
	return ok, err
}

func (v *View[T]) row(key string, reads []policy.Read) (state.Row, bool, error) {
	parts, err := v.all()
	if err != nil {
		return state.Row{}, false, err
	}
	k := bytesOf(key)
	return parts[v.table.Spec().Hash.Partition(k, int32(len(parts)))].get(k, reads)
}

// all gives the partitions once there are any.
func (v *View[T]) all() ([]*part, error) {
	if v.life.Err() != nil {
		return nil, state.ErrClosed
	}
	parts := v.parts.Load()
	if parts == nil {
		return nil, ErrNotReady
	}
	return *parts, nil
}

// Range goes over all rows in key order, each partition as it was when the loop began. A non-nil error is the last thing it
// yields; errors are those of Get, asked of every partition.
func (v *View[T]) Range(reads ...policy.Read) iter.Seq2[topology.Row[T], error] {
	return v.between(nil, nil, reads)
}

// RangeBetween is Range over the keys from one on and below another; an empty one is no bound.
func (v *View[T]) RangeBetween(from, below string, reads ...policy.Read) iter.Seq2[topology.Row[T], error] {
	return v.between(bound(from), bound(below), reads)
}

// RangePrefix is Range over the keys that begin with prefix.
func (v *View[T]) RangePrefix(prefix string, reads ...policy.Read) iter.Seq2[topology.Row[T], error] {
	return v.between(bound(prefix), behind(prefix), reads)
}

func bound(key string) []byte {
	if key == "" {
		return nil
	}
	return []byte(key)
}

// behind gives the least key above all that begin with prefix, nil where there is none.
func behind(prefix string) []byte {
	b := []byte(prefix)
	for n := len(b); n > 0; n-- {
		if b[n-1] < 0xff {
			b[n-1]++
			return b[:n]
		}
	}
	return nil
}

func (v *View[T]) between(from, below []byte, reads []policy.Read) iter.Seq2[topology.Row[T], error] {
	return func(yield func(topology.Row[T], error) bool) {
		it, err := v.rows(from, below, reads)
		if err != nil {
			yield(topology.Row[T]{}, err)
			return
		}
		defer it.Close()
		for it.Next() {
			value, err := v.table.Codec().Decode(it.Row().Value)
			if err != nil {
				yield(topology.Row[T]{}, fmt.Errorf("processor: view %s: key %.64q: %w", v.name, it.Key(), err))
				return
			}
			if !yield(topology.Row[T]{Key: string(it.Key()), Value: value}, nil) {
				return
			}
		}
		if err := it.Err(); err != nil {
			yield(topology.Row[T]{}, err)
		}
	}
}

// rows opens all partitions, where the reads allow it of each. What the reads are told is of the worst.
func (v *View[T]) rows(from, below []byte, reads []policy.Read) (state.Iterator, error) {
	parts, err := v.all()
	if err != nil {
		return nil, err
	}
	var worst policy.Staleness
	for _, p := range parts {
		s, err := p.admit(reads)
		if err != nil {
			return nil, err
		}
		worst = worst.Worse(s)
	}
	worst.Admit(reads...)
	its := make([]state.Iterator, len(parts))
	for i, p := range parts {
		its[i] = p.store.Range(from, below)
	}
	return inKeyOrder(its), nil
}
