package statetest

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tarnstream/tarn/state"
)

// Rows reads a whole store as strings.
func Rows(t testing.TB, s state.Store) map[string]string {
	t.Helper()
	it := s.Range(nil, nil)
	defer it.Close()
	out := map[string]string{}
	for it.Next() {
		out[string(it.Key())] = string(it.Row().Value)
	}
	require.NoError(t, it.Err())
	return out
}

// TestStore is the suite every Store must pass. open gives an empty one, which the suite closes.
func TestStore(t *testing.T, open func(t *testing.T) state.Store) {
	for name, test := range map[string]func(*testing.T, state.Store){
		"Empty":                     testEmpty,
		"RowsComeBack":              testRowsComeBack,
		"R48_KeysThatLookLikeOurs":  testKeys,
		"R49_OrderWithinABatch":     testOrder,
		"R49_BatchSizesDoNotMatter": testBatchSizes,
		"RangeIsASnapshot":          testSnapshot,
		"RangeLimits":               testLimits,
		"RebuildBesideTheOld":       testRebuild,
		"InterruptedRebuild":        testRebuildTwice,
		"R59_Sweep":                 testSweep,
		"Closed":                    testClosed,
	} {
		t.Run(name, func(t *testing.T) {
			s := open(t)
			defer func() { require.NoError(t, s.Close()) }()
			test(t, s)
		})
	}
}

// NoEpoch is what state.Checkpoint.ReadBack notes of a batch without a leader epoch.
const NoEpoch int32 = -2

// Write writes rows with consecutive offsets from first on, and a checkpoint behind them.
func Write(t testing.TB, s state.Store, first int64, keyValues ...string) {
	t.Helper()
	var b state.Batch
	at := first
	for kv := range slices.Chunk(keyValues, 2) {
		b.Put([]byte(kv[0]), []byte(kv[1]), at, at)
		at++
	}
	b.SetCheckpoint(state.Checkpoint{Position: at, LastApplied: at - 1, LastAppliedEpoch: NoEpoch})
	require.NoError(t, s.Write(&b))
}

func testEmpty(t *testing.T, s state.Store) {
	_, ok, err := s.Get([]byte("k"))
	require.NoError(t, err)
	require.False(t, ok)
	_, ok = s.Checkpoint()
	require.False(t, ok)
	_, stale := s.Stale()
	require.False(t, stale)
	require.Empty(t, Rows(t, s))
	require.NoError(t, s.Swap(), "a swap without a rebuild does nothing")
}

func testRowsComeBack(t *testing.T, s state.Store) {
	var b state.Batch
	b.Put([]byte("k"), []byte("v"), 7, 1234)
	b.Put([]byte("empty"), nil, 8, -5)
	b.SetCheckpoint(state.Checkpoint{Position: 9, LastApplied: 8, ClusterID: "c"})
	require.NoError(t, s.Write(&b))
	row, ok, err := s.Get([]byte("k"))
	require.NoError(t, err)
	require.True(t, ok)
	require.Equal(t, state.Row{Value: []byte("v"), Offset: 7, Timestamp: 1234}, row)
	row, ok, err = s.Get([]byte("empty"))
	require.NoError(t, err)
	require.True(t, ok, "an empty value is a value")
	require.Equal(t, state.Row{Value: []byte{}, Offset: 8, Timestamp: -5}, row)
	cp, ok := s.Checkpoint()
	require.True(t, ok)
	require.Equal(t, int64(9), cp.Position)
	b.Reset()
	b.Delete([]byte("k"))
	require.NoError(t, s.Write(&b))
	again, _ := s.Checkpoint()
	require.Equal(t, cp.Position, again.Position, "a batch without a checkpoint repeats the last")
	require.Equal(t, map[string]string{"empty": ""}, Rows(t, s))
}

func testKeys(t *testing.T, s state.Store) {
	keys := [][]byte{{}, {0}, {0xff}, []byte("mc"), []byte("mv"), []byte("mf\x00\x00\x00\x00\x00\x00\x00\x01"), []byte("d"),
		[]byte("m"), []byte("__offset"), bytes.Repeat([]byte{0xfe}, 1<<20)}
	var b state.Batch
	for i, k := range keys {
		b.Put(k, []byte{byte(i)}, int64(i), 0)
	}
	b.SetCheckpoint(state.Checkpoint{Position: int64(len(keys))})
	require.NoError(t, s.Write(&b))
	for i, k := range keys {
		row, ok, err := s.Get(k)
		require.NoError(t, err)
		require.True(t, ok, "key %.20q", k)
		require.Equal(t, []byte{byte(i)}, row.Value)
	}
	require.Len(t, Rows(t, s), len(keys), "only the user's rows show")
}

func testOrder(t *testing.T, s state.Store) {
	var b state.Batch
	b.Delete([]byte("a"))
	b.Put([]byte("a"), []byte("1"), 1, 0)
	b.Put([]byte("b"), []byte("1"), 2, 0)
	b.Delete([]byte("b"))
	b.Put([]byte("c"), []byte("1"), 3, 0)
	b.Put([]byte("c"), []byte("2"), 4, 0)
	require.NoError(t, s.Write(&b))
	require.Equal(t, map[string]string{"a": "1", "c": "2"}, Rows(t, s))
}

