package kafka_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tarnstream/tarn/devbroker"
	"github.com/tarnstream/tarn/internal/kafka"
)

var errEnough = errors.New("enough")

// writer is a producer of transactions that counts on: record i carries the number i, and the group's offset is i+1.
type writer struct {
	*bench
	*kafka.Producer
	next int
}

func (b *bench) writer() *writer {
	b.t.Helper()
	w := &writer{bench: b, Producer: b.producer(kafka.ProducerConfig{TransactionalID: "tx"})}
	require.NoError(b.t, w.Recover(b.t.Context(), true))
	return w
}

// txn is the next transaction: three records in each partition.
func (w *writer) txn() kafka.Txn {
	return kafka.Txn{Batches: []kafka.OutBatch{batchOf(0, w.next, 3), batchOf(1, w.next, 3)}, Group: "g",
		Offsets: map[string]map[int32]kafka.Offset{"t": {0: {Position: int64(w.next + 3), LeaderEpoch: -1}}},
		Member:  func() (kafka.Member, bool) { return kafka.Member{Generation: -1}, true }}
}

func (w *writer) write(ctx context.Context) error {
	err := w.Transact(ctx, w.txn())
	if err == nil {
		w.next += 3
	}
	return err
}

// requireExact requires that what was told to be committed is there once, records and offset.
func (w *writer) requireExact() {
	w.t.Helper()
	require.Equal(w.t, numbers(0, w.next), w.values(0))
	require.Equal(w.t, numbers(0, w.next), w.values(1))
	at, err := w.client.CommittedOffsets(w.t.Context(), "g", map[string][]int32{"t": {0}})
	require.NoError(w.t, err)
	if w.next == 0 {
		require.Negative(w.t, at["t"][0].Position)
	} else {
		require.Equal(w.t, int64(w.next), at["t"][0].Position)
	}
}

func TestTransact(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		w := newBench(t, devbroker.Virtual(), devbroker.Brokers(3)).writer()
		for i := range 3 {
			txn := w.txn()
			require.NoError(t, w.Transact(t.Context(), txn))
			w.next += 3
			require.Equal(t, int64(4*i+2), txn.Batches[0].Records[2].Offset, "a marker stands behind each transaction")
			w.requireExact()
		}
		w.broker.Fail(devbroker.Fault{Request: devbroker.EndTxn, Err: 48}) // INVALID_TXN_STATE, as Kafka says
		require.NoError(t, w.Transact(t.Context(), kafka.Txn{Group: "g", Member: w.txn().Member}), "nothing to write")
	})
}

func TestTransact_BeforeRecover(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		b := newBench(t, devbroker.Virtual())
		p := b.producer(kafka.ProducerConfig{TransactionalID: "tx"})
		require.ErrorIs(t, p.Transact(t.Context(), kafka.Txn{}), kafka.ErrNotRecovered)
		require.ErrorIs(t, p.Recover(t.Context(), false), kafka.ErrNotRecovered)
	})
}

var txnRequests = []devbroker.Request{devbroker.AddPartitionsToTxn, devbroker.AddOffsetsToTxn, devbroker.Produce, devbroker.TxnOffsetCommit, devbroker.EndTxn}

// TestR25_TransactionGoesOn: what is worth another attempt costs none of the transaction.
func TestR25_TransactionGoesOn(t *testing.T) {
	for _, request := range append(txnRequests, devbroker.InitProducerID, devbroker.FindCoordinator) {
		for _, code := range []devbroker.Code{devbroker.ConcurrentTransactions, devbroker.NotCoordinator, devbroker.CoordinatorLoading, devbroker.CoordinatorNotAvailable, devbroker.Timeout} {
			if request == devbroker.Produce && code != devbroker.Timeout {
				continue
			}
			t.Run(fmt.Sprint(request, code), func(t *testing.T) {
				inBubble(t, func(t *testing.T) {
					b := newBench(t, devbroker.Virtual(), devbroker.Brokers(3))
					fault := b.broker.Fail(devbroker.Fault{Request: request, Err: code, Count: 2})
					w := b.writer()
					require.NoError(t, w.write(t.Context()))
					require.NoError(t, w.write(t.Context()))
					require.Equal(t, 2, fault.Hits())
					w.requireExact()
				})
			})
		}
		t.Run(fmt.Sprint(request, "broken"), func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				b := newBench(t, devbroker.Virtual(), devbroker.Brokers(3))
				b.broker.Drop(request, 2)
				w := b.writer()
				require.NoError(t, w.write(t.Context()))
				require.NoError(t, w.write(t.Context()))
				w.requireExact()
			})
		})
	}
}

