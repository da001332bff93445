package benchtest_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/tarnstream/tarn/internal/benchtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var kept []byte

func TestRecords(t *testing.T) {
	const records = 10
	r := testing.Benchmark(func(b *testing.B) {
		done := benchtest.Records(b)
		for b.Loop() {
			for range records {
				kept = make([]byte, 100)
			}
		}
		done(b.N * records)
	})
	require.InDelta(t, 1, r.Extra["allocs/record"], 0.1)
	require.InDelta(t, float64(r.NsPerOp())/records, r.Extra["ns/record"], 0.2*float64(r.NsPerOp())/records)
}
