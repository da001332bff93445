package processor

import (
	"fmt"
	"testing"

	"github.com/tarnstream/tarn/internal/benchtest"
)

// BenchmarkTask_Count is a stateful count without Kafka, in steps of as many records as an answer may bring, and as few.
// publish is what a step costs for being counted.
func BenchmarkTask_Count(b *testing.B) {
	for _, size := range []int{8000, 100, 1} {
		b.Run(fmt.Sprintf("step of %d", size), func(b *testing.B) {
			t, in := countingTask(b, size)
			t.inputs = []*input{in}
			again := replay(in)
			done := benchtest.Records(b)
			for b.Loop() {
				again()
				if _, err := t.step(b.Context()); err != nil {
					b.Fatal(err)
				}
				t.publish()
			}
			done(b.N * size)
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
