package digest_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/tarnstream/tarn/internal/digest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type row struct {
	key, value string
	offset     int64
}

func (r row) sum() digest.Sum { return digest.Of([]byte(r.key), r.offset, []byte(r.value)) }

// Whatever came and went in between, in whatever order: the rows that are there are what counts.
func TestSum_GoesByTheRowsAlone(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	there, s := map[string]row{}, digest.Empty()
	for i := range 2000 {
		key := fmt.Sprint(r.IntN(100))
		if old, ok := there[key]; ok {
			s = s.Minus(old.sum())
			delete(there, key)
		}
		if r.IntN(3) > 0 {
			there[key] = row{key, fmt.Sprint(r.IntN(5)), int64(i)}
			s = s.Plus(there[key].sum())
		}
	}
	want := digest.Empty()
	for _, row := range there {
		want = want.Plus(row.sum())
	}
	require.Equal(t, want, s)
	for _, row := range there {
		s = s.Minus(row.sum())
	}
	require.Equal(t, digest.Empty(), s)
}

func TestSum_RowsAreNotConfused(t *testing.T) {
	seen := map[digest.Sum]row{}
	for _, r := range []row{{}, {offset: 1}, {key: "a"}, {value: "a"}, {key: "a", value: "b"}, {key: "ab"}, {value: "ab"}, {key: "b", value: "a"},
		{key: "a", value: "b", offset: 1}, {key: "a", value: "b", offset: 1 << 40}, {key: "\x00", value: "b"}, {key: "\x01a"}, {key: "\x01", value: "a"}} {
		s := r.sum()
		require.NotContains(t, seen, s, "%+v", r)
		require.NotEqual(t, digest.Empty(), s)
		seen[s] = r
	}
}

func TestSum_Unknown(t *testing.T) {
	var unknown digest.Sum
	known := digest.Of([]byte("k"), 1, nil)
	for _, s := range []digest.Sum{unknown, unknown.Plus(known), known.Plus(unknown), unknown.Minus(known), known.Minus(unknown)} {
		require.False(t, s.Known())
		require.Equal(t, unknown, s)
		require.Equal(t, "unknown", s.String())
	}
	require.True(t, digest.Empty().Known())
	require.Equal(t, "0000000000000000", digest.Empty().String())
}

// What stands on disk is what another program computes.
func TestSum_IsTheSameForEver(t *testing.T) {
	require.Equal(t, "47dd4e800d7e646c", row{"alice", "42", 1200}.sum().String())
	require.Equal(t, "81866dc0ea1e8d56", digest.Of(bytes.Repeat([]byte("k"), 300), 1<<40, bytes.Repeat([]byte("v"), 3000)).String())
	bits, known := row{"alice", "42", 1200}.sum().Bits()
	require.True(t, known)
	require.Equal(t, row{"alice", "42", 1200}.sum(), digest.FromBits(bits))
}

func BenchmarkOf(b *testing.B) {
	for _, size := range []int{8, 100, 1000} {
		b.Run(fmt.Sprintf("value=%d", size), func(b *testing.B) {
			key, value, s := []byte("key-00012345"), make([]byte, size), digest.Empty()
			b.ReportAllocs()
			for i := range b.N {
				s = s.Plus(digest.Of(key, int64(i), value))
			}
			require.True(b, s.Known())
		})
	}
}
