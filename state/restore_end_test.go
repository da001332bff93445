package state_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tarnstream/tarn/internal/ldb"
	"github.com/tarnstream/tarn/state"
	"github.com/tarnstream/tarn/state/statetest"
)

func TestR08_R09_R11_EndWithoutRecords(t *testing.T) {
	inBubble("R08_LastOffsetsAreMarkers", t, func(t *testing.T, b *bench) {
		b.put(10, "k")
		b.log.Marker()
		b.log.Marker()
		b.restore()
		b.reopen()
		require.Equal(t, state.Ready, b.restore().Plan.Decision)
	})
	inBubble("R09_LastRecordsCompactedAway", t, func(t *testing.T, b *bench) {
		b.put(10, "k")
		b.log.Tombstone("k9")
		b.log.Compact(true)
		require.Equal(t, int64(11), b.restore().Position)
	})
	inBubble("what was applied is given back", t, func(t *testing.T, b *bench) {
		b.put(10, "k")
		log := &givenBack{FakeLog: b.log}
		_, err := state.Restore(t.Context(), b.s, log, b.o)
		require.NoError(t, err)
		require.Equal(t, 10, log.records)
	})
	inBubble("R11_AbortedRecords", t, func(t *testing.T, b *bench) {
		b.put(3, "k")
		b.log.PutAborted("k1", "aborted")
		b.log.Marker()
		out := b.restore()
		require.Equal(t, int64(3), out.Records)
	})
}

// givenBack counts the records that are given back to a log.
type givenBack struct {
	*statetest.FakeLog
	records int
}

func (l *givenBack) Reuse(last state.Records) {
	l.records += len(last.Records)
	l.FakeLog.Reuse(last)
}

func TestR12_R13_EndBehindATransaction(t *testing.T) {
	inBubble("R12_OpenTransactionIsWaitedOut", t, func(t *testing.T, b *bench) {
		b.put(3, "k")
		b.log.PutOpen(1, "k1", "in the transaction")
		b.log.Put("k2", "behind it")
		go func() {
			time.Sleep(30 * time.Second)
			b.log.EndTransaction(1, true)
		}()
		began := time.Now()
		out, err := state.Restore(t.Context(), b.s, b.log, b.o)
		require.NoError(t, err)
		require.Equal(t, 30*time.Second, time.Since(began))
		require.GreaterOrEqual(t, out.Position, int64(5))
		require.Equal(t, "behind it", statetest.Rows(t, b.s)["k2"])
		require.Equal(t, "in the transaction", statetest.Rows(t, b.s)["k1"])
	})
	inBubble("R13_HangingTransaction", t, func(t *testing.T, b *bench) {
		b.put(3, "k")
		b.restore()
		old := b.log.Fold()
		b.log.Truncate(1)
		b.log.PutOpen(1, "k1", "for ever")
		_, err := state.Restore(t.Context(), b.s, b.log, b.o)
		var hanging *state.HangingTransactionError
		require.ErrorAs(t, err, &hanging)
		require.Equal(t, []int64{1, 1, 2}, []int64{hanging.Position, hanging.Stable, hanging.End})
		require.Greater(t, hanging.Waited, time.Minute)
		require.Equal(t, old, statetest.Rows(t, b.s), "the stale table stays readable")
		b.log.EndTransaction(1, false)
		b.restore()
	})
}

func TestR28_R39_R49_WhatTheRecordsHold(t *testing.T) {
	inBubble("R28_NullsAndEmpties", t, func(t *testing.T, b *bench) {
		b.log.Append(nil, []byte("null key"))
		b.log.Append([]byte{}, []byte("empty key"))
		b.log.Append([]byte("empty value"), []byte{})
		b.log.Put("gone", "1")
		b.log.Append([]byte("gone"), nil)
		b.log.Append(nil, nil)
		out := b.restore()
		require.Equal(t, map[string]string{"": "empty key", "empty value": ""}, statetest.Rows(t, b.s))
		require.Equal(t, int64(2), out.NullKeys)
		require.Equal(t, int64(1), out.Deletes)
	})
	inBubble("R39_RecordThatCannotBeApplied", t, func(t *testing.T, b *bench) {
		b.put(10, "k")
		b.log.OnFetch(func(_ int64, rs state.Records, err error) (state.Records, error) {
			rs.Records = append([]state.Record(nil), rs.Records...)
			rs.Records[4].Offset = 2
			return rs, err
		})
		_, err := state.Restore(t.Context(), b.s, b.log, b.o)
		var damage *state.DamageError
		require.ErrorAs(t, err, &damage)
		require.Equal(t, int64(2), damage.Offset)
		require.Equal(t, "table", damage.Topic)
	})
	inBubble("R49_BatchSizes", t, func(t *testing.T, b *bench) {
		for i := range 500 {
			b.log.Put(fmt.Sprint(i%37), fmt.Sprint(i))
			if i%5 == 0 {
				b.log.Tombstone(fmt.Sprint(i % 11))
			}
		}
		for _, size := range []int{1, 100, 5000} {
			for _, records := range []int{1, 13, 1000} {
				b.o.BatchBytes, b.log.MaxRecords = size, records
				require.NoError(t, b.s.Close())
				b.fs = ldb.NewMemFS()
				b.s = openMem(t, b.fs)
				b.restore()
			}
		}
	})
}
