package scope

import (
	"bytes"
	"context"
	"errors"
	"fmt"
)

// ErrNullKey is returned by an own-key access while the record in hand has a null key: there is no row it could mean.
var ErrNullKey = errors.New("topology: the record in hand has a null key: use a key of your own or drop the record")

// ErrNotInCallback is returned when a Context is used after its callback has returned.
var ErrNotInCallback = errors.New("topology: the context is used outside its callback")

// UndeclaredError says that a callback used a table, stream or effect which its group does not declare.
// Add the edge it names to Define.
type UndeclaredError struct {
	Group, Kind, Name, Edge string
}

func (e *UndeclaredError) Error() string {
	return fmt.Sprintf("topology: group %s: %s %s is not declared: add topology.%s to Define", e.Group, e.Kind, e.Name, e.Edge)
}

// Frame is one task's tables, emissions and record in hand.
type Frame struct {
	context.Context
	// Host is the topology.Context made over this frame.
	Host any

	group  *Group
	layers []Layer
	reads  []ReadBacking
	record Record
	inside bool

	effects []Batch

	emitted []Emission // accepted, then those of the record in hand
	arena   []byte     // holds the emissions' values; emissions keep older chunks alive
	pending int        // how many of emitted the record in hand made
	size    int        // memory of the accepted emissions
	limits  []Limits   // by output

	task, partitions int32   // 0 partitions: not said
	walks            []*walk // open ones of the record in hand

	trouble error // of what lies below the tables
}

// Layers are the tables' overlays, in the group's order.
func (f *Frame) Layers() []Layer { return f.layers }

// Record is the record in hand.
func (f *Frame) Record() *Record { return &f.record }

// SetOutputLimits says what an output's topic takes.
func (f *Frame) SetOutputLimits(output int, l Limits) { f.limits[output] = l }

// Run takes a record in hand and calls fn. When fn returns nil everything it wrote enters the open layer; after an
// error, a panic or Trouble nothing of it stays, and the panic goes on.
func (f *Frame) Run(r Record, fn func(*Frame) error) error {
	f.record, f.inside = r, true
	done := false
	defer func() {
		f.inside = false
		f.endWalks()
		if !done {
			f.discard()
		}
	}()
	if err := fn(f); err != nil {
		return err
	}
	if f.trouble != nil {
		return f.trouble
	}
	done = true
	f.accept()
	return nil
}

func (f *Frame) accept() {
	for _, l := range f.layers {
		l.Accept()
	}
	for _, b := range f.effects {
		b.Accept()
	}
	for _, e := range f.emitted[len(f.emitted)-f.pending:] {
		f.size += e.weight()
	}
	f.pending = 0
}

func (f *Frame) discard() {
	for _, l := range f.layers {
		l.Discard()
	}
	for _, b := range f.effects {
		b.Discard()
	}
	keep := len(f.emitted) - f.pending
	clear(f.emitted[keep:])
	f.emitted, f.pending = f.emitted[:keep], 0
}

// Expect says of which keys the next records are, at most Ahead of them.
func (f *Frame) Expect(keys [][]byte) {
	for _, l := range f.layers {
		l.Expect(keys)
	}
}

// Seal empties the open layer: the changes of each table and the emissions in their order.
func (f *Frame) Seal() (tables [][]Change, emitted []Emission) {
	tables = make([][]Change, len(f.layers))
	for i, l := range f.layers {
		tables[i] = l.Seal()
	}
	emitted = f.emitted
	f.emitted, f.arena, f.size = nil, nil, 0
	return tables, emitted
}

// Bytes estimates the memory of the open layer.
func (f *Frame) Bytes() int {
	n := f.size
	for _, l := range f.layers {
		dirty, _ := l.Bytes()
		n += dirty
	}
	for _, b := range f.effects {
		n += b.Bytes()
	}
	return n
}

// arenaChunk is the size of a piece of the arena.
const arenaChunk = 64 << 10

// Emit adds an emission of the record in hand. encode appends the value; nil means a tombstone.
func (f *Frame) Emit(handle any, name string, e Emission, encode func(dst []byte) ([]byte, error)) error {
	i, err := f.output(handle, name)
	if err != nil {
		return err
	}
	e.Output = i
	at := len(f.arena)
	if encode != nil {
		if at >= arenaChunk {
			f.arena, at = make([]byte, 0, arenaChunk), 0
		}
		if f.arena, err = appendValue(f.arena, encode); err != nil {
			return err
		}
		e.Value = f.arena[at:len(f.arena):len(f.arena)]
	}
	if err := f.limits[i].Check(name, e); err != nil {
		f.arena = f.arena[:at]
		return err
	}
	e.Headers = CloneHeaders(e.Headers)
	f.emitted = append(f.emitted, e)
	f.pending++
	return nil
}

// CloneHeaders copies headers with their bytes: what a callback passes on may be the record's own, which are good until
// it returns. Null stays null.
func CloneHeaders(hs []Header) []Header {
	if len(hs) == 0 {
		return nil
	}
	out := make([]Header, len(hs))
	for i, h := range hs {
		out[i] = Header{Key: bytes.Clone(h.Key), Value: bytes.Clone(h.Value)}
	}
	return out
}

// weight estimates an emission's memory until it is committed: itself, its record, and the room that slices of them grow by.
func (e *Emission) weight() int {
	n := emissionOverhead + len(e.Key) + len(e.Value)
	for _, h := range e.Headers {
		n += headerOverhead + len(h.Key) + len(h.Value)
	}
	return n
}

// emissionOverhead is an emission and its record, in lists that grow; headerOverhead is a header twice: the emission's and its record's.
const (
	emissionOverhead = 300
	headerOverhead   = 96
)

// appendValue leaves arena as it was when encode fails.
func appendValue(arena []byte, encode func([]byte) ([]byte, error)) ([]byte, error) {
	grown, err := encode(arena)
	if err != nil {
		return arena, err
	}
	if grown == nil { // an empty value is a value, not a tombstone
		return []byte{}, nil
	}
	return grown, nil
}

// output finds the output of a stream's handle.
func (f *Frame) output(handle any, name string) (int, error) {
	if !f.inside {
		return 0, ErrNotInCallback
	}
	for i := range f.group.Outputs {
		if f.group.Outputs[i].Handle == handle {
			return i, nil
		}
	}
	return 0, &UndeclaredError{Group: f.group.Name, Kind: "output", Name: name, Edge: "Output"}
}

// Of finds the overlay of a table's handle.
func Of[T any](f *Frame, handle any, name string) (*Overlay[T], error) {
	if !f.inside {
		return nil, ErrNotInCallback
	}
	if i := f.group.TableIndex(handle); i >= 0 {
		return f.layers[i].(*Overlay[T]), nil
	}
	return nil, &UndeclaredError{Group: f.group.Name, Kind: "table", Name: name, Edge: "Persist"}
}
