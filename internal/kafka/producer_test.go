package kafka_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tarnstream/tarn/devbroker"
	"github.com/tarnstream/tarn/internal/bubbletest"
	"github.com/tarnstream/tarn/internal/kafka"
	"github.com/tarnstream/tarn/state"
)

// bench is a broker in virtual time, or a real network without a bubble, with a client of it.
type bench struct {
	t      testing.TB
	broker *devbroker.Broker
	client *kafka.Client
}

// newBench starts a broker with topic "t" of two partitions.
func newBench(t testing.TB, opts ...devbroker.Option) *bench {
	t.Helper()
	b, err := devbroker.Start(opts...)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, b.Close()) })
	require.NoError(t, b.CreateTopic("t", 2, nil))
	return &bench{t: t, broker: b, client: newClientOf(t, b)}
}

func newClientOf(t testing.TB, b *devbroker.Broker) *kafka.Client {
	t.Helper()
	c, err := kafka.NewClient(kafka.Config{Brokers: b.Addrs(), Dial: b.Dialer().DialContext, Logger: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	t.Cleanup(c.Close)
	return c
}

// newFarClient makes a client whose broker is far away: answers take as long as far says then. In virtual time it must say
// nothing before the connections are open: sarama opens them under a mutex.
func newFarClient(t testing.TB, b *devbroker.Broker, far *atomic.Int64) *kafka.Client {
	t.Helper()
	dial := func(ctx context.Context, network, addr string) (net.Conn, error) {
		c, err := b.Dialer().DialContext(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		return newFarConn(c, far), nil
	}
	c, err := kafka.NewClient(kafka.Config{Brokers: b.Addrs(), Dial: dial, Logger: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	t.Cleanup(c.Close)
	return c
}

// farConn is a connection on which everything that comes is late.
type farConn struct {
	net.Conn
	come chan piece
	rest []byte
}

type piece struct {
	due  time.Time
	data []byte
	err  error
}

func newFarConn(c net.Conn, far *atomic.Int64) *farConn {
	f := &farConn{Conn: c, come: make(chan piece, 1024)}
	go func() {
		defer close(f.come)
		for {
			buf := make([]byte, 64<<10)
			n, err := c.Read(buf)
			if n > 0 {
				f.come <- piece{due: time.Now().Add(time.Duration(far.Load())), data: buf[:n]}
			}
			if err != nil {
				f.come <- piece{err: err}
				return
			}
		}
	}()
	return f
}

func (f *farConn) Read(b []byte) (int, error) {
	if len(f.rest) == 0 {
		p, ok := <-f.come
		if !ok {
			return 0, net.ErrClosed
		}
		if p.err != nil {
			return 0, p.err
		}
		time.Sleep(time.Until(p.due))
		f.rest = p.data
	}
	n := copy(b, f.rest)
	f.rest = f.rest[n:]
	return n, nil
}

// Deadlines of reads mean nothing: the reading is done elsewhere.
func (f *farConn) SetReadDeadline(time.Time) error { return nil }
func (f *farConn) SetDeadline(t time.Time) error   { return f.SetWriteDeadline(t) }

func (b *bench) producer(cfg kafka.ProducerConfig) *kafka.Producer {
	p := b.client.NewProducer(cfg)
	b.t.Cleanup(p.Close)
	return p
}

// values are a partition's, as any consumer reads them.
func (b *bench) values(partition int32) []string {
	b.t.Helper()
	records, err := b.broker.Records("t", partition)
	require.NoError(b.t, err)
	var out []string
	for _, r := range records {
		out = append(out, string(r.Value))
	}
	return out
}

// batchOf makes n records with values from+0, from+1, ...
func batchOf(partition int32, from, n int) kafka.OutBatch {
	b := kafka.OutBatch{Topic: "t", Partition: partition}
	for i := range n {
		b.Records = append(b.Records, kafka.OutRecord{Key: []byte("k"), Value: fmt.Append(nil, from+i), Timestamp: 1_700_000_000_000 + int64(i)})
	}
	return b
}

func numbers(from, n int) (out []string) {
	for i := range n {
		out = append(out, fmt.Sprint(from+i))
	}
	return out
}

// inBubble runs fn in virtual time; what it cleans up ends before the bubble does.
func inBubble(t *testing.T, fn func(t *testing.T)) {
	t.Helper()
	bubbletest.Run(t, fn)
}

func TestProduce(t *testing.T) {
	b := newBench(t, devbroker.Brokers(2))
	p := b.producer(kafka.ProducerConfig{MaxBatchBytes: 3000})
	batches := []kafka.OutBatch{batchOf(0, 0, 500), batchOf(1, 1000, 10), batchOf(0, 500, 500), {Topic: "t"}}
	require.NoError(t, p.Produce(t.Context(), batches))
	require.Equal(t, numbers(0, 1000), b.values(0))
	require.Equal(t, numbers(1000, 10), b.values(1))
	for i, rec := range batches[2].Records {
		require.Equal(t, int64(500+i), rec.Offset)
	}
	require.NoError(t, p.Produce(t.Context(), nil))
}

// TestR28_ProduceNullsAndHeaders: null and empty are different things, in values, keys and headers.
func TestR28_ProduceNullsAndHeaders(t *testing.T) {
	b := newBench(t)
	now := time.Now().UnixMilli()
	records := []kafka.OutRecord{
		{Timestamp: now},
		{Key: []byte{}, Value: []byte{}, Timestamp: now - 5000},
		{Key: []byte{0, 255}, Value: []byte("v"), Timestamp: now + 5000,
			Headers: []state.Header{{Key: []byte("a"), Value: nil}, {Key: []byte("b"), Value: []byte{}}, {Key: nil, Value: []byte("x")}}},
	}
	require.NoError(t, b.producer(kafka.ProducerConfig{}).Produce(t.Context(), []kafka.OutBatch{{Topic: "t", Records: records}}))
	got, err := b.broker.Records("t", 0)
	require.NoError(t, err)
	require.Len(t, got, 3)
	require.Nil(t, got[0].Key)
	require.Nil(t, got[0].Value)
	require.Equal(t, []byte{}, got[1].Key)
	require.Equal(t, []byte{}, got[1].Value)
	require.Equal(t, []byte{0, 255}, got[2].Key)
	require.Len(t, got[2].Headers, 3)
	for i, want := range []int64{now, now - 5000, now + 5000} {
		require.Equal(t, want, got[i].Timestamp.UnixMilli())
	}
}

// TestProduceWaitsForReplicas: too few replicas in sync is waited for, and said in the log, though not for a moment's trouble.
func TestProduceWaitsForReplicas(t *testing.T) {
	const notEnough = 19
	for wait, warnings := range map[time.Duration]int{3 * time.Second: 0, 20 * time.Second: 1, 50 * time.Second: 2} {
		t.Run(wait.String(), func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				b := newBench(t, devbroker.Virtual())
				var said bytes.Buffer
				p := b.producer(kafka.ProducerConfig{Logger: slog.New(slog.NewTextHandler(&said, nil))})
				fault := b.broker.Fail(devbroker.Fault{Request: devbroker.Produce, Topic: "t", Err: notEnough, Count: -1})
				again := time.AfterFunc(wait, fault.Remove)
				defer again.Stop()
				require.NoError(t, p.Produce(t.Context(), []kafka.OutBatch{batchOf(0, 0, 10)}))
				require.Equal(t, numbers(0, 10), b.values(0))
				require.Equal(t, warnings, strings.Count(said.String(), "records are not taken"), said.String())
				require.Equal(t, warnings, strings.Count(said.String(), "code 19: "), said.String())
			})
		})
	}
}

// TestR25_ProduceEveryRetriableFault: each retriable code once, each way a connection can break, at the first request
// and in mid-stream: nothing lost, nothing twice, order kept.
func TestR25_ProduceEveryRetriableFault(t *testing.T) {
	faults := map[string]func(b *devbroker.Broker){
		"dropped before": func(b *devbroker.Broker) { b.Drop(devbroker.Produce, 1) },
		"dropped twice":  func(b *devbroker.Broker) { b.Drop(devbroker.Produce, 2) },
		"all severed":    func(b *devbroker.Broker) { b.Sever() },
		"dropped after": func(b *devbroker.Broker) {
			h := b.HoldAnswer(devbroker.Produce, "t")
			go func() {
				<-h.Arrived()
				h.Drop()
			}()
		},
		"no producer id": func(b *devbroker.Broker) {
			b.Fail(devbroker.Fault{Request: devbroker.InitProducerID, Err: devbroker.CoordinatorLoading})
		},
		"no metadata": func(b *devbroker.Broker) { b.Drop(devbroker.Metadata, 1) },
	}
	var hit *devbroker.FaultHandle
	for _, code := range []devbroker.Code{2, 3, 5, 6, 7, 13, 19, 20, 45, 46, 47, 56, 59, 74, 75, 89, 100} {
		faults[fmt.Sprint("code ", int(code))] = func(b *devbroker.Broker) {
			hit = b.Fail(devbroker.Fault{Request: devbroker.Produce, Topic: "t", Err: code})
		}
	}
	for name, fault := range faults {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				b := newBench(t, devbroker.Virtual(), devbroker.Brokers(3))
				p := b.producer(kafka.ProducerConfig{MaxBatchBytes: 500})
				for round := range 3 {
					fault(b.broker)
					batches := []kafka.OutBatch{batchOf(0, 100*round, 100), batchOf(1, 100*round, 100)}
					require.NoError(t, p.Produce(t.Context(), batches))
					require.Equal(t, int64(100*round+99), batches[1].Records[99].Offset)
					if hit != nil {
						require.Equal(t, 1, hit.Hits())
						hit = nil
					}
				}
				require.Equal(t, numbers(0, 300), b.values(0))
				require.Equal(t, numbers(0, 300), b.values(1))
			})
		})
	}
}

