package audit

import (
	"bytes"
	"crypto/sha256"
	"maps"
	"slices"

	"github.com/tarnstream/tarn/observe"
	"github.com/tarnstream/tarn/state"
)

// fold is the newest record of each key in [lo, hi), nil being unbounded.
type fold struct {
	lo, hi []byte
	rows   map[string]entry
	bytes  int
	most   int
}

// entry is what is kept of a record. newer says that it is above the position, and what is below is of no interest.
type entry struct {
	offset int64
	sum    [16]byte
	newer  bool
}

// entryBytes is about what an entry takes besides its key.
const entryBytes = 96

func sumOf(value []byte) [16]byte {
	h := sha256.Sum256(value)
	return [16]byte(h[:16])
}

// begin empties the fold, whose keys are from lo on.
func (f *fold) begin(lo []byte, most int) {
	if f.rows == nil {
		f.rows = map[string]entry{}
	}
	clear(f.rows)
	f.lo, f.hi, f.bytes, f.most = lo, nil, 0, most
}

// add takes a record in. When that is too much the upper half of the keys is given up.
func (f *fold) add(r *state.Record, newer bool) {
	if bytes.Compare(r.Key, f.lo) < 0 || f.hi != nil && bytes.Compare(r.Key, f.hi) >= 0 {
		return
	}
	_, had := f.rows[string(r.Key)]
	if r.Value == nil && !newer {
		if had {
			delete(f.rows, string(r.Key))
			f.bytes -= entryBytes + len(r.Key)
		}
		return
	}
	e := entry{offset: r.Offset, newer: newer}
	if !newer {
		e.sum = sumOf(r.Value)
	}
	f.rows[string(r.Key)] = e
	if !had {
		f.bytes += entryBytes + len(r.Key)
	}
	if f.bytes > f.most && len(f.rows) > 1 {
		f.halve()
	}
}

func (f *fold) halve() {
	keys := slices.Sorted(maps.Keys(f.rows))
	upper := keys[len(keys)/2:]
	f.hi = []byte(upper[0])
	for _, key := range upper {
		delete(f.rows, key)
		f.bytes -= entryBytes + len(key)
	}
}

// takeOut gives the entry of a key and removes it.
func (f *fold) takeOut(key []byte) (entry, bool) {
	e, ok := f.rows[string(key)]
	if ok {
		delete(f.rows, string(key))
	}
	return e, ok
}

// left gives what was not taken out and is wanted, in key order, as keys that the table does not have.
func (f *fold) left(wanted func(entry) bool) []observe.Difference {
	var out []observe.Difference
	for key, e := range f.rows {
		if wanted(e) {
			out = append(out, observe.Difference{Key: []byte(key), Topic: &state.Row{Offset: e.offset}})
		}
	}
	sortDifferences(out)
	return out
}

func sortDifferences(all []observe.Difference) {
	slices.SortFunc(all, func(a, b observe.Difference) int { return bytes.Compare(a.Key, b.Key) })
}