// The same random operations in batches of different sizes give one answer.
func testBatchSizes(t *testing.T, s state.Store) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	for _, size := range []int{1, 2, 7, 1000} {
		require.NoError(t, s.Rebuild("another batch size", false))
		rng := rand.New(rand.NewPCG(seed, 0))
		want := map[string]string{}
		var b state.Batch
		for i := range 300 {
			key := fmt.Sprint(rng.IntN(20))
			if rng.IntN(3) == 0 {
				b.Delete([]byte(key))
				delete(want, key)
			} else {
				want[key] = fmt.Sprint(i)
				b.Put([]byte(key), []byte(want[key]), int64(i), 0)
			}
			if b.Len() >= size {
				require.NoError(t, s.Write(&b))
				b.Reset()
			}
		}
		b.SetCheckpoint(state.Checkpoint{Position: 300})
		require.NoError(t, s.Write(&b))
		require.NoError(t, s.Swap())
		require.Equal(t, want, Rows(t, s), "batches of %d", size)
	}
}

func testSnapshot(t *testing.T, s state.Store) {
	Write(t, s, 0, "a", "1", "b", "1", "c", "1")
	it := s.Range(nil, nil)
	defer it.Close()
	require.True(t, it.Next())
	Write(t, s, 3, "b", "2", "d", "2")
	require.NoError(t, s.Rebuild("test", false))
	Write(t, s, 5, "x", "3")
	require.NoError(t, s.Swap())
	got := map[string]string{string(it.Key()): string(it.Row().Value)}
	for it.Next() {
		got[string(it.Key())] = string(it.Row().Value)
	}
	require.NoError(t, it.Err())
	require.Equal(t, map[string]string{"a": "1", "b": "1", "c": "1"}, got)
	require.Equal(t, map[string]string{"x": "3"}, Rows(t, s))
	require.NoError(t, it.Close())
	require.NoError(t, it.Close())
}

func testLimits(t *testing.T, s state.Store) {
	Write(t, s, 0, "a", "1", "b", "1", "c", "1", "\xff", "1")
	keys := func(from, to []byte) (out []string) {
		it := s.Range(from, to)
		defer it.Close()
		for it.Next() {
			out = append(out, string(it.Key()))
		}
		require.NoError(t, it.Err())
		return out
	}
	require.Equal(t, []string{"a", "b", "c", "\xff"}, keys(nil, nil))
	require.Equal(t, []string{"b"}, keys([]byte("b"), []byte("c")))
	require.Equal(t, []string{"c", "\xff"}, keys([]byte("bb"), nil))
	require.Equal(t, []string{"a"}, keys(nil, []byte("b")))
	require.Empty(t, keys(nil, []byte{}))
}

func testRebuild(t *testing.T, s state.Store) {
	Write(t, s, 0, "old", "1")
	require.NoError(t, s.Rebuild("the cause", false))
	cause, stale := s.Stale()
	require.True(t, stale)
	require.Equal(t, "the cause", cause)
	_, ok := s.Checkpoint()
	require.False(t, ok, "the new generation has none yet")
	Write(t, s, 10, "new", "2")
	require.Equal(t, map[string]string{"old": "1"}, Rows(t, s), "the old one is read until the swap")
	cp, _ := s.Checkpoint()
	require.Equal(t, int64(11), cp.Position)
	require.NoError(t, s.Swap())
	_, stale = s.Stale()
	require.False(t, stale)
	require.Equal(t, map[string]string{"new": "2"}, Rows(t, s))
	cp, _ = s.Checkpoint()
	require.Equal(t, int64(11), cp.Position)
}

func testRebuildTwice(t *testing.T, s state.Store) {
	Write(t, s, 0, "old", "1")
	require.NoError(t, s.Rebuild("first", false))
	Write(t, s, 1, "half", "1")
	require.NoError(t, s.Rebuild("second", true))
	Write(t, s, 2, "new", "2")
	require.NoError(t, s.Swap())
	require.Equal(t, map[string]string{"new": "2"}, Rows(t, s))
}

func testSweep(t *testing.T, s state.Store) {
	Write(t, s, 0, "a", "1", "b", "1", "c", "1")
	n, err := s.Sweep(2)
	require.NoError(t, err)
	require.Equal(t, 2, n)
	require.Equal(t, map[string]string{"c": "1"}, Rows(t, s))
	cp, _ := s.Checkpoint()
	require.Equal(t, int64(2), cp.LogStart)
	n, err = s.Sweep(2)
	require.NoError(t, err)
	require.Zero(t, n)
}

func testClosed(t *testing.T, s state.Store) {
	Write(t, s, 0, "a", "1", "b", "1")
	it := s.Range(nil, nil)
	require.True(t, it.Next())
	require.NoError(t, s.Close())
	require.NoError(t, s.Close())
	require.False(t, it.Next())
	require.ErrorIs(t, it.Close(), state.ErrClosed)
	_, _, err := s.Get([]byte("a"))
	require.ErrorIs(t, err, state.ErrClosed)
	require.ErrorIs(t, s.Write(&state.Batch{}), state.ErrClosed)
	require.ErrorIs(t, s.Rebuild("x", false), state.ErrClosed)
	it = s.Range(nil, nil)
	require.False(t, it.Next())
	require.ErrorIs(t, it.Close(), state.ErrClosed)
}
