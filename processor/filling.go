package processor

import (
	"errors"
	"log/slog"
	"unsafe"

	"github.com/tarnstream/tarn/internal/kafka"
	"github.com/tarnstream/tarn/observe"
	"github.com/tarnstream/tarn/policy"
	"github.com/tarnstream/tarn/state"
)

// filling is the records of one partition that an outbox gathers and then sends. It is used again for others.
type filling struct {
	kafka.OutBatch
	told   []func(observe.Delivery) // by record, as far as there are any
	weight int64
	chunks [][]byte // values are copied here
	used   int      // of the chunks, the one in use included
}

// chunkBytes is the size of a piece of memory for values. A value of a quarter of it has memory of its own.
const chunkBytes = 64 << 10

// add appends a record with a copy of its value. Its key is a string's, which does not change.
func (b *filling) add(r *kafka.OutRecord, told func(observe.Delivery), weight int64) {
	b.Records = append(b.Records, *r)
	b.Records[len(b.Records)-1].Value = b.keep(r.Value)
	b.weight += weight
	if told == nil {
		return
	}
	for len(b.told) < len(b.Records)-1 {
		b.told = append(b.told, nil)
	}
	b.told = append(b.told, told)
}

// keep copies a value; null stays null, and empty is not null.
func (b *filling) keep(value []byte) []byte {
	switch {
	case value == nil:
		return nil
	case len(value) == 0 || len(value) > chunkBytes/4:
		return append(make([]byte, 0, len(value)), value...)
	case b.used == 0 || len(b.chunks[b.used-1])+len(value) > chunkBytes:
		if b.used == len(b.chunks) {
			b.chunks = append(b.chunks, make([]byte, 0, chunkBytes))
		}
		b.used++
	}
	c := &b.chunks[b.used-1]
	at := len(*c)
	*c = append(*c, value...)
	return (*c)[at:len(*c):len(*c)]
}

// fail gives up what was not sent.
func (b *filling) fail(cause error) {
	b.Err = cause
	for i := range b.Records {
		b.Records[i].Offset = state.UnknownOffset
	}
}

// tell tells each record's result. It gives the error of those that nobody was to be told of.
func (b *filling) tell(log *slog.Logger) *policy.EmitError {
	failed := 0
	for i := range b.Records {
		if b.Records[i].Offset == state.UnknownOffset {
			failed++
		}
	}
	var err *policy.EmitError
	if failed > 0 {
		err = b.failure(failed)
		log.Warn("records were given up", "topic", b.Topic, "partition", b.Partition, "records", failed, "unknown", err.Unknown, "error", err.Cause)
	}
	for i, told := range b.told {
		if told == nil {
			continue
		}
		d := observe.Delivery{Place: observe.Place{Topic: b.Topic, Partition: b.Partition}, Offset: b.Records[i].Offset}
		if d.Offset == state.UnknownOffset {
			d.Err = err
			failed--
		}
		if panicked := protect(func() error { told(d); return nil }); panicked != nil {
			log.Error("a WithResult has panicked", "topic", b.Topic, "partition", b.Partition, "error", panicked)
		}
	}
	if failed == 0 {
		return nil
	}
	rest := *err
	rest.Records = failed
	return &rest
}

func (b *filling) failure(records int) *policy.EmitError {
	e := &policy.EmitError{Topic: b.Topic, Partition: b.Partition, Records: records, Cause: b.Err}
	if p, ok := errors.AsType[*kafka.ProduceError](b.Err); ok {
		e.Unknown, e.Cause = p.Unknown || errors.Is(p, kafka.ErrOffsetUnknown), p.Cause
	}
	return e
}

// empty lets go of the records and keeps their memory.
func (b *filling) empty() {
	clear(b.Records)
	clear(b.told)
	b.Records, b.told, b.weight, b.Err = b.Records[:0], b.told[:0], 0, nil
	for i := range b.chunks[:b.used] {
		b.chunks[i] = b.chunks[i][:0]
	}
	b.used = 0
}

// memory is what an emptied filling keeps, nearly.
func (b *filling) memory() int {
	return cap(b.Records)*int(unsafe.Sizeof(kafka.OutRecord{})) + cap(b.told)*8 + len(b.chunks)*chunkBytes
}
