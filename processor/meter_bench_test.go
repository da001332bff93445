package processor

import (
	"fmt"
	"testing"
)

// BenchmarkTask_Count is a stateful count without Kafka, in steps of as many records as an answer may bring, and as few.
// publish is what a step costs for being counted.
func BenchmarkTask_Count(b *testing.B) {
	for _, records := range []int{8000, 100, 1} {
		b.Run(fmt.Sprintf("step of %d", records), func(b *testing.B) {
			t, in := countingTask(b, records)
			t.inputs = []*input{in}
			all := in.chunk
			for b.Loop() {
				in.chunk, in.at = all, 0
				if _, err := t.step(b.Context()); err != nil {
					b.Fatal(err)
				}
				t.publish()
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*records), "ns/record")
		})
	}
	b.Run("publish", func(b *testing.B) {
		t, in := countingTask(b, 1)
		t.inputs = []*input{in}
		for b.Loop() {
			t.publish()
		}
	})
}