// TestTransact_MarkersAreWaitedForBriefly: transactions that follow each other at once find the markers of the last one not
// written yet, each of them. Other trouble lasts longer.
func TestTransact_MarkersAreWaitedForBriefly(t *testing.T) {
	for code, waited := range map[devbroker.Code]time.Duration{
		devbroker.ConcurrentTransactions: (2 + 4 + 8) * time.Millisecond, devbroker.CoordinatorLoading: (20 + 40 + 80) * time.Millisecond} {
		inBubble(t, func(t *testing.T) {
			w := newBench(t, devbroker.Virtual()).writer()
			require.NoError(t, w.write(t.Context()))
			w.broker.Fail(devbroker.Fault{Request: devbroker.AddPartitionsToTxn, Err: code, Count: 3})
			began := time.Now()
			require.NoError(t, w.write(t.Context()))
			require.Equal(t, waited, time.Since(began), "%v", code)
			w.requireExact()
		})
	}
}

// TestR65_OffsetsUnderTheNextGeneration: a generation that is over is no reason to abort.
func TestR65_OffsetsUnderTheNextGeneration(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		b := newBench(t, devbroker.Virtual())
		w := b.writer()
		b.broker.Fail(devbroker.Fault{Request: devbroker.TxnOffsetCommit, Err: devbroker.IllegalGeneration, Count: 3})
		txn, asked := w.txn(), 0
		txn.Member = func() (kafka.Member, bool) {
			asked++
			return kafka.Member{Generation: -1}, asked != 2 // for a moment no claim is known to live
		}
		require.NoError(t, w.Transact(t.Context(), txn))
		require.Equal(t, 5, asked)
		w.next += 3
		w.requireExact()
	})
}

// TestR63_AbortLeavesNothing: after an error nothing of the transaction is seen, and after Recover the next one is as if it
// had not been.
func TestR63_AbortLeavesNothing(t *testing.T) {
	for _, tt := range []struct {
		code  devbroker.Code
		hits  []devbroker.Request
		is    error
		final bool
	}{
		{devbroker.ProducerFenced, txnRequests, kafka.ErrProducerFenced, false},
		{devbroker.InvalidProducerEpoch, txnRequests, kafka.ErrProducerFenced, false},
		{devbroker.UnknownMemberID, []devbroker.Request{devbroker.TxnOffsetCommit}, kafka.ErrUnknownMember, false},
		{devbroker.FencedInstanceID, []devbroker.Request{devbroker.TxnOffsetCommit}, kafka.ErrFencedInstance, false},
		{48, txnRequests, nil, false}, // INVALID_TXN_STATE
		{49, txnRequests, nil, false}, // INVALID_PRODUCER_ID_MAPPING
		{devbroker.OutOfOrderSequence, []devbroker.Request{devbroker.Produce}, nil, false},
		{53, []devbroker.Request{devbroker.AddPartitionsToTxn, devbroker.AddOffsetsToTxn, devbroker.Produce}, nil, true}, // TRANSACTIONAL_ID_AUTHORIZATION_FAILED
		{29, []devbroker.Request{devbroker.AddPartitionsToTxn, devbroker.Produce, devbroker.TxnOffsetCommit}, nil, true}, // TOPIC_AUTHORIZATION_FAILED
	} {
		for _, request := range tt.hits {
			t.Run(fmt.Sprint(request, tt.code), func(t *testing.T) {
				inBubble(t, func(t *testing.T) {
					b := newBench(t, devbroker.Virtual(), devbroker.Brokers(3))
					w := b.writer()
					require.NoError(t, w.write(t.Context()))
					b.broker.Fail(devbroker.Fault{Request: request, Err: tt.code})
					err := w.write(t.Context())
					failed, ok := errors.AsType[*kafka.TransactionError](err)
					require.True(t, ok, "%v", err)
					require.Equal(t, request.String(), failed.Request)
					require.Equal(t, tt.final, failed.Final, "%v", err)
					require.Equal(t, request == devbroker.EndTxn, errors.Is(err, kafka.ErrOutcomeUnknown))
					if tt.is != nil {
						require.ErrorIs(t, err, tt.is)
					}
					require.ErrorIs(t, w.write(t.Context()), kafka.ErrNotRecovered)
					require.NoError(t, w.Recover(t.Context(), true))
					w.requireExact()
					require.NoError(t, w.write(t.Context()))
					w.requireExact()
				})
			})
		}
	}
}