// TestR25_ProduceOutcomeUnknown: the broker has appended and the connection breaks before its answer.
func TestR25_ProduceOutcomeUnknown(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		b := newBench(t, devbroker.Virtual())
		p := b.producer(kafka.ProducerConfig{})
		require.NoError(t, p.Produce(t.Context(), []kafka.OutBatch{batchOf(0, 0, 10)}))
		h := b.broker.HoldAnswer(devbroker.Produce, "t")
		done := make(chan error, 1)
		batches := []kafka.OutBatch{batchOf(0, 10, 10)}
		go func() { done <- p.Produce(t.Context(), batches) }()
		<-h.Arrived()
		require.Equal(t, numbers(0, 20), b.values(0), "the broker has them already")
		h.Drop()
		require.NoError(t, <-done)
		require.Equal(t, int64(19), batches[0].Records[9].Offset)
		require.NoError(t, p.Produce(t.Context(), []kafka.OutBatch{batchOf(0, 20, 10)}))
		require.Equal(t, numbers(0, 30), b.values(0))
	})
}

// TestProduceGivenUp: a call that is given up with the outcome unknown says so, and what the next call sends is neither
// taken for the old records nor refused.
func TestProduceGivenUp(t *testing.T) {
	for _, appended := range []bool{true, false} {
		inBubble(t, func(t *testing.T) {
			b := newBench(t, devbroker.Virtual())
			p := b.producer(kafka.ProducerConfig{})
			require.NoError(t, p.Produce(t.Context(), []kafka.OutBatch{batchOf(0, 0, 10)}))
			hold := b.broker.Hold
			if appended {
				hold = b.broker.HoldAnswer
			}
			h := hold(devbroker.Produce, "t")
			ctx, stop := context.WithTimeout(t.Context(), time.Second)
			defer stop()
			old := []kafka.OutBatch{batchOf(0, 10, 10)}
			err := p.Produce(ctx, old)
			require.ErrorIs(t, err, kafka.ErrOutcomeUnknown)
			require.ErrorIs(t, err, context.DeadlineExceeded)
			require.Equal(t, state.UnknownOffset, old[0].Records[0].Offset)
			h.Drop()
			require.NoError(t, p.Produce(t.Context(), []kafka.OutBatch{batchOf(0, 50, 10), batchOf(1, 0, 1)}))
			require.NoError(t, p.Produce(t.Context(), []kafka.OutBatch{batchOf(0, 60, 10)}))
			want := slices.Concat(numbers(0, 10), numbers(50, 20))
			if appended {
				want = slices.Concat(numbers(0, 20), numbers(50, 20))
			}
			require.Equal(t, want, b.values(0))
		})
	}
}

