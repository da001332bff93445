package processor_test

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tarnstream/tarn/codec"
	"github.com/tarnstream/tarn/devbroker"
	"github.com/tarnstream/tarn/internal/kafka"
	"github.com/tarnstream/tarn/processor"
	"github.com/tarnstream/tarn/topology"
)

// payloads is the stream of the benchmarks: values of 100 bytes in 4 partitions.
var payloads = topology.NewStream("payloads", codec.Bytes)

// blocking is what an Emitter is measured against: it gathers 512 KiB and sends them in the goroutine that emits.
type blocking struct {
	client   *kafka.Client
	producer *kafka.Producer
	mu       sync.Mutex
	batches  [4]kafka.OutBatch
	bytes    int
}

func newBlocking(b *testing.B, addrs []string) *blocking {
	client, err := kafka.NewClient(kafka.Config{Brokers: addrs, Logger: slog.New(slog.DiscardHandler)})
	require.NoError(b, err)
	require.NoError(b, client.Connect(b.Context(), "payloads"))
	return &blocking{client: client, producer: client.NewProducer(kafka.ProducerConfig{})}
}

func (e *blocking) Emit(ctx context.Context, key string, value []byte) error {
	data, err := codec.Bytes.Encode(nil, value)
	if err != nil {
		return err
	}
	r := kafka.OutRecord{Key: []byte(key), Value: data, Timestamp: time.Now().UnixMilli()}
	e.mu.Lock()
	defer e.mu.Unlock()
	p := partitionOf(key, 4)
	e.batches[p].Topic, e.batches[p].Partition = "payloads", p
	e.batches[p].Records = append(e.batches[p].Records, r)
	if e.bytes += kafka.EncodedSize(&r); e.bytes < 512<<10 {
		return nil
	}
	return e.send(ctx)
}

func (e *blocking) send(ctx context.Context) error {
	err := e.producer.Produce(ctx, e.batches[:])
	e.batches, e.bytes = [4]kafka.OutBatch{}, 0
	return err
}

func (e *blocking) Close(ctx context.Context) error {
	err := e.send(ctx)
	e.producer.Close()
	e.client.Close()
	return err
}

// emitter is either of the two.
type emitter interface {
	Emit(ctx context.Context, key string, value []byte) error
	Close(ctx context.Context) error
}

// plain is an Emitter without headers.
type plain struct{ *processor.Emitter[[]byte] }

func (p plain) Emit(ctx context.Context, key string, value []byte) error {
	return p.Emitter.Emit(ctx, key, value)
}

// BenchmarkEmitter writes over TCP by both, in turn, and reports records a second and their ratio.
func BenchmarkEmitter(b *testing.B) {
	for _, writers := range []int{1, 8} {
		b.Run(fmt.Sprintf("writers=%d", writers), func(b *testing.B) {
			broker, err := devbroker.Start()
			require.NoError(b, err)
			defer broker.Close()
			require.NoError(b, broker.CreateTopic("payloads", 4, map[string]string{"retention.bytes": "1000000"}))
			took := map[string]time.Duration{}
			const records = 200_000
			for b.Loop() {
				e, err := processor.NewEmitter(payloads, processor.Brokers(broker.Addrs()...), processor.Logger(slog.New(slog.DiscardHandler)))
				require.NoError(b, err)
				took["emitter"] += emitAll(b, plain{e}, writers, records)
				took["blocking"] += emitAll(b, newBlocking(b, broker.Addrs()), writers, records)
				require.NoError(b, broker.DeleteRecords("payloads", 0, -1))
			}
			for name, d := range took {
				b.ReportMetric(float64(b.N*records)/d.Seconds(), name+"-records/s")
			}
			b.ReportMetric(took["blocking"].Seconds()/took["emitter"].Seconds(), "ratio")
		})
	}
}

func emitAll(b *testing.B, e emitter, writers, records int) time.Duration {
	keys, value := users(1000), make([]byte, 100)
	began := time.Now()
	var all sync.WaitGroup
	for range writers {
		all.Go(func() {
			for i := range records / writers {
				if err := e.Emit(b.Context(), keys[i%len(keys)], value); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
	require.NoError(b, e.Close(b.Context()))
	return time.Since(began)
}

// BenchmarkEmit_Allocations is the cost of one Emit whose result nobody asks for, sending included.
func BenchmarkEmit_Allocations(b *testing.B) {
	broker, err := devbroker.Start()
	require.NoError(b, err)
	defer broker.Close()
	require.NoError(b, broker.CreateTopic("payloads", 4, map[string]string{"retention.bytes": "1000000"}))
	e, err := processor.NewEmitter(payloads, processor.Brokers(broker.Addrs()...), processor.Logger(slog.New(slog.DiscardHandler)))
	require.NoError(b, err)
	value := make([]byte, 100)
	require.NoError(b, e.EmitSync(b.Context(), "warm", value))
	b.ReportAllocs()
	for b.Loop() {
		require.NoError(b, e.Emit(b.Context(), "key", value))
	}
	require.NoError(b, e.Close(b.Context()))
}
