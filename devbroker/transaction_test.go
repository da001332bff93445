package devbroker

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tarnstream/tarn/internal/bubbletest"
)

func TestR08_R11_MarkersEndTheLogAndAbortedRecordsAreNotRead(t *testing.T) {
	b := start(t, Brokers(3))
	topic(t, b, "t", 2)
	aborted := begin(t, b, "a")
	require.NoError(t, aborted.Produce("t", 0, rec("k", "dead")...))
	require.NoError(t, aborted.Produce("t", 1, rec("k", "dead")...))
	require.NoError(t, aborted.Abort())
	committed := begin(t, b, "c")
	require.NoError(t, committed.Produce("t", 0, rec("k", "1", "l", "2")...))
	require.NoError(t, committed.Produce("t", 0, rec("k", "3")...))
	require.NoError(t, committed.Commit())

	require.Equal(t, []string{"1", "2", "3"}, values(t, b, "t", 0))
	require.Empty(t, values(t, b, "t", 1))
	bounds, err := b.Bounds("t", 0)
	require.NoError(t, err)
	require.Equal(t, int64(6), bounds.End, "4 records and 2 markers")
	require.Equal(t, bounds.End, bounds.Stable)
	all := batches(fetch(t, wire(t, b, int(bounds.Leader)), place{"t", 0}, 0).RecordBatches)
	require.NotZero(t, all[len(all)-1].Attributes&attrControl)
}

func TestR12_CommittedRecordsBehindAnOpenTransaction(t *testing.T) {
	b := start(t)
	topic(t, b, "t", 1)
	open := begin(t, b, "open")
	require.NoError(t, open.Produce("t", 0, rec("k", "0")...))
	require.NoError(t, b.Produce("t", 0, rec("k", "1")...))
	require.Empty(t, values(t, b, "t", 0))
	bounds, err := b.Bounds("t", 0)
	require.NoError(t, err)
	require.Equal(t, int64(0), bounds.Stable)
	require.Equal(t, int64(2), bounds.End)
	require.NoError(t, open.Commit())
	require.Equal(t, []string{"0", "1"}, values(t, b, "t", 0))
}

func TestBeginAgainAbortsTheOlder(t *testing.T) {
	b := start(t)
	topic(t, b, "t", 1)
	old := begin(t, b, "same")
	require.NoError(t, old.Produce("t", 0, rec("k", "old")...))
	begin(t, b, "same")
	require.Error(t, old.Commit())
	require.Empty(t, values(t, b, "t", 0))
}

func TestR13_HangingTransactionEndsAtItsTimeout(t *testing.T) {
	bubbletest.Run(t, func(t *testing.T) {
		b, err := Start(Virtual())
		require.NoError(t, err)
		defer b.Close()
		topic(t, b, "t", 1)
		tx, err := b.Begin("tx", 10*time.Second)
		require.NoError(t, err)
		require.NoError(t, tx.Produce("t", 0, rec("k", "dead")...))
		require.NoError(t, b.Produce("t", 0, rec("k", "1")...))
		time.Sleep(9 * time.Second)
		require.Empty(t, values(t, b, "t", 0))
		time.Sleep(2 * time.Second)
		require.Equal(t, []string{"1"}, values(t, b, "t", 0))
		require.Error(t, tx.Commit())
	})
}

func begin(t *testing.T, b *Broker, id string) *Transaction {
	t.Helper()
	tx, err := b.Begin(id, 0)
	require.NoError(t, err)
	return tx
}
