package scope

import (
	"context"

	"github.com/tarnstream/tarn/internal/digest"
)

// TopicOption says how a topic is made where tarn creates it.
type TopicOption func(*Topic)

// Topic is what a handle says of its topic.
type Topic struct {
	Name        string
	Partitions  int32 // 0: not said
	Replication int16 // 0: the broker's default
	Configs     map[string]string
	Hash        Hash
	// Handle is the handle's own pointer: its identity.
	Handle any
}

// Input is one edge that reads a stream. Call decodes the record in hand of the frame and runs the user's callback.
// OnDelete does it for a record with a null value; nil means that these are skipped.
type Input struct {
	Topic
	Loop     bool // the group's own: it is an Output, too
	Call     func(*Frame) error
	OnDelete func(*Frame) error
	// Begin and Lost are what package policy says; the zero values leave it to the processor.
	Begin Begin
	Lost  Lost
	// OnError is nil where the group's policy holds.
	OnError *ErrorPolicy
	// Faults are what is wrong with the options; none is left after Define.
	Faults []string
}

// Table is one table the group keeps. NewOverlay makes a task's overlay over what lies below.
type Table struct {
	Topic
	NewOverlay func(table int, below Backing) Layer
}

// Kind is the name of the edge.
func (in *Input) Kind() string {
	if in.Loop {
		return "Loop"
	}
	return "Input"
}

// Output is one stream the group writes.
type Output struct {
	Topic
	Loop bool // it is an Input, too
}

// Visit is a callback for the rows of a table. Call decodes the value of the record in hand, which stands for a row, and
// runs the user's callback.
type Visit struct {
	Name  string
	Table Topic
	Call  func(*Frame) error
}

// Group is a checked description; it is not changed after Define.
type Group struct {
	Name    string
	Inputs  []Input
	Tables  []Table
	Reads   []Read
	Outputs []Output
	Visits  []Visit
	Effects []Effect
}

// TableIndex finds the table of a handle, -1 where the group does not keep it.
func (g *Group) TableIndex(handle any) int {
	for i := range g.Tables {
		if g.Tables[i].Handle == handle {
			return i
		}
	}
	return -1
}

// Backing gives what lies below the open layer of a task's tables.
type Backing interface {
	// Get gives the newest value below the overlay; ok is false for an absent key. The bytes are not changed
	// by anybody and may be kept until the table's next Seal. The mark is handed on with each change of the row; it may be nil.
	Get(table int, key string) (value []byte, mark *Mark, ok bool, err error)
	// Range walks over all rows below the overlay as they are at the call. It must be closed.
	Range(table int) Rows
}

// Layer is an Overlay without its type, as a task uses it.
type Layer interface {
	// Accept makes what the record in hand wrote part of the open layer; Discard forgets it.
	Accept()
	Discard()
	// Expect says of which keys the next records are, at most Ahead of them: their rows are then near when they are asked for.
	Expect(keys [][]byte)
	// Seal empties the open layer into a list of changes that own their bytes, one for each key.
	Seal() []Change
	// Keys walks over the keys of the rows as they are now, whatever is written later; Value is not to be used. It is
	// called between records, outlives callbacks, and must be closed.
	Keys() Rows
	// Peek gives a key's newest bytes between records, without keeping a row in memory that no callback asked for.
	Peek(key string) (value []byte, ok bool, err error)
	// Bytes estimates the memory of what the open layer's changes become when they are sealed, with that of rows beyond the
	// limit, which changes hold, and of the rows within it.
	Bytes() (dirty, cached int)
	// Dirty counts the open layer's changes.
	Dirty() int
	// SetLimits says what the table's topic takes.
	SetLimits(Limits)
	// Drop drops, between records, the rows that are kept without being changed: what lies below has changed by itself.
	Drop()
	// SetCache bounds the rows that are kept without being changed. It is asked often.
	SetCache(limit func() int)
}

// Change is the newest value of a key, or its deletion. Offset is filled in when the log has it.
type Change struct {
	Key       string
	Value     []byte
	Delete    bool
	Timestamp int64
	Offset    int64
	Mark      *Mark // nil where what lies below gave none
}

// Mark tells what is on disk of a row: its offset and its digest, that of no rows for an absent one; and its place in the layer of
// changes that it was put into last. All who have the row in memory share it.
type Mark struct {
	Offset int64
	Digest digest.Sum
	Layer  uint32
	Place  int32
}

// Header is one record header.
type Header struct{ Key, Value []byte }

// Emission is one record for an output. A nil Value is a tombstone.
type Emission struct {
	Output    int // index in Group.Outputs
	Key       string
	Value     []byte
	Headers   []Header
	Timestamp int64
}

// Record is the record in hand. Its bytes are valid until the callback returns. A nil Key or Value is null.
type Record struct {
	Topic      string
	Partition  int32
	Offset     int64
	Timestamp  int64 // milliseconds since 1970
	Key, Value []byte
	Headers    []Header
}

// NewFrame makes the frame of one task.
func NewFrame(ctx context.Context, g *Group, below Backing) *Frame {
	f := &Frame{Context: ctx, group: g, limits: make([]Limits, len(g.Outputs))}
	for i, t := range g.Tables {
		f.layers = append(f.layers, t.NewOverlay(i, &guard{below, f}))
	}
	for _, e := range g.Effects {
		f.effects = append(f.effects, e.NewBatch())
	}
	return f
}
