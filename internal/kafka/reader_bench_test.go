package kafka_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tarnstream/tarn/internal/benchtest"
	"github.com/tarnstream/tarn/internal/kafka"
)

// BenchmarkReader reads 400,000 records of 100 bytes from four partitions of the embedded broker, which takes its part of
// the processor's time.
func BenchmarkReader(b *testing.B) {
	const partitions, batches, size = 4, 100, 1000
	bn := newBench(b)
	require.NoError(b, bn.broker.CreateTopic("wide", partitions, nil))
	p := bn.producer(kafka.ProducerConfig{})
	for range batches {
		var out []kafka.OutBatch
		for i := range int32(partitions) {
			batch := kafka.OutBatch{Topic: "wide", Partition: i}
			for range size {
				batch.Records = append(batch.Records, kafka.OutRecord{Key: []byte("0123456789"), Value: make([]byte, 100)})
			}
			out = append(out, batch)
		}
		require.NoError(b, p.Produce(b.Context(), out))
	}
	r := bn.read(kafka.ReaderConfig{})
	wake := make(chan struct{}, 1)
	var cursors []*kafka.Cursor
	for i := range int32(partitions) {
		cursors = append(cursors, r.Open("wide", i, wake))
	}
	done := benchtest.Records(b)
	for b.Loop() {
		for _, c := range cursors {
			c.SeekTo(0)
		}
		for left := partitions * batches * size; left > 0; {
			<-wake
			left -= drain(b, cursors)
		}
	}
	done(partitions * batches * size * b.N)
}

// drain polls until nothing is there, and counts.
func drain(b *testing.B, cursors []*kafka.Cursor) (n int) {
	for more := true; more; {
		more = false
		for _, c := range cursors {
			records, ok, err := c.Poll()
			require.NoError(b, err)
			n, more = n+len(records.Records), more || ok
		}
	}
	return n
}