// TestR25_ProduceLeaderMoves: before a call, and while a request waits at the old leader.
func TestR25_ProduceLeaderMoves(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		b := newBench(t, devbroker.Virtual(), devbroker.Brokers(3))
		p := b.producer(kafka.ProducerConfig{})
		for round := range 6 {
			require.NoError(t, b.broker.MoveLeader("t", 0, int32(round%3)))
			h := b.broker.Hold(devbroker.Produce, "t")
			done := make(chan error, 1)
			go func() { done <- p.Produce(t.Context(), []kafka.OutBatch{batchOf(0, 10*round, 10)}) }()
			<-h.Arrived()
			require.NoError(t, b.broker.MoveLeader("t", 0, int32((round+1)%3)))
			h.Release()
			require.NoError(t, <-done)
		}
		require.Equal(t, numbers(0, 60), b.values(0))
	})
}

// TestR25_ProduceBrokerBack: the broker is lost at run time; the call goes on when it is back.
func TestR25_ProduceBrokerBack(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		b := newBench(t, devbroker.Virtual())
		p := b.producer(kafka.ProducerConfig{})
		require.NoError(t, p.Produce(t.Context(), []kafka.OutBatch{batchOf(0, 0, 10)}))
		b.broker.Stop()
		done := make(chan error, 1)
		go func() { done <- p.Produce(t.Context(), []kafka.OutBatch{batchOf(0, 10, 10)}) }()
		time.Sleep(30 * time.Second)
		require.NoError(t, b.broker.Resume())
		require.NoError(t, <-done)
		require.Equal(t, numbers(0, 20), b.values(0))
	})
}

