package ldb_test

import (
	"bytes"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tarnstream/tarn/internal/digest"
	"github.com/tarnstream/tarn/internal/ldb"
)

// round is rows by key; a nil one is a delete.
type round map[string][]byte

func (r round) sorted() sorted { return sorted{slices.Sorted(maps.Keys(r)), r} }

type sorted struct {
	keys []string
	rows round
}

func (s sorted) Len() int { return len(s.keys) }

func (s sorted) At(i int) (key, row []byte) { return []byte(s.keys[i]), s.rows[s.keys[i]] }

func rowDigest(key, row []byte) digest.Sum { return digest.Of(key, 0, row) }

func (r round) digest() digest.Sum {
	sum := digest.Empty()
	for key, row := range r {
		sum = sum.Plus(rowDigest([]byte(key), row))
	}
	return sum
}

func rowsOf(t *testing.T, db *ldb.DB) round {
	t.Helper()
	got, last := round{}, ""
	it := db.Iterate(nil, nil)
	defer it.Release()
	for it.Next() {
		require.True(t, len(got) == 0 || last < string(it.Key()))
		last = string(it.Key())
		got[last] = bytes.Clone(it.Value())
	}
	require.NoError(t, it.Err())
	return got
}

// randomRounds are rounds with repeats, deletes and keys of all lengths, one of them over the end of a table, and their fold.
func randomRounds(r *rand.Rand, n int) (rounds []round, want round) {
	want = round{}
	for range n {
		rows := round{}
		for range 1 + r.IntN(100) {
			key := fmt.Sprintf("%0*d", 1+r.IntN(12), r.IntN(700))
			rows[key] = make([]byte, r.IntN(9000))
			if r.IntN(4) == 0 {
				rows[key] = nil
			}
		}
		for key, row := range rows {
			if want[key] = row; row == nil {
				delete(want, key)
			}
		}
		rounds = append(rounds, rows)
	}
	return rounds, want
}

// What is built is the fold of its rounds, in one round or in so many that runs are merged on the way; it can be read, also by
// those who only look, and written to and compacted like any other database.
func TestBuilder_IsTheFoldOfItsRounds(t *testing.T) {
	for _, n := range []int{0, 1, 2, 7, 16, 17, 40, 120} {
		seed := rand.Uint64()
		t.Logf("%d rounds, seed %d", n, seed)
		r := rand.New(rand.NewPCG(seed, 1))
		rounds, want := randomRounds(r, n)
		fs, dir := ldb.OS(), t.TempDir()
		b, err := ldb.NewBuilder(fs, dir, config.Shared, rowDigest)
		require.NoError(t, err)
		require.Error(t, ldb.RequireClosed(fs, dir), "it belongs to somebody")
		for i, rows := range rounds {
			add := b.Add
			if i == n-1 || r.IntN(20) == 0 { // something may follow it all the same
				add = b.Last
			}
			require.NoError(t, add(rows.sorted()))
		}
		if n == 40 {
			drop := func(key, _ []byte) bool { return key[0] == '1' }
			require.NoError(t, b.Drop(drop))
			maps.DeleteFunc(want, func(key string, row []byte) bool { return drop([]byte(key), row) })
		}
		db, err := b.Open(config)
		require.NoError(t, err)
		require.Equal(t, want, rowsOf(t, db))
		require.Equal(t, want.digest(), b.Digest())
		for key, row := range want {
			got, ok, err := db.Get([]byte(key))
			require.NoError(t, err)
			require.True(t, ok)
			require.Equal(t, row, got)
		}
		for _, more := range rounds[:min(n, 40)] { // overwritten, deleted and compacted
			var batch ldb.Batch
			for key, row := range more {
				if row == nil {
					batch.Delete([]byte(key))
					delete(want, key)
				} else {
					batch.Put([]byte(key), row)
					want[key] = row
				}
			}
			require.NoError(t, db.Write(&batch, true))
		}
		require.Equal(t, want, rowsOf(t, db))
		require.NoError(t, db.Close())
		look := config
		look.ReadOnly = true
		db, err = ldb.Open(ldb.ReadOnly(), dir, look)
		require.NoError(t, err)
		require.Equal(t, want, rowsOf(t, db))
		require.NoError(t, db.Close())
	}
}
