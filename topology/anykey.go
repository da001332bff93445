package topology

import (
	"fmt"
	"iter"

	"github.com/tarnstream/tarn/codec"
	"github.com/tarnstream/tarn/internal/scope"
)

// GetKey gives the value of any key of this task's partition as this callback sees it, its own writes included; ok is
// false where there is none. Errors: *PartitionError for a key of another partition, and those of Get but ErrNullKey.
func (t *Table[T]) GetKey(ctx *Context, key string) (value T, ok bool, err error) {
	o, k, err := t.any(ctx, key)
	if err != nil {
		return value, false, err
	}
	return o.Get(k)
}

// SetKey gives any key of this task's partition a value, as Set does. Errors: *PartitionError for a key of another
// partition, and those of Set but ErrNullKey; none of them has written anything.
func (t *Table[T]) SetKey(ctx *Context, key string, value T) error {
	o, k, err := t.any(ctx, key)
	if err != nil {
		return err
	}
	return o.Set(k, value, stamp(ctx))
}

// DeleteKey removes any key of this task's partition. Errors are those of SetKey.
func (t *Table[T]) DeleteKey(ctx *Context, key string) error {
	o, k, err := t.any(ctx, key)
	if err != nil {
		return err
	}
	return o.Delete(k, stamp(ctx))
}

// any checks that key is one of this task.
func (t *Table[T]) any(ctx *Context, key string) (*scope.Overlay[T], []byte, error) {
	o, err := scope.Of[T](ctx.frame, t, t.topic.Name)
	if err != nil {
		return nil, nil, err
	}
	k := []byte(key)
	return o, k, ctx.frame.Own(&t.topic, k)
}

// Row is one row of a Range.
type Row[T any] struct {
	Key   string
	Value T
}

// Range goes over all rows of this task's partition in key order, as this callback sees them when the loop begins: with
// its own writes so far, without those it makes in the loop. A non-nil error is the last thing it yields:
// *UndeclaredError, the codec's own, trouble with the disk, the context's cause once the task has lost its partition, or
// ErrNotInCallback once the callback has returned. Beginning costs time and memory by what is not on disk yet
// (processor.MemoryBytes bounds it); a task takes no part in commits while its callback runs, so a table of millions of
// rows is not for every record.
func (t *Table[T]) Range(ctx *Context) iter.Seq2[Row[T], error] {
	return func(yield func(Row[T], error) bool) {
		o, err := scope.Of[T](ctx.frame, t, t.topic.Name)
		if err != nil {
			yield(Row[T]{}, err)
			return
		}
		each(t.topic.Name, t.codec, o.Range(ctx.frame), yield)
	}
}

// each yields rows decoded, and closes them.
func each[T any](table string, c codec.Codec[T], rows scope.Rows, yield func(Row[T], error) bool) {
	defer rows.Close()
	for rows.Next() {
		value, err := c.Decode(rows.Value())
		if err != nil {
			yield(Row[T]{}, rowError(table, rows.Key(), err))
			return
		}
		if !yield(Row[T]{rows.Key(), value}, nil) {
			return
		}
	}
	if err := rows.Err(); err != nil {
		yield(Row[T]{}, err)
	}
}

func rowError(table, key string, err error) error {
	return fmt.Errorf("topology: table %s: key %.64q: %w", table, key, err)
}
