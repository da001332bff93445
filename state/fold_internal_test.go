package state

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// foldKeys are kinds of keys: told apart by their first bytes, or only far behind; one the beginning of another; long ones.
var foldKeys = map[string]func(r *rand.Rand) string{
	"short":     func(r *rand.Rand) string { return fmt.Sprintf("%0*d", r.IntN(12), r.IntN(300)) },
	"alike":     func(r *rand.Rand) string { return fmt.Sprintf("user/0000000000/%016d/%06d", r.IntN(3), r.IntN(500)) },
	"beginning": func(r *rand.Rand) string { return strings.Repeat("ab\x00", 60)[:r.IntN(180)] },
	"zeros":     func(r *rand.Rand) string { return string(make([]byte, r.IntN(40))) },
	"same":      func(*rand.Rand) string { return strings.Repeat("same", 50) },
	"deep": func(r *rand.Rand) string {
		return strings.Repeat("d", r.IntN(2)) + strings.Repeat("x", 300) + fmt.Sprint(r.IntN(200))
	},
	"large": func(r *rand.Rand) string {
		if r.IntN(100) == 0 {
			return strings.Repeat("l", foldBlock+r.IntN(9)) // a block of its own
		}
		return fmt.Sprint(r.IntN(300))
	},
}

// A fold holds what a map would, in key order, whatever its keys are like, whether rows grow or shrink or go, and also where
// it is made thin on the way.
func TestFold(t *testing.T) {
	for name, keyOf := range foldKeys {
		t.Run(name, func(t *testing.T) {
			seed := rand.Uint64()
			t.Logf("seed %d", seed)
			r := rand.New(rand.NewPCG(seed, 1))
			f, model := newFold(), map[string]*Row{}
			for round := range 4 {
				for i := range 3000 {
					key := keyOf(r)
					model[key] = foldRow(r)
					f.put([]byte(key), model[key])
					if r.IntN(500) == 0 && round > 0 {
						before := f.bytes()
						if f.thin(before / (1 + r.IntN(3))) {
							require.LessOrEqual(t, f.bytes(), before, "after %d", i)
						}
						requireFold(t, model, f)
					}
				}
				requireFold(t, model, f)
				require.GreaterOrEqual(t, f.bytes(), len(model)*foldEntry)
				f.reset()
				clear(model)
				require.Zero(t, f.bytes())
			}
		})
	}
}

func foldRow(r *rand.Rand) *Row {
	if r.IntN(4) == 0 {
		return nil
	}
	row := &Row{Value: make([]byte, r.IntN(60)), Offset: r.Int64(), Timestamp: r.Int64() - r.Int64()}
	for i := range row.Value {
		row.Value[i] = byte(r.Uint32())
	}
	return row
}

func requireFold(t *testing.T, model map[string]*Row, f *fold) {
	t.Helper()
	var keys []string
	for key, raw := range f.sorted().all() {
		keys = append(keys, string(key[1:]))
		want, ok := model[string(key[1:])]
		require.True(t, ok && key[0] == prefixData)
		if want == nil {
			require.Nil(t, raw)
			continue
		}
		row, err := decodeRow(raw)
		require.NoError(t, err)
		require.Equal(t, *want, row, "an empty row is not a delete")
	}
	require.Equal(t, slices.Sorted(maps.Keys(model)), keys)
}

// What a fold holds is what it counts, whatever was made thin before: also where its rows were small and are large now.
func TestFold_CountsWhatItHolds(t *testing.T) {
	const most = 16 * foldBlock
	f := newFold()
	for i, size := range []int{10, 10, foldBlock, 10, 2 * foldBlock, 10, foldBlock - 100} {
		for n := range 3 {
			for f.bytes() < most {
				f.put(fmt.Appendf(nil, "%d", n*f.bytes()%200), &Row{Value: make([]byte, size)})
				held := 0
				for _, b := range f.blocks {
					held += cap(b)
				}
				require.LessOrEqual(t, held, most+3*foldBlock, "kind %d of rows", i)
			}
			if !f.thin(most / 2) {
				f.reset()
			}
		}
	}
}

// A key that is written again and again takes no more room than the fold has.
func TestFold_OneKeyTakesOneRow(t *testing.T) {
	f := newFold()
	for i := range 100_000 {
		f.put([]byte("key"), &Row{Value: []byte("value"), Offset: int64(i), Timestamp: 1})
		if f.bytes() >= 2*foldBlock {
			require.True(t, f.thin(foldBlock))
		}
	}
	require.True(t, f.thin(100))
	require.LessOrEqual(t, f.bytes(), 100)
}

func BenchmarkFold(b *testing.B) {
	for _, keys := range []int{25_000, 1_000_000} {
		b.Run(fmt.Sprintf("keys=%d", keys), func(b *testing.B) {
			b.ReportAllocs()
			const most = 7 << 20
			f, key, row := newFold(), make([]byte, 0, 16), &Row{Value: make([]byte, 100)}
			for i := range b.N {
				key = fmt.Appendf(key[:0], "%08d", (i*7919)%keys)
				if f.put(key, row); f.bytes() > most && !f.thin(most/2) {
					for range f.sorted().all() {
					}
					f.reset()
				}
			}
		})
	}
}
