package processor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/tarnstream/tarn/internal/kafka"
	"github.com/tarnstream/tarn/internal/scope"
	"github.com/tarnstream/tarn/state"
	"github.com/tarnstream/tarn/topology"
)

// emitterBytes is how much an Emitter gathers before it sends.
const emitterBytes = 512 << 10

// Emitter writes records to a stream from outside a group. Make it with NewEmitter, and Close it.
// It may be used by many goroutines.
type Emitter[T any] struct {
	stream *topology.Stream[T]
	conf   config
	lock   chan struct{} // guards what follows

	client     *kafka.Client
	disconnect func()
	producer   *kafka.Producer
	partitions int32
	batches    map[int32]*kafka.OutBatch
	bytes      int
	closed     bool
}

// NewEmitter checks the options, all at once, and makes an Emitter. It touches no network before the first Emit.
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
	return &Emitter[T]{stream: stream, conf: conf, lock: make(chan struct{}, 1), client: client.kafka, disconnect: done, batches: map[int32]*kafka.OutBatch{}}, nil
}

// ErrEmitterClosed is returned by an Emitter after Close.
var ErrEmitterClosed = errors.New("processor: the emitter is closed")

// Emit adds a record with the current time. It is in Kafka when a later Flush or Close returns nil; records gathered
// past 512 KiB are sent at once. A record that does not fit its topic is a *topology.TooLargeError and not added.
func (e *Emitter[T]) Emit(ctx context.Context, key string, value T, headers ...topology.Header) error {
	data, err := e.stream.Codec().Encode(nil, value)
	if err != nil {
		return fmt.Errorf("processor: emit to %s: %w", e.stream.Name(), err)
	}
	if data == nil {
		data = []byte{}
	}
	r := kafka.OutRecord{Key: bytesOf(key), Value: data, Headers: stateHeaders(scope.CloneHeaders(headers)), Timestamp: time.Now().UnixMilli()}
	return e.locked(ctx, func() error { return e.add(ctx, r) })
}

// Flush sends what was emitted and returns when Kafka has it all. After an error the unsent records are dropped:
// the error names the first partition that failed.
func (e *Emitter[T]) Flush(ctx context.Context) error {
	return e.locked(ctx, func() error { return e.send(ctx) })
}

// Close flushes and closes the connections. It is idempotent.
func (e *Emitter[T]) Close(ctx context.Context) error {
	err := e.locked(ctx, func() error {
		err := e.send(ctx)
		e.closed = true
		if e.producer != nil {
			e.producer.Close()
		}
		e.disconnect()
		return err
	})
	if errors.Is(err, ErrEmitterClosed) {
		return nil
	}
	return err
}

func (e *Emitter[T]) locked(ctx context.Context, fn func() error) error {
	select {
	case e.lock <- struct{}{}:
		defer func() { <-e.lock }()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	if e.closed {
		return ErrEmitterClosed
	}
	return fn()
}

func (e *Emitter[T]) add(ctx context.Context, r kafka.OutRecord) error {
	if err := e.connect(ctx); err != nil {
		return err
	}
	name := e.stream.Name()
	size := kafka.EncodedSize(&r)
	if limit := e.producer.MaxRecordBytes(name); size > limit {
		return &topology.TooLargeError{Topic: name, Key: string(r.Key), Size: size, Limit: limit}
	}
	p := e.stream.Spec().Hash.Partition(r.Key, e.partitions)
	if e.batches[p] == nil {
		e.batches[p] = &kafka.OutBatch{Topic: name, Partition: p}
	}
	e.batches[p].Records = append(e.batches[p].Records, r)
	if e.bytes += size; e.bytes < emitterBytes {
		return nil
	}
	return e.send(ctx)
}

// connect learns the topic's partitions and limit the first time.
func (e *Emitter[T]) connect(ctx context.Context) error {
	if e.producer != nil {
		return nil
	}
	ctx, cancel := e.conf.starting(ctx)
	defer cancel()
	name := e.stream.Name()
	if err := e.client.Connect(ctx, name); err != nil {
		return err
	}
	topics, err := e.client.Refresh(ctx, name)
	if err != nil {
		return err
	}
	if t := topics[name]; t.Err != nil || len(t.Partitions) == 0 {
		return cmp.Or(t.Err, error(&state.TopicMissingError{Topic: name}))
	}
	producer := e.client.NewProducer(kafka.ProducerConfig{Logger: e.conf.kafka.Logger})
	if err := producer.Prepare(ctx, name); err != nil {
		producer.Close()
		return err
	}
	e.producer, e.partitions = producer, int32(len(topics[name].Partitions))
	return nil
}

func (e *Emitter[T]) send(ctx context.Context) error {
	if len(e.batches) == 0 {
		return nil
	}
	var out []kafka.OutBatch
	for p := range e.partitions {
		if b := e.batches[p]; b != nil {
			out = append(out, *b)
		}
	}
	clear(e.batches)
	e.bytes = 0
	return e.producer.Produce(ctx, out)
}
