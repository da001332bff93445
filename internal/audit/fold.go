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
	rows   map[string]*entry // by pointer: to assign anew would copy the key of each record
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
const entryBytes = 112

func sumOf(value []byte) [16]byte {
	h := sha256.Sum256(value)
	return [16]byte(h[:16])
}

// begin empties the fold, whose keys are from lo on.
func (f *fold) begin(lo []byte, most int) {
	if f.rows == nil {
		f.rows = map[string]*entry{}
	}
	clear(f.rows)
	f.lo, f.hi, f.bytes, f.most = lo, nil, 0, most
}

// add takes a record in. When that is too much the upper half of the keys is given up.
func (f *fold) add(r *state.Record, newer bool) {
	if bytes.Compare(r.Key, f.lo) < 0 || f.hi != nil && bytes.Compare(r.Key, f.hi) >= 0 {
		return
	}
	e := f.rows[string(r.Key)]
	if r.Value == nil && !newer {
		if e != nil {
			delete(f.rows, string(r.Key))
			f.bytes -= entryBytes + len(r.Key)
		}
		return
	}
	if e == nil {
		e = new(entry)
		f.rows[string(r.Key)] = e
		f.bytes += entryBytes + len(r.Key)
	}
	e.offset, e.newer = r.Offset, newer
	if !newer {
		e.sum = sumOf(r.Value)
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

// takeOut gives the entry of a key, nil for none, and removes it.
func (f *fold) takeOut(key []byte) *entry {
	e := f.rows[string(key)]
	if e != nil {
		delete(f.rows, string(key))
	}
	return e
}

// left gives what was not taken out and is wanted, in key order, as keys that the table does not have.
func (f *fold) left(wanted func(*entry) bool) []observe.Difference {
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
