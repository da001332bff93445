package scope

import (
	"math"
	"reflect"
	"slices"
	"unsafe"
)

// Coder is codec.Codec, which lies in the same row of the layers.
type Coder[T any] interface {
	Encode(dst []byte, v T) ([]byte, error)
	Decode(data []byte) (T, error)
}

// Overlay is the open layer of one table in one task, with a cache of rows read from below.
//
// A value is encoded when it is set, so that its size and its encoding can fail there, and because a callback may go
// on changing what it handed over. Only values without pointers are kept decoded beside their bytes.
//
// Invariants: a row in dirty has dirty set and appears once; a row in touched has a pending write of the record in
// hand; a row's data is what Accept took last, or what lay below.
type Overlay[T any] struct {
	name    string
	table   int
	coder   Coder[T]
	below   Backing
	decoded bool // T has no pointers: values may be kept
	limits  Limits

	rows       cache[T]
	dirty      []*row[T]
	touched    []*row[T]
	free       []*pending[T]
	scratch    []byte // an encoding that may still be refused
	changing   int    // what becomes of the dirty rows takes when they are sealed
	kept       int    // what rows take
	pinned     int    // of kept: dirty ones, which stay
	cacheLimit func() int
	mostCached int  // what it said last, 0 to ask again
	loads      int  // since Expect was called last
	warmed     byte // what warm has read: it has to be used for something
	walks      int  // open ones: they hold the bytes of dirty and touched rows
}

// row has what every look at it needs at its beginning.
type row[T any] struct {
	key       string
	pending   *pending[T] // nil: the record in hand has not written it
	present   bool
	hasValue  bool // value is data decoded
	dirty     bool
	value     T
	data      []byte
	timestamp int64
	mark      *Mark // shared with its changes
}

// pending is what the record in hand wrote to a row.
type pending[T any] struct {
	present   bool
	data      []byte
	value     T
	timestamp int64
}

// rowOverhead estimates a row without key and data, with its mark, changeOverhead what becomes of one that was written: its change,
// and its place among the dirty ones.
const (
	rowOverhead    = 72 // and row
	changeOverhead = 88
)

// weight estimates the memory of a row.
func (o *Overlay[T]) weight(r *row[T]) int {
	n := rowOverhead + int(unsafe.Sizeof(*r)) + len(r.key) + len(r.data)
	if o.decoded { // it may be a string
		n += len(r.data)
	}
	return n
}

// changeWeight estimates what becomes of a row that was written.
func changeWeight(data []byte) int { return changeOverhead + len(data) }

// unbounded keeps every row.
func unbounded() int { return math.MaxInt }

// NewOverlay makes the overlay of a table.
func NewOverlay[T any](name string, table int, coder Coder[T], below Backing) *Overlay[T] {
	return &Overlay[T]{name: name, table: table, coder: coder, below: below, rows: newCache[T](), cacheLimit: unbounded,
		decoded: pointerFree(reflect.TypeFor[T]())}
}

// pointerFree tells whether a copy of a value shares no memory that somebody could change.
func pointerFree(t reflect.Type) bool {
	switch t.Kind() {
	case reflect.Bool, reflect.String, reflect.Float32, reflect.Float64, reflect.Complex64, reflect.Complex128,
		reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return true
	case reflect.Array:
		return pointerFree(t.Elem())
	case reflect.Struct:
		for i := range t.NumField() {
			if !pointerFree(t.Field(i).Type) {
				return false
			}
		}
		return true
	}
	return false
}

// Get gives the value of key as this record's callback sees it.
func (o *Overlay[T]) Get(key []byte) (T, bool, error) {
	var none T
	r, err := o.load(key)
	if err != nil {
		return none, false, err
	}
	if p := r.pending; p != nil {
		return o.read(p.present, p.data, &p.value, true)
	}
	v, ok, err := o.read(r.present, r.data, &r.value, r.hasValue)
	if err == nil && ok && o.decoded && !r.hasValue {
		r.value, r.hasValue = v, true
	}
	return v, ok, err
}

