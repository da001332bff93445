package streamtest

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/tarnstream/tarn/codec"
	"github.com/tarnstream/tarn/devbroker"
	"github.com/tarnstream/tarn/topology"
)

// Record is one record of a stream or of a table's topic, its value decoded. Call, Send and Expect take one, mostly made
// by KV; Records gives them.
type Record[T any] struct {
	Key   string
	Value T
	// NullKey and NullValue tell null from empty. A record with a null value is a tombstone: in a table's topic it
	// deletes its key.
	NullKey, NullValue bool
	Headers            []topology.Header
	// Time is the record's own. One that is sent without gets the present, which is virtual in a Kit.
	Time time.Time
	// Partition is -1 for what a Context emitted: it knows of no partitions but its own. One that is sent goes where its
	// key belongs, save when In said otherwise.
	Partition int32
	// Offset is the record's place in its partition; for a Context it counts what was written to the topic. It means
	// nothing in a record that is sent.
	Offset int64

	in bool // Partition was chosen
}

// KV is a record with a key and a value. T is that of the handle: KV[int64]("a", 1) where the value alone would say int.
func KV[T any](key string, value T) Record[T] { return Record[T]{Key: key, Value: value} }

// Tombstone is a record with a key and a null value.
func Tombstone[T any](key string) Record[T] { return Record[T]{Key: key, NullValue: true} }

// At gives the record with a time of its own, which Kafka keeps to the millisecond.
func (r Record[T]) At(t time.Time) Record[T] {
	r.Time = t
	return r
}

// Header gives the record with one more header.
func (r Record[T]) Header(key, value string) Record[T] {
	r.Headers = append(slices.Clone(r.Headers), topology.Header{Key: []byte(key), Value: []byte(value)})
	return r
}

// In gives the record to be sent to a partition, whatever its key.
func (r Record[T]) In(partition int) Record[T] {
	r.Partition, r.in = int32(partition), true
	return r
}

// String shows a record as failures do: key=value, then what is not as usual.
func (r Record[T]) String() string {
	var b strings.Builder
	if r.NullKey {
		b.WriteString("null key")
	} else {
		fmt.Fprintf(&b, "%q", r.Key)
	}
	if r.NullValue {
		b.WriteString("=tombstone")
	} else if text, ok := any(r.Value).(string); ok {
		fmt.Fprintf(&b, "=%q", text)
	} else {
		fmt.Fprintf(&b, "=%+v", r.Value)
	}
	for _, h := range r.Headers {
		fmt.Fprintf(&b, " [%s: %q]", h.Key, h.Value)
	}
	return b.String()
}

// Handle is a stream or a table with values of T.
type Handle[T any] interface {
	topology.Handle
	Codec() codec.Codec[T]
}

// placed is a record as its topic has it, and where.
type placed struct {
	devbroker.Record
	partition int32
}

// encode gives a record to be sent; its partition is -1 where the key decides.
func encode[T any](h Handle[T], r Record[T]) (p placed, err error) {
	p.Timestamp, p.partition = r.Time, -1
	if r.in {
		p.partition = r.Partition
	}
	for _, h := range r.Headers {
		p.Headers = append(p.Headers, devbroker.Header{Key: string(h.Key), Value: h.Value})
	}
	if !r.NullKey {
		p.Key = []byte(r.Key)
	}
	if r.NullValue {
		return p, nil
	}
	if p.Value, err = h.Codec().Encode([]byte{}, r.Value); err != nil {
		err = fmt.Errorf("%s: the value of key %.64q cannot be encoded: %w", h.Name(), r.Key, err)
	}
	return p, err
}

// decode gives a record with its value decoded.
func decode[T any](h Handle[T], p placed) (Record[T], error) {
	r := Record[T]{Key: string(p.Key), NullKey: p.Key == nil, NullValue: p.Value == nil, Time: p.Timestamp,
		Partition: p.partition, Offset: p.Offset}
	for _, h := range p.Headers {
		r.Headers = append(r.Headers, topology.Header{Key: []byte(h.Key), Value: h.Value})
	}
	if r.NullValue {
		return r, nil
	}
	var err error
	if r.Value, err = h.Codec().Decode(p.Value); err != nil {
		err = fmt.Errorf("%s: the value of key %.64q cannot be decoded: %w", h.Name(), p.Key, err)
	}
	return r, err
}