// TestR63_DelayedProduceOfAnAbortedTransaction: it arrives while the next one is open, and is no part of it.
func TestR63_DelayedProduceOfAnAbortedTransaction(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		b := newBench(t, devbroker.Virtual())
		w := b.writer()
		held := b.broker.Hold(devbroker.Produce, "t")
		ctx, cancel := context.WithCancelCause(t.Context())
		go func() { <-held.Arrived(); cancel(errEnough) }()
		require.ErrorIs(t, w.write(ctx), errEnough)
		require.NoError(t, w.Recover(t.Context(), false))
		next := b.broker.Hold(devbroker.TxnOffsetCommit, "g")
		go func() {
			<-next.Arrived()
			held.Release()
			next.Release()
		}()
		require.NoError(t, w.write(t.Context()))
		w.requireExact()
	})
}

// TestR63_OutcomeUnknown: the commit is carried out, and nobody hears of it.
func TestR63_OutcomeUnknown(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		b := newBench(t, devbroker.Virtual())
		w := b.writer()
		held := b.broker.HoldAnswer(devbroker.EndTxn, "")
		ctx, cancel := context.WithCancelCause(t.Context())
		go func() { <-held.Arrived(); cancel(errEnough) }()
		err := w.write(ctx)
		require.ErrorIs(t, err, errEnough)
		require.ErrorIs(t, err, kafka.ErrOutcomeUnknown)
		held.Release()
		require.NoError(t, w.Recover(t.Context(), false))
		w.next += 3
		w.requireExact()
		require.NoError(t, w.write(t.Context()))
		w.requireExact()
	})
}

// TestTransact_LongerThanItsTimeout: the coordinator aborts it, and the producer hears that it is fenced.
func TestTransact_LongerThanItsTimeout(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		b := newBench(t, devbroker.Virtual())
		w := b.writer()
		held := b.broker.Hold(devbroker.TxnOffsetCommit, "g")
		go func() {
			<-held.Arrived()
			time.Sleep(kafka.TransactionTimeout + time.Second)
			held.Release()
		}()
		require.ErrorIs(t, w.write(t.Context()), kafka.ErrProducerFenced)
		require.NoError(t, w.Recover(t.Context(), true))
		require.NoError(t, w.write(t.Context()))
		w.requireExact()
	})
}

// TestRecover_EndsWhatAnotherProcessLeftOpen: a newer process takes the id, and the older one hears of it.
func TestRecover_EndsWhatAnotherProcessLeftOpen(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		b := newBench(t, devbroker.Virtual())
		older := b.writer()
		held := b.broker.Hold(devbroker.EndTxn, "")
		ended := make(chan error, 1)
		go func() { ended <- older.write(t.Context()) }()
		<-held.Arrived()
		newer := (&bench{t: t, broker: b.broker, client: newClientOf(t, b.broker)}).writer()
		require.NoError(t, newer.write(t.Context()))
		held.Release()
		require.ErrorIs(t, <-ended, kafka.ErrProducerFenced)
		newer.requireExact()
	})
}

// TestRecover_OfAnIDThatTheCoordinatorHasForgotten: idle for a week, a producer has an id again.
func TestRecover_OfAnIDThatTheCoordinatorHasForgotten(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		b := newBench(t, devbroker.Virtual())
		w := b.writer()
		require.NoError(t, w.write(t.Context()))
		b.broker.Fail(devbroker.Fault{Request: devbroker.AddPartitionsToTxn, Err: 49}) // INVALID_PRODUCER_ID_MAPPING
		require.Error(t, w.write(t.Context()))
		b.broker.Fail(devbroker.Fault{Request: devbroker.InitProducerID, Err: 49, TopLevel: true})
		require.NoError(t, w.Recover(t.Context(), false))
		require.NoError(t, w.write(t.Context()))
		w.requireExact()
	})
}