// TestProduceUnreachable: no broker answers: the error comes at the deadline and names the addresses.
func TestProduceUnreachable(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		c, err := kafka.NewClient(kafka.Config{Brokers: []string{"one.invalid:9092", "two.invalid:9093"}, Logger: slog.New(slog.DiscardHandler),
			Dial: func(context.Context, string, string) (net.Conn, error) {
				return nil, &net.OpError{Op: "dial", Err: net.ErrClosed}
			}})
		require.NoError(t, err)
		defer c.Close()
		p := c.NewProducer(kafka.ProducerConfig{Timeout: 5 * time.Second})
		defer p.Close()
		start := time.Now()
		err = p.Produce(t.Context(), []kafka.OutBatch{batchOf(0, 0, 1)})
		require.Equal(t, 5*time.Second, time.Since(start))
		var unreachable *kafka.UnreachableError
		require.ErrorAs(t, err, &unreachable)
		require.Equal(t, []string{"one.invalid:9092", "two.invalid:9093"}, unreachable.Addrs)
		require.NotErrorIs(t, err, kafka.ErrOutcomeUnknown)
	})
}

// TestProduceThroughATunnelThatIsAway: whatever a dialer of the user's own says, the broker is asked again.
func TestProduceThroughATunnelThatIsAway(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		b := newBench(t, devbroker.Virtual()).broker
		var back atomic.Bool
		away := errors.New("the tunnel is away")
		c, err := kafka.NewClient(kafka.Config{Brokers: b.Addrs(), Logger: slog.New(slog.DiscardHandler),
			Dial: func(ctx context.Context, network, addr string) (net.Conn, error) {
				if !back.Load() {
					return nil, away
				}
				return b.Dialer().DialContext(ctx, network, addr)
			}})
		require.NoError(t, err)
		defer c.Close()
		p := c.NewProducer(kafka.ProducerConfig{Timeout: 10 * time.Second})
		defer p.Close()
		require.ErrorIs(t, p.Produce(t.Context(), []kafka.OutBatch{batchOf(0, 0, 1)}), away)
		time.AfterFunc(5*time.Second, func() { back.Store(true) })
		require.NoError(t, p.Produce(t.Context(), []kafka.OutBatch{batchOf(0, 0, 1)}))
	})
}

