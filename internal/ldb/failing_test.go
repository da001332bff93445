package ldb_test

import (
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tarnstream/tarn/internal/bubbletest"
	"github.com/tarnstream/tarn/internal/ldb"
)

// A compaction whose table can neither be finished nor removed, as on a file system that has become read-only, is tried
// again by the database now and then, and does not end the process.
func TestR41_TableThatCanNeitherBeFinishedNorRemoved(t *testing.T) {
	bubbletest.Run(t, func(t *testing.T) {
		const flushed = 8 // tables, with which a compaction begins
		var created, syncs, removals atomic.Int64
		again := make(chan struct{})
		fs := &ldb.FailFS{FS: ldb.NewMemFS(), Before: func(op, name string) error {
			switch {
			case !strings.HasSuffix(name, ".ldb"):
			case op == "create":
				created.Add(1)
			case op == "sync" && syncs.Add(1) > flushed, op == "remove":
				if op == "remove" && removals.Add(1) == 3 {
					close(again)
				}
				return ldb.ErrInjected
			}
			return nil
		}}
		db := create(t, fs, "/db")
		var err error
		for i := 0; err == nil && created.Load() < flushed; i++ { // a write that waits meets the failure, too
			err = put(db, fmt.Sprintf("%03d", i*97%200), strings.Repeat("x", 1000), false)
		}
		<-again
		n := removals.Load()
		time.Sleep(time.Minute)
		require.Less(t, removals.Load()-n, int64(100), "it rests in between")
		require.True(t, err == nil || errors.Is(err, ldb.ErrInjected), err)
		_, ok, err := db.Get([]byte("000"))
		require.NoError(t, err)
		require.True(t, ok)
		require.ErrorIs(t, db.Close(), ldb.ErrInjected)
	})
}
