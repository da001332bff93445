package kafka_test

import (
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tarnstream/tarn/devbroker"
	"github.com/tarnstream/tarn/internal/kafka"
	"github.com/tarnstream/tarn/state"
)

// All that a log has is given, with what says whose it is: data that was aborted, data of an open transaction, markers.
func TestR45_BetweenGivesWhateverTheLogHas(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		b := newBench(t, devbroker.Virtual(), devbroker.Brokers(3))
		r := b.read(kafka.ReaderConfig{})
		b.write(0, 0, 3)
		txn := map[string]*devbroker.Transaction{}
		for _, id := range []string{"aborted", "committed", "open"} {
			tx, err := b.broker.Begin(id, time.Minute)
			require.NoError(t, err)
			require.NoError(t, tx.Produce("t", 0, devbroker.Record{Key: []byte(id)}))
			txn[id] = tx
		}
		require.NoError(t, txn["aborted"].Abort())
		require.NoError(t, txn["committed"].Commit())
		p := b.client.NewProducer(kafka.ProducerConfig{})
		defer p.Close()
		out := []kafka.OutBatch{{Topic: "t", Records: []kafka.OutRecord{{Key: []byte("own")}, {Value: []byte("without a key")}}}}
		require.NoError(t, p.Produce(t.Context(), out))
		require.EqualValues(t, 8, out[0].Records[0].Offset)

		b.broker.Fail(devbroker.Fault{Request: devbroker.Fetch, Topic: "t", Err: devbroker.NotLeader, Count: 2})
		c := r.Open("t", 0, nil)
		defer c.Close()
		var all []kafka.LogBatch
		require.NoError(t, c.Between(t.Context(), 1, 10, func(b *kafka.LogBatch) error { all = append(all, *b); return nil }))
		require.Len(t, all, 7)
		for i, want := range []struct {
			first, last           int64
			txn, control, aborted bool
			keys                  int
		}{{0, 2, false, false, false, 3}, {3, 3, true, false, false, 1}, {4, 4, true, false, false, 1}, {5, 5, true, false, false, 1},
			{6, 6, true, true, true, 0}, {7, 7, true, true, false, 0}, {8, 9, false, false, false, 2}} {
			require.Equal(t, want.first, all[i].First)
			require.Equal(t, want.last, all[i].Last)
			require.Equal(t, want.txn, all[i].Transactional, "%d", i)
			require.Equal(t, want.control, all[i].Control, "%d", i)
			require.Equal(t, want.aborted, all[i].Abort, "%d", i)
			require.Len(t, all[i].Records, want.keys, "%d", i)
		}
		require.Equal(t, all[1].ID.Producer, all[4].ID.Producer)
		require.Equal(t, all[2].ID.Producer, all[5].ID.Producer)
		require.Equal(t, []kafka.LogRecord{{Key: []byte("own"), Offset: 8}, {Offset: 9}}, all[6].Records)
		require.Equal(t, out[0].Last, all[6].Record(9))
		require.Equal(t, []int64{all[6].ID.Producer}, p.IDs())
		for i, offset := range []int64{0, 3, 4, 5, 6, 7, 9} {
			one, err := c.BatchAt(t.Context(), offset)
			require.NoError(t, err)
			require.Equal(t, all[i], one)
		}
		_, err := c.BatchAt(t.Context(), 10)
		require.Error(t, err)
		stable, err := c.Stable(t.Context())
		require.NoError(t, err)
		require.EqualValues(t, 5, stable)

		enough := errors.New("enough")
		require.ErrorIs(t, c.Between(t.Context(), 0, 10, func(*kafka.LogBatch) error { return enough }), enough)
		require.NoError(t, b.broker.DeleteRecords("t", 0, 4))
		err = c.Between(t.Context(), 1, 10, func(*kafka.LogBatch) error { return nil })
		require.Equal(t, &state.OutOfRangeError{Topic: "t", Position: 1}, err)
		require.NoError(t, c.Between(t.Context(), 4, 4, func(*kafka.LogBatch) error { return enough }))
		require.NoError(t, txn["open"].Abort())
	})
}
