// Package benchtest is for benchmarks whose turns are of many records.
package benchtest

import (
	"runtime"
	"testing"
)

// Records reports time and allocations by record. It is called before the loop of b, and what it gives after it, with how many
// records all turns had.
func Records(b *testing.B) (done func(records int)) {
	b.Helper()
	b.ReportAllocs()
	before := mallocs()
	return func(records int) {
		b.ReportMetric(float64(mallocs()-before)/float64(records), "allocs/record")
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(records), "ns/record")
	}
}

func mallocs() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.Mallocs
}
