package processor

import (
	"errors"
	"time"

	"github.com/tarnstream/tarn/observe"
	"github.com/tarnstream/tarn/state"
)

// OnChange has fn called with each change of a row, once reads show it; call it before Run, several times for several.
// What a fn is told adds up to what reads show: when a partition is current for the first time, every row it has; then
// record by record, in the order of the log; and after a reset the rows in which the rebuilt partition differs, see
// observe.Change. The rows of the start have been told when Ready is closed. Records of one answer of the broker become
// visible together: a read may be some changes ahead of fn, never behind.
//
// fn is called from one goroutine for each partition, several at a time, which follows the log no further until fn
// returns. An error or a panic of fn, or a value that cannot be decoded, ends Run with a *RecordError. After a
// restart everything is told anew.
func (v *View[T]) OnChange(fn func(observe.Change[T]) error) error {
	switch {
	case fn == nil:
		return errors.New("processor: OnChange of nil")
	case v.ran.Load():
		return errors.New("processor: OnChange is called before Run")
	}
	v.calls = append(v.calls, fn)
	return nil
}

// changed makes what a restore tells of a partition's changes, nil where nobody wants to know.
func (v *View[T]) changed(partition int32) func(kind string, was *state.Row, is state.Record) error {
	if len(v.calls) == 0 {
		return nil
	}
	return func(kind string, was *state.Row, is state.Record) error {
		c, err := v.change(kind, was, is)
		c.Place = v.place(partition)
		for _, fn := range v.calls {
			if err == nil {
				err = protect(func() error { return fn(c) })
			}
		}
		if err != nil {
			return &RecordError{Group: v.name, Topic: v.table.Name(), Partition: partition, Offset: c.Offset, Key: cloneBytes(is.Key),
				Attempts: 1, Cause: err}
		}
		return nil
	}
}

// change decodes what has changed.
func (v *View[T]) change(kind string, was *state.Row, is state.Record) (c observe.Change[T], err error) {
	c = observe.Change[T]{Kind: kind, Key: string(is.Key), Existed: was != nil, Exists: is.Value != nil, Offset: is.Offset}
	if is.Timestamp >= 0 {
		c.Timestamp = time.UnixMilli(is.Timestamp)
	}
	if c.Existed {
		c.Old, err = v.table.Codec().Decode(was.Value)
	}
	if c.Exists && err == nil {
		c.New, err = v.table.Codec().Decode(is.Value)
	}
	return c, err
}
