package scope

import (
	"reflect"
	"slices"
)

// Coder is codec.Codec, which lies in the same row of the layers.
type Coder[T any] interface {
	Encode(dst []byte, v T) ([]byte, error)
	Decode(data []byte) (T, error)
}

// cacheBytes bounds the clean rows an overlay keeps over a Seal.
const cacheBytes = 8 << 20

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

	rows       map[string]*row[T]
	dirty      []*row[T]
	touched    []*row[T]
	scratch    []byte // an encoding that may still be refused
	dirtyBytes int
	cached     int
	walks      int // open ones: they hold the bytes of dirty and touched rows
}

type row[T any] struct {
	key       string
	data      []byte
	value     T
	timestamp int64
	present   bool
	hasValue  bool // value is data decoded
	dirty     bool

	pending pending[T]
}

// pending is what the record in hand wrote to a row.
type pending[T any] struct {
	set       bool
	present   bool
	data      []byte
	value     T
	timestamp int64
}

// rowOverhead estimates a cached row without key and data.
const rowOverhead = 160

// NewOverlay makes the overlay of a table.
func NewOverlay[T any](name string, table int, coder Coder[T], below Backing) *Overlay[T] {
	return &Overlay[T]{name: name, table: table, coder: coder, below: below, rows: map[string]*row[T]{},
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
	if r.pending.set {
		return o.read(r.pending.present, r.pending.data, &r.pending.value, true)
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
	if o.walks > 0 {
		r.pending.data = nil
	}
	r.pending.data = append(r.pending.data[:0], data...)
	if o.decoded {
		r.pending.value = v
	}
	o.touch(r, true, timestamp)
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
	r.pending.data = r.pending.data[:0]
	o.touch(r, false, timestamp)
	return nil
}

func (o *Overlay[T]) touch(r *row[T], present bool, timestamp int64) {
	if !r.pending.set {
		r.pending.set = true
		o.touched = append(o.touched, r)
	}
	r.pending.present, r.pending.timestamp = present, timestamp
}

// load finds key's row, reading it from below where it is not cached.
func (o *Overlay[T]) load(key []byte) (*row[T], error) {
	if r := o.rows[string(key)]; r != nil {
		return r, nil
	}
	r := &row[T]{key: string(key)}
	data, ok, err := o.below.Get(o.table, r.key)
	if err != nil {
		return nil, err
	}
	r.data, r.present = slices.Clone(data), ok
	return o.keep(r), nil
}

func (o *Overlay[T]) keep(r *row[T]) *row[T] {
	o.rows[r.key] = r
	o.cached += rowOverhead + len(r.key) + len(r.data)
	return r
}

// Accept implements Layer.
func (o *Overlay[T]) Accept() {
	for _, r := range o.touched {
		grown := len(r.pending.data) - len(r.data)
		if r.dirty {
			o.dirtyBytes += grown
		} else {
			r.dirty = true
			o.dirty = append(o.dirty, r)
			o.dirtyBytes += rowOverhead + len(r.key) + len(r.pending.data)
		}
		o.cached += grown
		r.data, r.pending.data = r.pending.data, r.data // the old bytes become the next write's buffer
		r.value, r.hasValue = r.pending.value, o.decoded && r.pending.present
		r.present, r.timestamp = r.pending.present, r.pending.timestamp
		r.pending.set = false
	}
	o.touched = o.touched[:0]
}

// Discard implements Layer.
func (o *Overlay[T]) Discard() {
	for _, r := range o.touched {
		r.pending.set = false
	}
	o.touched = o.touched[:0]
}

// Seal implements Layer.
func (o *Overlay[T]) Seal() []Change {
	defer o.trim()
	if len(o.dirty) == 0 {
		return nil
	}
	size := 0
	for _, r := range o.dirty {
		size += len(r.data)
	}
	arena := make([]byte, 0, size)
	changes := make([]Change, len(o.dirty))
	for i, r := range o.dirty {
		at := len(arena)
		arena = append(arena, r.data...)
		changes[i] = Change{Key: r.key, Value: arena[at:len(arena):len(arena)], Delete: !r.present, Timestamp: r.timestamp}
		r.dirty = false
	}
	clear(o.dirty)
	o.dirty, o.dirtyBytes = o.dirty[:0], 0
	return changes
}

// trim drops the cached rows when there are too many. None of them is dirty.
func (o *Overlay[T]) trim() {
	if o.cached > cacheBytes {
		clear(o.rows)
		o.cached = 0
	}
}

// Bytes implements Layer.
func (o *Overlay[T]) Bytes() (dirty, cached int) { return o.dirtyBytes, o.cached }

// Dirty implements Layer.
func (o *Overlay[T]) Dirty() int { return len(o.dirty) }

// SetLimits implements Layer.
func (o *Overlay[T]) SetLimits(l Limits) { o.limits = l }
