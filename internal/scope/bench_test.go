package scope_test

import (
	"encoding/binary"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tarnstream/tarn/internal/benchtest"
	"github.com/tarnstream/tarn/internal/scope"
)

// numberCoder codes counts as codec.Int64 does.
type numberCoder struct{}

func (numberCoder) Encode(dst []byte, v int64) ([]byte, error) {
	return binary.BigEndian.AppendUint64(dst, uint64(v)), nil
}

func (numberCoder) Decode(b []byte) (int64, error) { return int64(binary.BigEndian.Uint64(b)), nil }

// BenchmarkOverlay counts records in the open layer of a table and seals it after each commit's worth of them: where keys come
// again they become one change, where they do not each is a row that is read from below and a change.
func BenchmarkOverlay(b *testing.B) {
	const commit = 10_000
	for name, keys := range map[string]int{"few keys": commit / 10, "many keys": 20 * commit} {
		b.Run(name, func(b *testing.B) {
			named := make([][]byte, keys)
			for i := range named {
				named[i] = fmt.Appendf(nil, "key-%08d", i*7919%keys)
			}
			o := scope.NewOverlay("counts", 0, numberCoder{}, below{})
			o.SetCache(func() int { return 1 << 20 })
			at, changes := 0, 0
			done := benchtest.Records(b)
			for b.Loop() {
				for range commit {
					n, _, err := o.Get(named[at])
					if err == nil {
						err = o.Set(named[at], n+1, 1)
					}
					require.NoError(b, err)
					o.Accept()
					at = (at + 1) % keys
				}
				changes += len(o.Seal())
			}
			done(b.N * commit)
			b.ReportMetric(float64(changes)/float64(b.N*commit), "changes/record")
		})
	}
}
