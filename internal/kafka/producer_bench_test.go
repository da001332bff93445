package kafka_test

import (
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tarnstream/tarn/internal/benchtest"
	"github.com/tarnstream/tarn/internal/kafka"
)

// load makes n records of 100 bytes for each of four partitions.
func load(n int) []kafka.OutBatch {
	batches := make([]kafka.OutBatch, 4)
	for p := range batches {
		batches[p] = kafka.OutBatch{Topic: "load", Partition: int32(p), Records: make([]kafka.OutRecord, n)}
		for i := range batches[p].Records {
			batches[p].Records[i] = kafka.OutRecord{Key: []byte("key-00000"), Value: make([]byte, 100), Timestamp: time.Now().UnixMilli()}
		}
	}
	return batches
}

// BenchmarkProduce is a commit's worth of records, 100 bytes each, to four partitions of an embedded broker over TCP, at once
// or with a millisecond to the broker and back, with one batch of a partition in flight or five. Its time and allocations are
// the broker's too.
func BenchmarkProduce(b *testing.B) {
	for _, far := range []time.Duration{0, time.Millisecond} {
		for _, window := range []int{1, 5} {
			b.Run(fmt.Sprintf("%v/window %d", far, window), func(b *testing.B) { benchProduce(b, far, window) })
		}
	}
}

func benchProduce(b *testing.B, far time.Duration, window int) {
	bench := newBench(b)
	require.NoError(b, bench.broker.CreateTopic("load", 4, map[string]string{"retention.bytes": "1000000"}))
	client := bench.client
	if far > 0 {
		var late atomic.Int64
		late.Store(int64(far))
		client = newFarClient(b, bench.broker, &late)
	}
	p := client.NewProducer(kafka.ProducerConfig{MaxBatchBytes: 100_000})
	b.Cleanup(p.Close)
	p.SetWindow(window)
	batches := load(10_000)
	require.NoError(b, p.Produce(b.Context(), batches))
	records, done := 0, benchtest.Records(b)
	for i := 0; b.Loop(); i++ {
		require.NoError(b, p.Produce(b.Context(), batches))
		records += 40_000
		if i%50 == 49 { // the broker keeps its data in memory
			b.StopTimer()
			require.NoError(b, bench.client.DeleteRecords(b.Context(), "load", map[int32]int64{0: -1, 1: -1, 2: -1, 3: -1}))
			b.StartTimer()
		}
	}
	done(records)
}
