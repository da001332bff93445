package topology

import (
	"context"
	"time"

	"github.com/tarnstream/tarn/internal/scope"
)

// Header is one record header.
type Header = scope.Header

// Errors of handles used in a callback.
type (
	// UndeclaredError says which edge is missing in Define.
	UndeclaredError = scope.UndeclaredError
	// TooLargeError says that a value would not fit into a record of its topic.
	TooLargeError = scope.TooLargeError
	// PartitionError says that another task keeps the row of a key.
	PartitionError = scope.PartitionError
	// TimestampError says that a record was to be written with a time that its topic does not take.
	TimestampError = scope.TimestampError
)

// Sentinels of handles used in a callback; use errors.Is.
var (
	ErrNullKey       = scope.ErrNullKey
	ErrNotInCallback = scope.ErrNotInCallback
)

// Context gives a callback the record in hand, and is a context.Context that ends when nothing of the callback can count
// any more: the partition is lost, or a stop has waited for the callback up to its deadline.
// It is valid until the callback returns and belongs to its goroutine.
type Context struct {
	context.Context
	frame *scope.Frame
	// at is the time of what is written, where dated; else the record in hand's.
	at    int64
	dated bool
}

// contextOf gives the frame's one Context.
func contextOf(f *scope.Frame) *Context {
	if c, ok := f.Host.(*Context); ok {
		return c
	}
	c := &Context{Context: f.Context, frame: f}
	f.Host = c
	return c
}

// Key is the record's key, empty for a null key; see HasKey.
func (c *Context) Key() string { return string(c.frame.Record().Key) }

// HasKey is false for a record with a null key.
func (c *Context) HasKey() bool { return c.frame.Record().Key != nil }

// Timestamp is the record's own time, to the millisecond.
func (c *Context) Timestamp() time.Time { return time.UnixMilli(c.frame.Record().Timestamp) }

// Headers are the record's headers. Their bytes are valid until the callback returns.
func (c *Context) Headers() []Header { return c.frame.Record().Headers }

// Topic is the topic the record came from.
func (c *Context) Topic() string { return c.frame.Record().Topic }

// Partition is the partition the record came from, and the task's number.
func (c *Context) Partition() int32 { return c.frame.Record().Partition }

// Offset is the record's offset in its partition.
func (c *Context) Offset() int64 { return c.frame.Record().Offset }