// TestProduceTopicMissing: it may be about to be created, so it is waited for; then the error names it. Another
// topic's records of the same call are in the log nevertheless.
func TestProduceTopicMissing(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		b := newBench(t, devbroker.Virtual())
		p := b.producer(kafka.ProducerConfig{Timeout: 10 * time.Second})
		lost := kafka.OutBatch{Topic: "nowhere", Records: batchOf(0, 0, 1).Records}
		good := batchOf(0, 0, 10)
		err := p.Produce(t.Context(), []kafka.OutBatch{lost, good})
		var gone *state.TopicMissingError
		require.ErrorAs(t, err, &gone)
		require.Equal(t, "nowhere", gone.Topic)
		require.NotErrorIs(t, err, kafka.ErrOutcomeUnknown)
		require.Equal(t, state.UnknownOffset, lost.Records[0].Offset)
		require.Equal(t, int64(9), good.Records[9].Offset)
		require.Equal(t, numbers(0, 10), b.values(0))
	})
}

// TestProduceTopicGone: a topic that is deleted is waited for as long as asked, whatever may have reached it before; the
// error names it, and no outcome is unknown.
func TestProduceTopicGone(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		b := newBench(t, devbroker.Virtual())
		require.NoError(t, b.broker.CreateTopic("gone", 1, nil))
		p := b.producer(kafka.ProducerConfig{Missing: 5 * time.Second})
		lost := kafka.OutBatch{Topic: "gone", Records: batchOf(0, 0, 1).Records}
		require.NoError(t, p.Produce(t.Context(), []kafka.OutBatch{lost}))
		h := b.broker.HoldAnswer(devbroker.Produce, "gone")
		done := make(chan error)
		good := batchOf(0, 0, 10)
		go func() { done <- p.Produce(t.Context(), []kafka.OutBatch{lost, good}) }()
		<-h.Arrived()
		require.NoError(t, b.broker.DeleteTopic("gone"))
		h.Drop()
		began := time.Now()
		err := <-done
		var gone *state.TopicMissingError
		require.ErrorAs(t, err, &gone)
		require.Equal(t, "gone", gone.Topic)
		require.NotErrorIs(t, err, kafka.ErrOutcomeUnknown)
		require.WithinRange(t, time.Now(), began.Add(5*time.Second), began.Add(10*time.Second))
		require.Equal(t, int64(9), good.Records[9].Offset)
		require.NoError(t, p.Produce(t.Context(), []kafka.OutBatch{batchOf(0, 10, 10)}))
		require.Equal(t, numbers(0, 20), b.values(0))
	})
}

// TestR45_ProduceAsksBeforeEachRequest: also before one that is sent again.
func TestR45_ProduceAsksBeforeEachRequest(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		b := newBench(t, devbroker.Virtual())
		var allowed atomic.Bool
		p := b.producer(kafka.ProducerConfig{Allowed: allowed.Load})
		ctx, stop := context.WithTimeout(t.Context(), 10*time.Second)
		defer stop()
		err := p.Produce(ctx, []kafka.OutBatch{batchOf(0, 0, 1)})
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.NotErrorIs(t, err, kafka.ErrOutcomeUnknown)
		allowed.Store(true)
		h := b.broker.Hold(devbroker.Produce, "t")
		done := make(chan error)
		go func() { done <- p.Produce(t.Context(), []kafka.OutBatch{batchOf(0, 10, 1)}) }()
		<-h.Arrived()
		allowed.Store(false)
		h.Drop()
		time.Sleep(time.Minute)
		require.Empty(t, b.values(0))
		allowed.Store(true)
		require.NoError(t, <-done)
		require.Equal(t, numbers(10, 1), b.values(0))
	})
}

