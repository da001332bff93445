//go:build kafka

package e2e_test

import (
	"log/slog"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tarnstream/tarn/internal/kafka"
)

// writer is a producer of transactions on topic "t".
type writer struct {
	*site
	*kafka.Producer
	client *kafka.Client
	next   int
}

func (s *site) writer() *writer {
	s.Helper()
	c, err := kafka.NewClient(kafka.Config{Brokers: s.cluster.Addrs(), Logger: slog.New(slog.DiscardHandler)})
	require.NoError(s, err)
	p := c.NewProducer(kafka.ProducerConfig{TransactionalID: s.topic("id")})
	s.Cleanup(func() { p.Close(); c.Close() })
	return &writer{site: s, Producer: p, client: c}
}

// write writes the next number and commits the group's offset behind it.
func (w *writer) write() error {
	record := kafka.OutRecord{Key: []byte("k"), Value: []byte(strconv.Itoa(w.next)), Timestamp: time.Now().UnixMilli()}
	err := w.Transact(w.Context(), kafka.Txn{Batches: []kafka.OutBatch{{Topic: w.topic("t"), Records: []kafka.OutRecord{record}}}, Group: w.topic("group"),
		Offsets: map[string]map[int32]kafka.Offset{w.topic("t"): {0: {Position: int64(w.next + 1), LeaderEpoch: -1}}},
		Member:  func() (kafka.Member, bool) { return kafka.Member{Generation: -1}, true }})
	if err == nil {
		w.next++
	}
	return err
}

func (w *writer) requireExact(n int) {
	w.Helper()
	var got, want []string
	for _, m := range w.records("t") {
		got = append(got, string(m.Value))
	}
	for i := range n {
		want = append(want, strconv.Itoa(i))
	}
	require.Equal(w, want, got)
	at, err := w.client.CommittedOffsets(w.Context(), w.topic("group"), map[string][]int32{w.topic("t"): {0}})
	require.NoError(w, err)
	require.Equal(w, int64(n), at[w.topic("t")][0].Position)
}

func TestTransactions(t *testing.T) {
	s := newSite(t)
	s.create("t", 1)
	w := s.writer()
	require.NoError(t, w.Recover(t.Context(), true))
	require.NoError(t, w.write())
	began := time.Now()
	for range 50 {
		require.NoError(t, w.write())
	}
	t.Log("a transaction takes", time.Since(began)/50)
	w.requireExact(51)
}

// Of two processes with one transactional id the newer goes on. The older hears of it, and cannot take the id back but
// on purpose.
func TestR63_TwoProcessesWithOneTransactionalID(t *testing.T) {
	s := newSite(t)
	s.create("t", 1)
	older, newer := s.writer(), s.writer()
	require.NoError(t, older.Recover(t.Context(), true))
	require.NoError(t, older.write())
	require.NoError(t, older.Recover(t.Context(), false), "nobody else has taken it")
	require.NoError(t, older.write())
	require.NoError(t, newer.Recover(t.Context(), true))
	require.ErrorIs(t, older.write(), kafka.ErrProducerFenced)
	require.ErrorIs(t, older.Recover(t.Context(), false), kafka.ErrProducerFenced)
	newer.next = older.next
	require.NoError(t, newer.write())
	newer.requireExact(3)
	require.NoError(t, older.Recover(t.Context(), true))
	require.ErrorIs(t, newer.write(), kafka.ErrProducerFenced)
}
