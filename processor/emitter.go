package processor

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/tarnstream/tarn/internal/scope"
	"github.com/tarnstream/tarn/observe"
	"github.com/tarnstream/tarn/state"
	"github.com/tarnstream/tarn/topology"
)

// Emitter writes records to a stream from outside a group. Make it with NewEmitter, and Close it.
// It may be used by many goroutines.
//
// Records are gathered, and sent by a goroutine of the Emitter: see policy.Batching. The records of one key reach their
// partition in the order in which they were emitted, whatever fails on the way. A record that Kafka did not take in time
// is told to its WithResult or, without one, by the next Flush or Close: none is lost silently.
type Emitter[T any] struct {
	stream *topology.Stream[T]
	box    *outbox
	at     time.Time // zero: the present
	to     *int32    // nil: by the key
	told   func(observe.Delivery)
}

// NewEmitter checks the options, all at once, and makes an Emitter. It starts nothing and touches no network before the
// first Emit.
func NewEmitter[T any](stream *topology.Stream[T], options ...Option) (*Emitter[T], error) {
	if stream == nil {
		return nil, errors.New("processor: the stream is nil")
	}
	conf, err := configure(false, options)
	if err != nil {
		return nil, err
	}
	client, done, err := conf.connect("tarn-emitter-" + stream.Name())
	if err != nil {
		return nil, err
	}
	return &Emitter[T]{stream: stream, box: newOutbox(stream.Spec(), conf, client, done)}, nil
}

// errEmitterClosed is what an Emitter returns after Close.
var errEmitterClosed = error(closedError("processor: the emitter is closed"))

// closedError says that something was closed by its user, in its own words.
type closedError string

func (e closedError) Error() string        { return string(e) }
func (e closedError) Is(target error) bool { return target == state.ErrClosed }

// WithTimestamp gives an Emitter whose records have a time of their own, to the millisecond, instead of that of Emit. It
// shares everything else with e.
func (e *Emitter[T]) WithTimestamp(at time.Time) *Emitter[T] {
	with := *e
	with.at = at
	return &with
}

// WithPartition gives an Emitter whose records go to one partition, whatever their key. It shares everything else with e.
func (e *Emitter[T]) WithPartition(partition int32) *Emitter[T] {
	with := *e
	with.to = &partition
	return &with
}

// WithResult gives an Emitter whose records are told to fn, each once: when it is in Kafka, or given up. Flush and Close
// do not tell of them. fn is called from the Emitter's goroutine, which sends nothing until it returns: it must not block.
// The Emitter shares everything else with e.
func (e *Emitter[T]) WithResult(fn func(observe.Delivery)) *Emitter[T] {
	with := *e
	with.told = fn
	return &with
}

// Emit adds a record with the present as its time, and returns: it is sent within policy.Batching's Linger, or as soon as
// those before it are through. It waits where the buffer is full, until there is room or ctx ends, and the first time
// until the topic is known (StartTimeout). An error means that the record was not added: the end of ctx, what Kafka said,
// *topology.TooLargeError or *topology.TimestampError for one that its topic does not take, *state.TopicMissingError for a
// topic that is missing (AwaitTopics waits), state.ErrClosed after Close, or the codec's own.
func (e *Emitter[T]) Emit(ctx context.Context, key string, value T, headers ...topology.Header) error {
	return e.value(ctx, parcel{key: key, headers: headers}, value)
}

// EmitNullKey is Emit of a record with a null key, which a compacted topic does not take. Without WithPartition such
// records go to all partitions in turn.
func (e *Emitter[T]) EmitNullKey(ctx context.Context, value T, headers ...topology.Header) error {
	return e.value(ctx, parcel{nullKey: true, headers: headers}, value)
}

// EmitTombstone is Emit of a record with a null value.
func (e *Emitter[T]) EmitTombstone(ctx context.Context, key string, headers ...topology.Header) error {
	return e.put(ctx, parcel{key: key, headers: headers})
}

// EmitSync is Emit that returns when the record is in Kafka; it lingers for no others. An error is one of Emit's, with
// which the record was not added; a *policy.EmitError; or the end of ctx, with which the record is on its way: a Flush or Close
// does not tell of it.
func (e *Emitter[T]) EmitSync(ctx context.Context, key string, value T, headers ...topology.Header) error {
	result := make(chan error, 1)
	sync := e.WithResult(func(d observe.Delivery) {
		if e.told != nil {
			e.told(d)
		}
		result <- d.Err
	})
	if err := sync.Emit(ctx, key, value, headers...); err != nil {
		return err
	}
	e.box.hurry()
	select {
	case err := <-result:
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Flush sends what was emitted, without lingering, and returns when Kafka has it all. An error is of records without a
// WithResult that were given up since the last Flush, one *policy.EmitError for each partition; or the end of ctx: what is on its
// way stays on its way.
func (e *Emitter[T]) Flush(ctx context.Context) error {
	if e.box.closing.Load() {
		return errEmitterClosed
	}
	return e.box.flush(ctx)
}

// Close flushes, ends the Emitter's goroutine and closes its connections. When ctx ends first, the records that Kafka
// does not have are given up, and told. It is idempotent.
func (e *Emitter[T]) Close(ctx context.Context) error { return e.box.close(ctx) }

func (e *Emitter[T]) value(ctx context.Context, p parcel, value T) error {
	buffer := e.box.scratch.Get().(*[]byte)
	defer e.box.scratch.Put(buffer)
	data, err := e.stream.Codec().Encode((*buffer)[:0], value)
	if err != nil {
		return fmt.Errorf("processor: emit to %s: %w", e.stream.Name(), err)
	}
	if data == nil { // an empty value is a value, not a tombstone
		data = []byte{}
	}
	if cap(data) <= keepScratch {
		*buffer = data
	}
	p.value = data
	return e.put(ctx, p)
}

// keepScratch bounds the memory that encoding keeps for the next record.
const keepScratch = 64 << 10

func (e *Emitter[T]) put(ctx context.Context, p parcel) error {
	p.headers = scope.CloneHeaders(p.headers)
	p.at, p.to, p.told = e.at, e.to, e.told
	return e.box.put(ctx, &p)
}