// TestProduceTooLarge: batches that the topic does not take are divided; a record that it does not take is named.
func TestProduceTooLarge(t *testing.T) {
	b := newBench(t, devbroker.MaxMessageBytes(2000))
	p := b.producer(kafka.ProducerConfig{})
	batches := []kafka.OutBatch{batchOf(0, 0, 1000)}
	require.NoError(t, p.Produce(t.Context(), batches))
	require.Equal(t, numbers(0, 1000), b.values(0))

	big := kafka.OutRecord{Value: bytes.Repeat([]byte("x"), 3000), Timestamp: 1}
	mixed := kafka.OutBatch{Topic: "t", Records: []kafka.OutRecord{batchOf(0, 1000, 1).Records[0], big, batchOf(0, 1001, 1).Records[0]}}
	err := p.Produce(t.Context(), []kafka.OutBatch{mixed, batchOf(1, 0, 5)})
	var large *kafka.RecordTooLargeError
	require.ErrorAs(t, err, &large)
	require.Equal(t, kafka.EncodedSize(&big), large.Size)
	require.Zero(t, large.Limit, "nobody has read it")
	require.NotErrorIs(t, err, kafka.ErrOutcomeUnknown)
	require.Equal(t, numbers(0, 1001), b.values(0), "what stands before it is in the log, what stands after it is not")
	require.Equal(t, int64(1000), mixed.Records[0].Offset)
	require.Equal(t, state.UnknownOffset, mixed.Records[2].Offset)
	require.Equal(t, numbers(0, 5), b.values(1))

	require.NoError(t, p.Produce(t.Context(), []kafka.OutBatch{batchOf(0, 1001, 5)}), "the producer goes on")
	require.Equal(t, numbers(0, 1006), b.values(0))
}

// TestPrepare: after it the topic's own limit is known, exactly.
func TestPrepare(t *testing.T) {
	b := newBench(t)
	require.NoError(t, b.broker.CreateTopic("small", 1, map[string]string{"max.message.bytes": "500"}))
	p := b.producer(kafka.ProducerConfig{Missing: time.Millisecond})
	require.Equal(t, 1048588, p.MaxRecordBytes("small"))
	require.NoError(t, p.Prepare(t.Context(), "small", "t"))
	require.Equal(t, 500, p.MaxRecordBytes("small"))
	require.Equal(t, 1048588, p.MaxRecordBytes("t"))
	for extra, ok := range map[int]bool{0: true, 1: false} {
		rec := kafka.OutRecord{Value: bytes.Repeat([]byte("x"), 400)}
		rec.Value = append(rec.Value, make([]byte, 500-kafka.EncodedSize(&rec)+extra)...)
		require.Equal(t, 500+extra, kafka.EncodedSize(&rec))
		err := p.Produce(t.Context(), []kafka.OutBatch{{Topic: "small", Records: []kafka.OutRecord{rec}}})
		require.Equal(t, ok, err == nil, "%v", err)
		if !ok {
			require.ErrorContains(t, err, "a record of 501 bytes is above the max.message.bytes of 500 of small/0")
		}
	}
	var gone *state.TopicMissingError
	require.ErrorAs(t, p.Prepare(t.Context(), "nowhere"), &gone)
}

// TestProduceRefused: what no retry cures fails at once, with the broker's code and without a doubt.
func TestProduceRefused(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		b := newBench(t, devbroker.Virtual())
		p := b.producer(kafka.ProducerConfig{})
		b.broker.Fail(devbroker.Fault{Request: devbroker.Produce, Topic: "t", Partitions: []int32{0}, Err: 29})
		start := time.Now()
		err := p.Produce(t.Context(), []kafka.OutBatch{batchOf(0, 0, 5), batchOf(1, 0, 5)})
		require.Less(t, time.Since(start), time.Second)
		var code *kafka.Error
		require.ErrorAs(t, err, &code)
		require.Equal(t, int16(29), code.Code)
		require.NotErrorIs(t, err, kafka.ErrOutcomeUnknown)
		require.Equal(t, numbers(0, 5), b.values(1), "the other partition is not held up")
		require.NoError(t, p.Produce(t.Context(), []kafka.OutBatch{batchOf(0, 0, 5)}))
		require.Equal(t, numbers(0, 5), b.values(0))

		bad := batchOf(0, 0, 1)
		bad.Records[0].Timestamp = -1
		require.ErrorContains(t, p.Produce(t.Context(), []kafka.OutBatch{bad}), "timestamp -1 ms")
	})
}

// TestProduceClose: a call under way ends with ErrClosed, as does a later one.
func TestProduceClose(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		b := newBench(t, devbroker.Virtual())
		p := b.producer(kafka.ProducerConfig{})
		h := b.broker.Hold(devbroker.Produce, "t")
		done := make(chan error, 1)
		go func() { done <- p.Produce(t.Context(), []kafka.OutBatch{batchOf(0, 0, 5)}) }()
		<-h.Arrived()
		p.Close()
		require.ErrorIs(t, <-done, kafka.ErrClosed)
		h.Drop()
		require.ErrorIs(t, p.Produce(t.Context(), []kafka.OutBatch{batchOf(0, 0, 5)}), kafka.ErrClosed)
		p.Close()
	})
}