func (o *Overlay[T]) read(present bool, data []byte, value *T, hasValue bool) (T, bool, error) {
	if !present {
		var none T
		return none, false, nil
	}
	if o.decoded && hasValue {
		return *value, true, nil
	}
	v, err := o.coder.Decode(data)
	return v, err == nil, err
}

// Set gives key a value, with the timestamp its changelog record gets.
func (o *Overlay[T]) Set(key []byte, v T, timestamp int64) error {
	r, err := o.load(key)
	if err != nil {
		return err
	}
	data, err := o.coder.Encode(o.scratch[:0], v)
	if err != nil {
		return err
	}
	o.scratch = data
	if !o.limits.fits(len(key)+len(data)+recordOverhead, timestamp) {
		if err := o.limits.Check(o.name, Emission{Key: r.key, Value: data, Timestamp: timestamp}); err != nil {
			return err
		}
	}
	p := o.touch(r, true, timestamp)
	p.data = append(p.data, data...)
	if o.decoded {
		p.value = v
	}
	return nil
}

// Delete removes key.
func (o *Overlay[T]) Delete(key []byte, timestamp int64) error {
	r, err := o.load(key)
	if err != nil {
		return err
	}
	if !o.limits.fits(len(key)+recordOverhead, timestamp) {
		if err := o.limits.Check(o.name, Emission{Key: r.key, Timestamp: timestamp}); err != nil {
			return err
		}
	}
	o.touch(r, false, timestamp)
	return nil
}

// touch gives the row's pending write, without data.
func (o *Overlay[T]) touch(r *row[T], present bool, timestamp int64) *pending[T] {
	if r.pending == nil {
		r.pending = o.blank()
		o.touched = append(o.touched, r)
	}
	p := r.pending
	p.present, p.timestamp, p.data = present, timestamp, p.data[:0]
	if o.walks > 0 {
		p.data = nil
	}
	return p
}

func (o *Overlay[T]) blank() *pending[T] {
	n := len(o.free)
	if n == 0 {
		return new(pending[T])
	}
	p := o.free[n-1]
	o.free = o.free[:n-1]
	return p
}

// load finds key's row, reading it from below where it is not cached.
func (o *Overlay[T]) load(key []byte) (*row[T], error) {
	o.loads++
	if r := o.rows.find(key); r != nil {
		return r, nil
	}
	data, mark, ok, err := o.below.Get(o.table, bytesAsString(key))
	if err != nil {
		return nil, err
	}
	r := &row[T]{mark: mark, present: ok}
	r.key, r.data = beside(key, data)
	o.rows.add(r)
	o.kept += o.weight(r)
	return r, nil
}

// Expect implements Layer. Where callbacks ask for fewer rows than there are records it would mostly be in vain, and is left out.
func (o *Overlay[T]) Expect(keys [][]byte) {
	if o.loads >= len(keys)/2 {
		o.warmed += o.rows.warm(keys)
	}
	o.loads = 0
}

// Data of at most mostBeside bytes lies beside its row's key, with leastData of room. A key keeps all of its piece in memory, in
// whatever layer it is, and the data is another by then.
const (
	leastData  = 16
	mostBeside = 32
)

// beside copies a key and data, into one piece of memory where that is small.
func beside(key, data []byte) (string, []byte) {
	if len(data) > mostBeside {
		return string(key), slices.Clone(data)
	}
	b := make([]byte, 0, len(key)+max(len(data), leastData))
	b = append(append(b, key...), data...)
	return bytesAsString(b[:len(key):len(key)]), b[len(key):]
}

