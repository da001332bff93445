package state

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

// A fold holds what a map would, in key order, also where hashes collide, rows grow or shrink, and keys come back.
func TestFold(t *testing.T) {
	for _, mask := range []uint64{^uint64(0), 7} {
		seed := rand.Uint64()
		t.Logf("seed %d", seed)
		r := rand.New(rand.NewPCG(seed, 1))
		f, model := newFold(), map[string][]byte{}
		f.mask = mask
		for round := range 3 {
			for range 3000 {
				key := fmt.Sprintf("d%0*d", r.IntN(12), r.IntN(300))
				if r.IntN(100) == 0 {
					key += string(make([]byte, foldBlock)) // a block of its own
				}
				var row []byte
				if r.IntN(4) > 0 {
					row = make([]byte, r.IntN(60))
					for i := range row {
						row[i] = byte(r.Uint32())
					}
				}
				f.put([]byte(key), row)
				model[key] = row
			}
			var keys []string
			for key, row := range f.sorted() {
				keys = append(keys, string(key))
				require.Equal(t, model[string(key)], row)
				require.Equal(t, model[string(key)] == nil, row == nil, "an empty row is not a delete")
			}
			require.Equal(t, slices.Sorted(maps.Keys(model)), keys, "round %d", round)
			require.GreaterOrEqual(t, f.bytes(), len(model)*foldEntry)
			f.reset()
			clear(model)
			require.Zero(t, f.bytes())
		}
	}
}

// A key that is written again and again takes no more room.
func TestFold_OneKeyTakesOneRow(t *testing.T) {
	f := newFold()
	for i := range 1_000_000 {
		f.put([]byte("dkey"), appendRow(nil, Row{Value: []byte("value"), Offset: int64(i), Timestamp: 1}))
	}
	require.LessOrEqual(t, f.bytes(), 2*foldBlock)
}

func BenchmarkFold(b *testing.B) {
	for _, keys := range []int{25_000, 1_000_000} {
		b.Run(fmt.Sprintf("keys=%d", keys), func(b *testing.B) {
			b.ReportAllocs()
			f, key, row := newFold(), make([]byte, 0, 16), make([]byte, 110)
			for i := range b.N {
				key = fmt.Appendf(key[:0], "d%08d", (i*7919)%keys)
				if f.put(key, row); f.bytes() > 7<<20 {
					for range f.sorted() {
					}
					f.reset()
				}
			}
		})
	}
}
