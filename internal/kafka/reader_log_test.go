package kafka_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tarnstream/tarn/devbroker"
	"github.com/tarnstream/tarn/internal/kafka"
	"github.com/tarnstream/tarn/state"
	"github.com/tarnstream/tarn/state/statetest"
)

// tableWriter is a statetest.LogWriter on topic "table".
type tableWriter struct{ *bench }

func (w tableWriter) Append(key, value []byte) int64 {
	require.NoError(w.t, w.broker.Produce("table", 0, devbroker.Record{Key: key, Value: value}))
	bounds, err := w.broker.Bounds("table", 0)
	require.NoError(w.t, err)
	return bounds.End - 1
}

func (w tableWriter) DeleteRecords(before int64) {
	require.NoError(w.t, w.broker.DeleteRecords("table", 0, before))
}

// TestCursorIsALog: a Cursor keeps what a restore relies on.
func TestCursorIsALog(t *testing.T) {
	statetest.TestLog(t, func(t *testing.T) (state.Log, statetest.LogWriter) {
		b := newBench(t)
		require.NoError(t, b.broker.CreateTopic("table", 1, map[string]string{"cleanup.policy": "compact"}))
		return b.read(kafka.ReaderConfig{}).Open("table", 0, nil), tableWriter{b}
	})
}

// TestR06_FetchTellsNoOldEnd: what was fetched ahead waits here for a day while the log grows. Its answer does not tell
// an end, from which a restore would take the table for current.
func TestR06_FetchTellsNoOldEnd(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		b := newBench(t, devbroker.Virtual())
		b.write(0, 0, 3)
		c := b.read(kafka.ReaderConfig{Bytes: 1}).Open("t", 0, nil)
		c.SeekTo(0)
		time.Sleep(24 * time.Hour)
		b.write(0, 3, 3)
		records, err := c.Fetch(t.Context(), 0)
		require.NoError(t, err)
		require.Equal(t, [2]int64{3, state.UnknownOffset}, [2]int64{records.Next, records.End})
		records, err = c.Fetch(t.Context(), 3)
		require.NoError(t, err)
		require.Equal(t, int64(6), records.Next)
	})
}

// TestReaderRunEnds: Run returns nil when its context ends, at any moment, and a Cursor then just has nothing new.
func TestReaderRunEnds(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		b := newBench(t, devbroker.Virtual())
		for i := range 20 {
			r := b.client.NewReader(kafka.ReaderConfig{})
			c := r.Open("t", 0, nil)
			c.SeekTo(0)
			ctx, cancel := context.WithTimeout(t.Context(), time.Duration(i*i)*time.Millisecond)
			require.NoError(t, r.Run(ctx))
			cancel()
			_, ok, err := c.Poll()
			require.False(t, ok)
			require.NoError(t, err)
		}
	})
}
