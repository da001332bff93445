package ldb

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/syndtr/goleveldb/leveldb/util"
)

// BenchmarkGet looks at scattered rows of a database of 25 MB, with room for all of its blocks and with little more than its
// filters and indexes need, by a reader and by eight for each processor.
func BenchmarkGet(b *testing.B) {
	const rows = 200_000
	fs := NewMemFS()
	require.NoError(b, fs.MkdirAll("/db"))
	open := func(room int, create bool) *DB {
		db, err := Open(fs, "/db", Config{Shared: NewShared(room, 64, 1), WriteBufferBytes: 4 << 20, Create: create})
		require.NoError(b, err)
		return db
	}
	key := func(i int) []byte { return fmt.Appendf(nil, "key-%06d", i) }
	db := open(1<<20, true)
	var batch Batch
	for i := range rows {
		batch.Put(key(i), bytes.Repeat(key(i*7), 10))
	}
	require.NoError(b, db.Write(&batch, false))
	require.NoError(b, db.db.CompactRange(util.Range{}))
	require.NoError(b, db.Close())
	for _, room := range []int{64, 2} {
		db := open(room<<20, false)
		for _, readers := range []int{1, 8} {
			b.Run(fmt.Sprintf("MiB=%d/readers=%d", room, readers), func(b *testing.B) {
				b.SetParallelism(readers)
				b.ReportAllocs()
				b.RunParallel(func(pb *testing.PB) {
					for pb.Next() {
						if _, ok, err := db.Get(key(rand.IntN(rows))); err != nil || !ok {
							b.Error(ok, err)
							return
						}
					}
				})
			})
		}
		require.NoError(b, db.Close())
	}
}
