package topology

import (
	"iter"

	"github.com/tarnstream/tarn/codec"
	"github.com/tarnstream/tarn/internal/scope"
)

// ReadTable is a table that somebody else writes: another group, or any program. A group reads it through Join or
// Lookup. Reads give rows as they are committed in its topic, at the time of the read: they move on while the input is
// read, and may differ from one read of a callback to the next.
type ReadTable[T any] struct {
	topic scope.Topic
	codec codec.Codec[T]
}

// NewReadTable makes the handle of a table that is only read. Its topic is not created when a group starts; to make it
// ahead of time use processor.CreateTopics. Faults of its name and codec are reported by Define.
func NewReadTable[T any](topic string, c codec.Codec[T], options ...TopicOption) *ReadTable[T] {
	t := &ReadTable[T]{topic: newTopic(topic, options), codec: c}
	t.topic.Handle = t
	return t
}

// ReadOnly gives the handle by which other groups read the table. All that it gives are the same one to Join and Lookup.
func (t *Table[T]) ReadOnly() *ReadTable[T] { return &ReadTable[T]{topic: t.topic, codec: t.codec} }

// Name is the topic's name, and the table's.
func (t *ReadTable[T]) Name() string { return t.topic.Name }

// Spec is for package processor.
func (t *ReadTable[T]) Spec() scope.Topic { return t.topic }

// Codec turns the table's values into bytes and back.
func (t *ReadTable[T]) Codec() codec.Codec[T] { return t.codec }

// Table marks a handle whose topic is compacted.
func (t *ReadTable[T]) Table() {}

// Join reads a table that is co-partitioned with the group's inputs: as many partitions, keys hashed alike. A task has
// the partition of its number, which is current before its input starts and followed from then on. When the table has to
// be rebuilt meanwhile, because its log was truncated, made again, or lost records not read yet, the task handles no
// record and visits no row until it is current again; see AllowStale.
func Join[T any](t *ReadTable[T], options ...scope.ReadOption) Edge {
	return readEdge("Join", t, scope.Read{}, options)
}

// Lookup reads a whole table: every instance of the group keeps all of its partitions, however many, which are current
// before the first record is handled and followed from then on. Its handle says how its keys are hashed, be it otherwise
// than the inputs'. While a partition is rebuilt it answers from before, and the first read of it then is told to
// Observer.StaleRead.
func Lookup[T any](t *ReadTable[T]) Edge {
	return readEdge("Lookup", t, scope.Read{Lookup: true}, nil)
}

// AllowStale lets a task handle records while its partition of a joined table is rebuilt: reads answer from before, and
// the first is told to Observer.StaleRead.
func AllowStale() scope.ReadOption { return func(r *scope.Read) { r.AllowStale = true } }

func readEdge[T any](kind string, t *ReadTable[T], r scope.Read, options []scope.ReadOption) Edge {
	if t == nil {
		return Edge{kind: kind}
	}
	r.Topic = t.topic
	for _, o := range options {
		o(&r)
	}
	return Edge{kind: kind, handle: t, faults: codecFault(t.codec), add: func(g *scope.Group) { g.Reads = append(g.Reads, r) }}
}

// Get gives the value of the record in hand's key; ok is false where there is none. Errors: ErrNullKey,
// *UndeclaredError, the codec's own, or trouble with the disk.
func (t *ReadTable[T]) Get(ctx *Context) (value T, ok bool, err error) {
	_, rows, err := ctx.frame.Read(&t.topic)
	if err != nil {
		return value, false, err
	}
	key := ctx.frame.Record().Key
	if key == nil {
		return value, false, ErrNullKey
	}
	return t.get(rows, key)
}

// GetKey gives the value of any key that the group's edge makes readable: with Lookup every key, with Join one of this
// task's partition. Errors: *PartitionError for a key of another partition, and those of Get but ErrNullKey.
func (t *ReadTable[T]) GetKey(ctx *Context, key string) (value T, ok bool, err error) {
	edge, rows, err := ctx.frame.Read(&t.topic)
	if err != nil {
		return value, false, err
	}
	k := []byte(key)
	if !edge.Lookup {
		if err := ctx.frame.Own(&t.topic, k); err != nil {
			return value, false, err
		}
	}
	return t.get(rows, k)
}

func (t *ReadTable[T]) get(rows scope.ReadBacking, key []byte) (value T, ok bool, err error) {
	data, ok, err := rows.Get(key)
	if err != nil || !ok {
		return value, false, err
	}
	if value, err = t.codec.Decode(data); err != nil {
		return value, false, rowError(t.topic.Name, string(key), err)
	}
	return value, true, nil
}

// Range goes over all rows that the group's edge makes readable: with Lookup the whole table, partition by partition,
// with Join this task's partition; in key order within a partition, each as it is when the loop reaches it. A non-nil
// error is the last thing it yields: *UndeclaredError, the codec's own, trouble with the disk, the context's cause once
// the task has lost its partition, or ErrNotInCallback once the callback has returned.
func (t *ReadTable[T]) Range(ctx *Context) iter.Seq2[Row[T], error] {
	return func(yield func(Row[T], error) bool) {
		_, rows, err := ctx.frame.Read(&t.topic)
		if err != nil {
			yield(Row[T]{}, err)
			return
		}
		each(t.topic.Name, t.codec, ctx.frame.Walk(rows.Range(), nil), yield)
	}
}
