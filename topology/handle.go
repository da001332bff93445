package topology

import (
	"github.com/tarnstream/tarn/codec"
	"github.com/tarnstream/tarn/internal/scope"
)

// Handle is a stream or a table, whatever its type.
type Handle interface {
	// Name is the topic's name.
	Name() string
	// Spec is for package processor.
	Spec() scope.Topic
}

// TopicOption says how a handle's topic is made where tarn creates it.
type TopicOption = scope.TopicOption

// Partitions asks for n partitions. Without it a table gets as many as the group's inputs, and so do outputs and loops.
// A topic that exists with another number is an error at start.
func Partitions(n int) TopicOption { return func(t *scope.Topic) { t.Partitions = int32(n) } }

// Replication asks for n replicas. The default is the broker's own.
func Replication(n int) TopicOption { return func(t *scope.Topic) { t.Replication = int16(n) } }

// Config sets a topic config, such as retention.ms, for a topic that tarn creates.
func Config(key, value string) TopicOption {
	return func(t *scope.Topic) {
		if t.Configs == nil {
			t.Configs = map[string]string{}
		}
		t.Configs[key] = value
	}
}

func newTopic(name string, options []TopicOption) scope.Topic {
	t := scope.Topic{Name: name}
	for _, o := range options {
		o(&t)
	}
	return t
}

// Stream is a topic of events with values of T. Its keys are strings of any bytes.
type Stream[T any] struct {
	topic scope.Topic
	codec codec.Codec[T]
}

// NewStream makes the handle of a stream. Faults of its name and codec are reported by Define.
func NewStream[T any](topic string, c codec.Codec[T], options ...TopicOption) *Stream[T] {
	s := &Stream[T]{topic: newTopic(topic, options), codec: c}
	s.topic.Handle = s
	return s
}

// Name is the topic's name.
func (s *Stream[T]) Name() string { return s.topic.Name }

// Spec is for package processor.
func (s *Stream[T]) Spec() scope.Topic { return s.topic }

// Codec turns the stream's values into bytes and back.
func (s *Stream[T]) Codec() codec.Codec[T] { return s.codec }

// Emit writes a record with the timestamp of the record in hand, or that of WithTimestamp. The group declares the stream
// with Output or Loop. The key decides the partition, by the handle's hash. An error means that nothing was written:
// *UndeclaredError, *TooLargeError, *TimestampError or the codec's own.
func (s *Stream[T]) Emit(ctx *Context, key string, value T, headers ...Header) error {
	e := scope.Emission{Key: key, Headers: headers, Timestamp: stamp(ctx)}
	return ctx.frame.Emit(s, s.topic.Name, e, func(dst []byte) ([]byte, error) { return s.codec.Encode(dst, value) })
}

// EmitTombstone writes a record with a null value. Errors are those of Emit.
func (s *Stream[T]) EmitTombstone(ctx *Context, key string, headers ...Header) error {
	return ctx.frame.Emit(s, s.topic.Name, scope.Emission{Key: key, Headers: headers, Timestamp: stamp(ctx)}, nil)
}

// Table is a compacted topic whose newest value for each key is kept on local disk. One group writes it.
type Table[T any] struct {
	topic scope.Topic
	codec codec.Codec[T]
}

// NewTable makes the handle of a table. Faults of its name and codec are reported by Define.
func NewTable[T any](topic string, c codec.Codec[T], options ...TopicOption) *Table[T] {
	t := &Table[T]{topic: newTopic(topic, options), codec: c}
	t.topic.Handle = t
	return t
}

// Name is the topic's name, and the table's.
func (t *Table[T]) Name() string { return t.topic.Name }

// Spec is for package processor.
func (t *Table[T]) Spec() scope.Topic { return t.topic }

// Codec turns the table's values into bytes and back.
func (t *Table[T]) Codec() codec.Codec[T] { return t.codec }

// Table marks a handle whose topic is compacted.
func (t *Table[T]) Table() {}

// Get gives the value of the record in hand's key as this callback sees it, its own writes included; ok is false where
// there is none. Errors: ErrNullKey, *UndeclaredError, the codec's own, or trouble with the disk.
func (t *Table[T]) Get(ctx *Context) (value T, ok bool, err error) {
	o, key, err := t.own(ctx)
	if err != nil {
		return value, false, err
	}
	return o.Get(key)
}

// Set gives the record in hand's key a value, which is encoded at once: what the callback does to value later changes
// nothing. Errors: ErrNullKey, *UndeclaredError, *TooLargeError, *TimestampError or the codec's own; none of them has
// written anything.
func (t *Table[T]) Set(ctx *Context, value T) error {
	o, key, err := t.own(ctx)
	if err != nil {
		return err
	}
	return o.Set(key, value, stamp(ctx))
}

// Delete removes the record in hand's key. Errors are those of Set.
func (t *Table[T]) Delete(ctx *Context) error {
	o, key, err := t.own(ctx)
	if err != nil {
		return err
	}
	return o.Delete(key, stamp(ctx))
}

func (t *Table[T]) own(ctx *Context) (*scope.Overlay[T], []byte, error) {
	o, err := scope.Of[T](ctx.frame, t, t.topic.Name)
	if err != nil {
		return nil, nil, err
	}
	key := ctx.frame.Record().Key
	if key == nil {
		return nil, nil, ErrNullKey
	}
	return o, key, nil
}