// TestProduceFromSeveral: calls from several goroutines each keep their own order.
func TestProduceFromSeveral(t *testing.T) {
	b := newBench(t, devbroker.Brokers(2))
	p := b.producer(kafka.ProducerConfig{})
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			for i := range 10 {
				if err := p.Produce(t.Context(), []kafka.OutBatch{batchOf(0, 1000*g+10*i, 10)}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	got := b.values(0)
	slices.SortStableFunc(got, func(x, y string) int {
		var a, b int
		_, _ = fmt.Sscan(x, &a)
		_, _ = fmt.Sscan(y, &b)
		return a/1000 - b/1000
	})
	require.Equal(t, slices.Concat(numbers(0, 100), numbers(1000, 100), numbers(2000, 100), numbers(3000, 100)), got)
}

// TestProduceFiveInFlight: with 100 ms to the broker and back, 26 batches take a fifth of what one after the other takes, and
// the first of them is alone, until the broker knows the producer.
func TestProduceFiveInFlight(t *testing.T) {
	for window, round := range map[int]int{1: 26, 5: 6} {
		inBubble(t, func(t *testing.T) {
			b := newBench(t, devbroker.Virtual())
			var far atomic.Int64
			p := newFarClient(t, b.broker, &far).NewProducer(kafka.ProducerConfig{MaxBatchBytes: 500})
			defer p.Close()
			p.SetWindow(window)
			require.NoError(t, p.Produce(t.Context(), []kafka.OutBatch{batchOf(1, 0, 1)})) // connected, with an id
			far.Store(int64(100 * time.Millisecond))
			records := batchOf(0, 0, 1000)
			began := time.Now()
			require.NoError(t, p.Produce(t.Context(), []kafka.OutBatch{records}))
			require.InDelta(t, float64(round), time.Since(began).Seconds()*10, 1)
			require.Equal(t, numbers(0, 1000), b.values(0))
		})
	}
}

// TestR25_ProduceUnderChaos: requests refused, held, dropped before and after their work, connections broken and leaders moved
// at random, with many batches in flight.
func TestR25_ProduceUnderChaos(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	inBubble(t, func(t *testing.T) {
		b := newBench(t, devbroker.Virtual(), devbroker.Brokers(3))
		p := b.producer(kafka.ProducerConfig{MaxBatchBytes: 300})
		codes := []devbroker.Code{devbroker.NotLeader, devbroker.Timeout, 19, 20, devbroker.StorageError, devbroker.LeaderEpochFenced}
		faults := []func(){
			func() { b.broker.Drop(devbroker.Produce, 1) },
			func() { b.broker.Sever() },
			func() {
				b.broker.Fail(devbroker.Fault{Request: devbroker.Produce, Topic: "t", Partitions: []int32{r.Int32N(2)}, Err: codes[r.IntN(len(codes))]})
			},
			func() { require.NoError(t, b.broker.MoveLeader("t", r.Int32N(2), r.Int32N(3))) },
			func() {
				h := b.broker.HoldAnswer(devbroker.Produce, "t")
				time.AfterFunc(time.Duration(r.IntN(50))*time.Millisecond, h.Drop)
			},
			func() {
				h := b.broker.Hold(devbroker.Produce, "t")
				time.AfterFunc(time.Duration(r.IntN(50))*time.Millisecond, h.Release)
			},
		}
		for round := range 40 {
			for range r.IntN(4) {
				faults[r.IntN(len(faults))]()
			}
			batches := []kafka.OutBatch{batchOf(0, 300*round, 300), batchOf(1, 300*round, 300)}
			require.NoError(t, p.Produce(t.Context(), batches))
			require.Equal(t, int64(300*round+299), batches[0].Records[299].Offset)
		}
		require.Equal(t, numbers(0, 12_000), b.values(0))
		require.Equal(t, numbers(0, 12_000), b.values(1))
	})
}
