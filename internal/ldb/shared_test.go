package ldb_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tarnstream/tarn/internal/ldb"
)

// Many databases with one cache, few open files and one table written at a time: all of them go on, and each has its rows.
func TestShared(t *testing.T) {
	c := config
	c.Shared = ldb.NewShared(64<<10, 2, 1)
	c.Create = true
	fs := ldb.NewMemFS()
	var dbs []*ldb.DB
	for i := range 6 {
		dir := fmt.Sprint("/db", i)
		require.NoError(t, fs.MkdirAll(dir))
		db, err := ldb.Open(fs, dir, c)
		require.NoError(t, err)
		dbs = append(dbs, db)
	}
	const rows = 20_000
	var all sync.WaitGroup
	for i, db := range dbs {
		all.Go(func() {
			for n := range rows { // some memory tables, so that there are compactions beside the flushes
				if err := put(db, fmt.Sprint("key", n), strings.Repeat(fmt.Sprint(i), 100), false); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
	require.NoError(t, dbs[0].Close(), "what others share with it stays")
	for i, db := range dbs[1:] {
		for n := 0; n < rows; n += 97 {
			v, ok, err := db.Get([]byte(fmt.Sprint("key", n)))
			require.NoError(t, err)
			require.True(t, ok)
			require.Equal(t, strings.Repeat(fmt.Sprint(i+1), 100), string(v))
			require.LessOrEqual(t, c.Shared.Bytes(), 64<<10+ldb.TableBytes, "a table may be written")
		}
		require.NoError(t, db.Close())
	}
	require.Zero(t, c.Shared.Bytes())
}