// bytesAsString is a string of bytes that are not changed as long as it is used.
func bytesAsString(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

// Accept implements Layer.
func (o *Overlay[T]) Accept() {
	for _, r := range o.touched {
		before := o.weight(r)
		if r.dirty {
			o.changing -= changeWeight(r.data)
		} else {
			r.dirty = true
			o.dirty = append(o.dirty, r)
			o.pinned += before
		}
		p := r.pending
		switch {
		case o.walks == 0 && len(p.data) <= cap(r.data) && !roomy(r.data[:len(p.data)]):
			r.data = append(r.data[:0], p.data...)
		case roomy(p.data):
			r.data = slices.Clone(p.data)
		default:
			r.data, p.data = p.data, nil
		}
		r.value, r.hasValue = p.value, o.decoded && p.present
		r.present, r.timestamp = p.present, p.timestamp
		o.forget(r)
		o.changing += changeWeight(r.data)
		grown := o.weight(r) - before
		o.kept, o.pinned = o.kept+grown, o.pinned+grown
	}
	o.touched = o.touched[:0]
	o.trim()
}

// Discard implements Layer.
func (o *Overlay[T]) Discard() {
	for _, r := range o.touched {
		o.forget(r)
	}
	o.touched = o.touched[:0]
	o.trim()
}

// forget takes the pending write off a row, and keeps it for another.
func (o *Overlay[T]) forget(r *row[T]) {
	if len(o.free) < mostFree && cap(r.pending.data) <= mostBlank {
		o.free = append(o.free, r.pending)
	}
	r.pending = nil
}

// What is kept for further writes: as many as a record makes, of a size that is no matter.
const (
	mostFree  = 16
	mostBlank = 4 << 10
)

// roomy tells of bytes that keep much more memory than they need.
func roomy(b []byte) bool { return cap(b) > 2*len(b)+64 }

// Seal implements Layer.
func (o *Overlay[T]) Seal() []Change {
	o.mostCached = 0 // ask again
	defer o.trim()
	if len(o.dirty) == 0 {
		return nil
	}
	left := 0
	for _, r := range o.dirty {
		left += len(r.data)
	}
	arena := []byte{} // an empty value is not a null one
	changes := make([]Change, len(o.dirty))
	for i, r := range o.dirty {
		if cap(arena)-len(arena) < len(r.data) {
			arena = make([]byte, 0, max(len(r.data), min(arenaPiece, left)))
		}
		left -= len(r.data)
		at := len(arena)
		arena = append(arena, r.data...)
		changes[i] = Change{Key: r.key, Value: arena[at:len(arena):len(arena)], Delete: !r.present, Timestamp: r.timestamp, Mark: r.mark}
		r.dirty = false
	}
	clear(o.dirty)
	o.dirty, o.changing, o.pinned = o.dirty[:0], 0, 0
	return changes
}

// arenaPiece is what one change may keep of others' memory, when it is the last of them that is wanted.
const arenaPiece = 4 << 10

// trim drops rows that are not dirty where there are too many rows: down to half of the room that the dirty ones leave, and not for
// a few, so that it is seldom done.
func (o *Overlay[T]) trim() {
	if o.kept <= o.mostCached {
		return
	}
	if o.mostCached = o.cacheLimit(); o.kept <= o.mostCached || o.kept-o.pinned <= o.mostCached/8 {
		return
	}
	o.drop(max(o.mostCached-o.pinned, 0) / 2)
}

// drop drops rows that are not dirty until they take no more than most.
func (o *Overlay[T]) drop(most int) {
	o.rows.evict(func(r *row[T]) (drop, enough bool) {
		if o.kept-o.pinned <= most {
			return false, true
		}
		if !r.dirty {
			o.kept -= o.weight(r)
		}
		return !r.dirty, false
	})
}

// Drop implements Layer.
func (o *Overlay[T]) Drop() { o.drop(0) }

// Bytes implements Layer.
func (o *Overlay[T]) Bytes() (dirty, cached int) {
	if o.mostCached == 0 {
		o.mostCached = o.cacheLimit()
	}
	over := max(o.kept-o.mostCached, 0)
	return o.changing + over, o.kept - over
}

// Dirty implements Layer.
func (o *Overlay[T]) Dirty() int { return len(o.dirty) }

// SetLimits implements Layer.
func (o *Overlay[T]) SetLimits(l Limits) { o.limits = l }

// SetCache implements Layer.
func (o *Overlay[T]) SetCache(limit func() int) { o.cacheLimit = limit }
