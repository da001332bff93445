package ldb

import (
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"
	"github.com/syndtr/goleveldb/leveldb/storage"

	"github.com/tarnstream/tarn/internal/bubbletest"
)

func TestGate(t *testing.T) {
	bubbletest.Run(t, func(t *testing.T) {
		shared := NewShared(1, 1, 1)
		g := &gate{Storage: storage.NewMemStorage(), tables: shared.tables}
		first, err := g.Create(storage.FileDesc{Type: storage.TypeTable, Num: 1})
		require.NoError(t, err)
		require.Equal(t, TableBytes, shared.Bytes())
		journal, err := g.Create(storage.FileDesc{Type: storage.TypeJournal, Num: 2})
		require.NoError(t, err, "only tables wait")
		require.NoError(t, journal.Close())

		var second storage.Writer
		go func() { second, _ = g.Create(storage.FileDesc{Type: storage.TypeTable, Num: 3}) }()
		synctest.Wait()
		require.Nil(t, second, "it waits for its turn")
		require.NoError(t, first.Close())
		synctest.Wait()
		require.NotNil(t, second)
		require.NoError(t, second.Close())
		_ = second.Close() // gives nothing back twice
		require.Zero(t, shared.Bytes())

		_, err = g.Create(storage.FileDesc{Type: storage.TypeTable, Num: -1})
		require.Error(t, err)
		require.Zero(t, shared.Bytes(), "a table that was not made is none")
	})
}
