package kafka_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tarnstream/tarn/devbroker"
	"github.com/tarnstream/tarn/internal/kafka"
	"github.com/tarnstream/tarn/state"
)

// read starts a Reader that ends with the test.
func (b *bench) read(cfg kafka.ReaderConfig) *kafka.Reader {
	b.t.Helper()
	cfg.Logger = slog.New(slog.DiscardHandler)
	r := b.client.NewReader(cfg)
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { require.NoError(b.t, r.Run(ctx)) })
	b.t.Cleanup(func() { cancel(); wg.Wait() })
	return r
}

func (b *bench) write(partition int32, from, n int) {
	b.t.Helper()
	var records []devbroker.Record
	for i := range n {
		records = append(records, devbroker.Record{Key: []byte("k"), Value: fmt.Append(nil, from+i)})
	}
	require.NoError(b.t, b.broker.Produce("t", partition, records...))
}

// readTo reads from position until next, by a Log's means.
func readTo(t testing.TB, c *kafka.Cursor, position, next int64) (values []string, present int64) {
	t.Helper()
	for position < next {
		records, err := c.Fetch(t.Context(), position)
		require.NoError(t, err)
		require.Equal(t, position, records.Position)
		require.GreaterOrEqual(t, records.Next, position)
		for _, r := range records.Records {
			require.GreaterOrEqual(t, r.Offset, position)
			values = append(values, string(r.Value))
		}
		position, present = records.Next, present+records.Present
	}
	require.Equal(t, next, position)
	return values, present
}

func TestReaderReadsManyPartitions(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		b := newBench(t, devbroker.Virtual(), devbroker.Brokers(3))
		require.NoError(t, b.broker.CreateTopic("wide", 9, nil))
		r := b.read(kafka.ReaderConfig{})
		wake := make(chan struct{}, 1)
		var cursors []*kafka.Cursor
		for p := range int32(9) {
			require.NoError(t, b.broker.Produce("wide", p, devbroker.Record{Value: fmt.Append(nil, p)}, devbroker.Record{Value: []byte("x")}))
			c := r.Open("wide", p, wake)
			c.SeekTo(0)
			cursors = append(cursors, c)
		}
		for seen := 0; seen < 9; {
			<-wake
			for p, c := range cursors {
				if records, ok, err := c.Poll(); ok {
					require.Equal(t, fmt.Sprint(p), string(records.Records[0].Value))
					require.Equal(t, int64(2), c.Position())
					seen++
				} else {
					require.NoError(t, err)
				}
			}
		}
	})
}

// TestR28_ReaderNulls: null and empty are told apart, headers and times arrive, and an idle answer tells the bounds.
func TestR28_ReaderNulls(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		b := newBench(t, devbroker.Virtual())
		stamp := time.UnixMilli(1_700_000_000_123)
		require.NoError(t, b.broker.Produce("t", 0, devbroker.Record{Key: nil, Value: []byte{}, Timestamp: stamp},
			devbroker.Record{Key: []byte{}, Value: nil, Timestamp: stamp.Add(time.Second), Headers: []devbroker.Header{{Key: "h", Value: []byte("1")}, {Key: "i"}}}))
		c := b.read(kafka.ReaderConfig{}).Open("t", 0, nil)
		records, err := c.Fetch(t.Context(), 0)
		require.NoError(t, err)
		require.Len(t, records.Records, 2)
		first, second := records.Records[0], records.Records[1]
		require.Nil(t, first.Key)
		require.NotNil(t, first.Value)
		require.NotNil(t, second.Key)
		require.Nil(t, second.Value)
		require.Equal(t, stamp.UnixMilli(), first.Timestamp)
		require.Equal(t, stamp.UnixMilli()+1000, second.Timestamp)
		require.Equal(t, "h", string(second.Headers[0].Key))
		require.Equal(t, "1", string(second.Headers[0].Value))
		require.Equal(t, int64(2), records.Present)
		require.NotEqual(t, state.UnknownEpoch, records.LastEpoch)

		began := time.Now()
		records, err = c.Fetch(t.Context(), 2)
		require.NoError(t, err)
		require.Equal(t, int64(2), records.Next)
		require.Equal(t, int64(2), records.End)
		require.Equal(t, int64(2), records.Stable)
		require.Less(t, time.Since(began), 1100*time.Millisecond)

		b.broker.Stop()
		synctest.Wait()
		records, err = c.Fetch(t.Context(), 2)
		require.NoError(t, err)
		require.Equal(t, state.UnknownOffset, records.End, "no broker said so during the call")
	})
}

// TestR08_R11_ReaderMarkers: aborted records are never given, and the position passes the markers at the end.
func TestR08_R11_ReaderMarkers(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		b := newBench(t, devbroker.Virtual())
		b.write(0, 0, 2)
		aborted, err := b.broker.Begin("a", 0)
		require.NoError(t, err)
		committed, err := b.broker.Begin("c", 0)
		require.NoError(t, err)
		require.NoError(t, aborted.Produce("t", 0, devbroker.Record{Value: []byte("no")}))     // 2
		require.NoError(t, committed.Produce("t", 0, devbroker.Record{Value: []byte("yes")}))  // 3
		require.NoError(t, aborted.Produce("t", 0, devbroker.Record{Value: []byte("no")}))     // 4
		require.NoError(t, aborted.Abort())                                                    // 5
		require.NoError(t, committed.Produce("t", 0, devbroker.Record{Value: []byte("yes2")})) // 6
		require.NoError(t, committed.Commit())                                                 // 7
		again, err := b.broker.Begin("a", 0)
		require.NoError(t, err)
		require.NoError(t, again.Produce("t", 0, devbroker.Record{Value: []byte("now")})) // 8
		require.NoError(t, again.Commit())                                                // 9

		c := b.read(kafka.ReaderConfig{}).Open("t", 0, nil)
		bounds, err := c.Bounds(t.Context())
		require.NoError(t, err)
		require.Equal(t, int64(10), bounds.End)
		values, present := readTo(t, c, 0, bounds.End)
		require.Equal(t, []string{"0", "1", "yes", "yes2", "now"}, values)
		require.Equal(t, int64(10), present, "aborted records and markers are present: there is no hole")
		values, _ = readTo(t, c, 4, bounds.End) // from within the aborted transaction
		require.Equal(t, []string{"yes2", "now"}, values)
	})
}

// TestR12_ReaderOpenTransaction: what is behind an open transaction is not given before that ends; the bounds say why.
func TestR12_ReaderOpenTransaction(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		b := newBench(t, devbroker.Virtual())
		open, err := b.broker.Begin("o", 0)
		require.NoError(t, err)
		require.NoError(t, open.Produce("t", 0, devbroker.Record{Value: []byte("late")}))
		b.write(0, 1, 1)
		c := b.read(kafka.ReaderConfig{}).Open("t", 0, nil)
		bounds, err := c.Bounds(t.Context())
		require.NoError(t, err)
		require.Equal(t, [3]int64{0, 0, 2}, [3]int64{bounds.Start, bounds.Stable, bounds.End})
		records, err := c.Fetch(t.Context(), 0)
		require.NoError(t, err)
		require.Equal(t, [3]int64{0, 0, 2}, [3]int64{records.Next, records.Stable, records.End})
		require.NoError(t, open.Commit())
		values, _ := readTo(t, c, 0, 3)
		require.Equal(t, []string{"late", "1"}, values)
	})
}

// TestR09_ReaderHollow: batches that compaction has emptied, in the middle and at the end, are passed, and count as a hole.
func TestR09_ReaderHollow(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		b := newBench(t, devbroker.Virtual())
		for i := range 10 {
			b.write(0, 2*i, 2)
		}
		require.NoError(t, b.broker.Hollow("t", 0, 0, 4))
		require.NoError(t, b.broker.Hollow("t", 0, 7, 12))
		require.NoError(t, b.broker.Hollow("t", 0, 16, 20))
		c := b.read(kafka.ReaderConfig{}).Open("t", 0, nil)
		values, present := readTo(t, c, 0, 20)
		require.Equal(t, []string{"4", "5", "6", "12", "13", "14", "15"}, values)
		require.Equal(t, int64(7), present)
		values, _ = readTo(t, c, 17, 20) // begins in emptied batches
		require.Empty(t, values)
	})
}

// TestR02_ReaderOutOfRange: the log start passes the reader; the error sticks, nothing is fetched until a seek, and the
// other partition goes on.
func TestR02_ReaderOutOfRange(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		b := newBench(t, devbroker.Virtual())
		b.write(0, 0, 10)
		b.write(1, 0, 10)
		require.NoError(t, b.broker.DeleteRecords("t", 0, 6))
		r := b.read(kafka.ReaderConfig{})
		c, other := r.Open("t", 0, nil), r.Open("t", 1, nil)
		_, err := c.Fetch(t.Context(), 3)
		out, ok := errors.AsType[*state.OutOfRangeError](err)
		require.True(t, ok, "%v", err)
		require.Equal(t, state.OutOfRangeError{Topic: "t", Partition: 0, Position: 3}, *out)

		time.Sleep(time.Minute)
		_, _, err = c.Poll()
		require.Equal(t, out, err, "it sticks")
		values, _ := readTo(t, other, 0, 10)
		require.Equal(t, numbers(0, 10), values)

		bounds, err := c.Bounds(t.Context())
		require.NoError(t, err)
		require.Equal(t, int64(6), bounds.Start)
		values, _ = readTo(t, c, bounds.Start, bounds.End)
		require.Equal(t, numbers(6, 4), values)
		_, err = c.Fetch(t.Context(), 11)
		require.ErrorAs(t, err, &out, "beyond the end")
		require.Equal(t, int64(11), out.Position)
	})
}

// TestR56_ReaderSomeOutOfRange: one partition of an answer is out of range, the others' records are used.
func TestR56_ReaderSomeOutOfRange(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		b := newBench(t, devbroker.Virtual())
		b.write(0, 0, 5)
		b.write(1, 0, 5)
		fault := b.broker.Fail(devbroker.Fault{Request: devbroker.Fetch, Topic: "t", Partitions: []int32{0}, Err: devbroker.OutOfRange})
		r := b.read(kafka.ReaderConfig{})
		c, other := r.Open("t", 0, nil), r.Open("t", 1, nil)
		c.SeekTo(0)
		other.SeekTo(0)
		synctest.Wait()
		time.Sleep(time.Second)
		require.Equal(t, 1, fault.Hits())
		records, ok, err := other.Poll()
		require.NoError(t, err)
		require.True(t, ok)
		require.Len(t, records.Records, 5)
		_, _, err = c.Poll()
		require.ErrorAs(t, err, new(*state.OutOfRangeError))
	})
}

// TestR50_ReaderLateAnswer: the answer for the old position comes after the seek and is dropped whole.
func TestR50_ReaderLateAnswer(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		b := newBench(t, devbroker.Virtual())
		b.write(0, 0, 10)
		c := b.read(kafka.ReaderConfig{}).Open("t", 0, nil)
		held := b.broker.HoldAnswer(devbroker.Fetch, "t")
		c.SeekTo(0)
		<-held.Arrived()
		c.SeekTo(7)
		held.Release()
		values, _ := readTo(t, c, 7, 10)
		require.Equal(t, []string{"7", "8", "9"}, values)
	})
}

// TestR51_BoundsDoNotSeek: bounds that come late change no position; the newest seek wins.
func TestR51_BoundsDoNotSeek(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		b := newBench(t, devbroker.Virtual())
		b.write(0, 0, 10)
		r := b.read(kafka.ReaderConfig{})
		c := r.Open("t", 0, nil)
		held := b.broker.HoldAnswer(devbroker.ListOffsets, "t")
		done := make(chan error, 1)
		go func() { _, err := c.Bounds(t.Context()); done <- err }()
		<-held.Arrived()
		c.SeekTo(4)
		time.Sleep(time.Second)
		held.Release()
		require.NoError(t, <-done)
		values, _ := readTo(t, c, 4, 10)
		require.Equal(t, numbers(4, 6), values)
	})
}

// TestR25_R53_ReaderRetries: whatever passes is passed, for Fetch and for ListOffsets, with no change of data; the
// other partition does not wait.
func TestR25_R53_ReaderRetries(t *testing.T) {
	codes := []devbroker.Code{devbroker.UnknownServerError, devbroker.UnknownTopic, devbroker.LeaderNotAvailable, devbroker.NotLeader, devbroker.Timeout,
		devbroker.StorageError, devbroker.LeaderEpochFenced, devbroker.UnknownLeaderEpoch, devbroker.UnknownTopicID, 9, 13, 78, 103}
	for _, code := range codes {
		for _, request := range []devbroker.Request{devbroker.Fetch, devbroker.ListOffsets} {
			t.Run(fmt.Sprint(request, " ", code), func(t *testing.T) {
				inBubble(t, func(t *testing.T) {
					b := newBench(t, devbroker.Virtual())
					b.write(0, 0, 10)
					b.write(1, 0, 10)
					fault := b.broker.Fail(devbroker.Fault{Request: request, Topic: "t", Partitions: []int32{0}, Err: code, Count: 5})
					r := b.read(kafka.ReaderConfig{})
					c, other := r.Open("t", 0, nil), r.Open("t", 1, nil)
					c.SeekTo(0)
					values, _ := readTo(t, other, 0, 10)
					require.Equal(t, numbers(0, 10), values)
					require.Less(t, fault.Hits(), 5, "the other partition did not wait")
					bounds, err := c.Bounds(t.Context())
					require.NoError(t, err)
					values, _ = readTo(t, c, bounds.Start, bounds.End)
					require.Equal(t, numbers(0, 10), values)
					require.Equal(t, 5, fault.Hits())
				})
			})
		}
	}
}

// TestR25_ReaderConnectionLost: connections drop on every kind of request; nothing is lost or given twice.
func TestR25_ReaderConnectionLost(t *testing.T) {
	for _, request := range []devbroker.Request{devbroker.Fetch, devbroker.ListOffsets, devbroker.Metadata, devbroker.APIVersions, devbroker.DescribeConfigs} {
		t.Run(request.String(), func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				b := newBench(t, devbroker.Virtual())
				b.write(0, 0, 10)
				b.broker.Drop(request, 4)
				c := b.read(kafka.ReaderConfig{}).Open("t", 0, nil)
				bounds, err := c.Bounds(t.Context())
				require.NoError(t, err)
				values, _ := readTo(t, c, bounds.Start, bounds.End)
				require.Equal(t, numbers(0, 10), values)
			})
		})
	}
}

// TestR25_ReaderBrokerBack: the broker is lost at run time; reading goes on when it is back.
func TestR25_ReaderBrokerBack(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		b := newBench(t, devbroker.Virtual())
		b.write(0, 0, 10)
		c := b.read(kafka.ReaderConfig{}).Open("t", 0, nil)
		readTo(t, c, 0, 10)
		b.broker.Stop()
		time.Sleep(10 * time.Minute)
		require.NoError(t, b.broker.Resume())
		b.write(0, 10, 5)
		began := time.Now()
		values, _ := readTo(t, c, 10, 15)
		require.Equal(t, numbers(10, 5), values)
		require.Less(t, time.Since(began), 3*time.Second)
	})
}

// TestR53_ReaderLeaderMoves: the leader moves again and again while records are written; order and number stay right.
func TestR53_ReaderLeaderMoves(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		b := newBench(t, devbroker.Virtual(), devbroker.Brokers(3))
		c := b.read(kafka.ReaderConfig{}).Open("t", 0, nil)
		position := int64(0)
		for i := range 12 {
			b.write(0, 5*i, 5)
			require.NoError(t, b.broker.MoveLeader("t", 0, int32(i%3)))
			values, _ := readTo(t, c, position, position+5)
			require.Equal(t, numbers(5*i, 5), values)
			position += 5
		}
	})
}

// TestR53_ReaderHangingBroker: a broker that takes requests and never answers delays only the partitions it leads.
func TestR53_ReaderHangingBroker(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		b := newBench(t, devbroker.Virtual(), devbroker.Brokers(2))
		require.NoError(t, b.broker.MoveLeader("t", 0, 0))
		require.NoError(t, b.broker.MoveLeader("t", 1, 1))
		b.write(1, 0, 5)
		held := b.broker.Hold(devbroker.Metadata, "t")
		defer held.Release()
		r := b.read(kafka.ReaderConfig{})
		c := r.Open("t", 1, nil)
		began := time.Now()
		values, _ := readTo(t, c, 0, 5)
		require.Equal(t, numbers(0, 5), values)
		require.Less(t, time.Since(began), 7*time.Second)
	})
}

// TestR04_ReaderTopicRecreated: deleted and created again, longer, under a running reader: a named error that is an
// out of range too, and nothing of the new topic.
func TestR04_ReaderTopicRecreated(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		b := newBench(t, devbroker.Virtual())
		b.write(0, 0, 5)
		c := b.read(kafka.ReaderConfig{}).Open("t", 0, nil)
		bounds, err := c.Bounds(t.Context())
		require.NoError(t, err)
		readTo(t, c, 0, 5)
		require.NoError(t, b.broker.DeleteTopic("t"))
		require.NoError(t, b.broker.CreateTopic("t", 2, nil))
		time.Sleep(15 * time.Second) // the periodic check is before the first new record
		b.write(0, 100, 9)
		_, err = c.Fetch(t.Context(), 5)
		changed, ok := errors.AsType[*kafka.TopicChangedError](err)
		require.True(t, ok, "%v", err)
		require.ErrorAs(t, err, new(*state.OutOfRangeError))
		require.Equal(t, bounds.TopicID, changed.Was)
		require.Equal(t, state.TopicID(b.broker.TopicID("t")), changed.Is)
		again, err := c.Bounds(t.Context())
		require.NoError(t, err)
		require.Equal(t, changed.Is, again.TopicID)
		values, _ := readTo(t, c, again.Start, again.End)
		require.Equal(t, numbers(100, 9), values)
	})
}

// TestR58_ReaderPinsBounds: the topic changes between the bounds and the seek that rests on them.
func TestR58_ReaderPinsBounds(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		b := newBench(t, devbroker.Virtual())
		b.write(0, 0, 5)
		c := b.read(kafka.ReaderConfig{}).Open("t", 0, nil)
		_, err := c.Bounds(t.Context())
		require.NoError(t, err)
		require.NoError(t, b.broker.DeleteTopic("t"))
		require.NoError(t, b.broker.CreateTopic("t", 2, nil))
		time.Sleep(15 * time.Second) // metadata has been refreshed
		b.write(0, 100, 9)
		c.SeekTo(2)
		_, _, err = c.Poll()
		require.ErrorAs(t, err, new(*kafka.TopicChangedError))
	})
}

// TestReaderTopicMissing: confirmed, named, and over when the topic is there.
func TestReaderTopicMissing(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		b := newBench(t, devbroker.Virtual())
		c := b.read(kafka.ReaderConfig{}).Open("late", 0, nil)
		gone := &state.TopicMissingError{Topic: "late"}
		_, err := c.Bounds(t.Context())
		require.Equal(t, error(gone), err)
		c.SeekTo(0)
		time.Sleep(5 * time.Second)
		_, _, err = c.Poll()
		require.Equal(t, error(gone), err)
		require.NoError(t, b.broker.CreateTopic("late", 1, nil))
		require.NoError(t, b.broker.Produce("late", 0, devbroker.Record{Value: []byte("v")}))
		values, _ := readTo(t, c, 0, 1)
		require.Equal(t, []string{"v"}, values)

		narrow := b.read(kafka.ReaderConfig{}).Open("late", 7, nil)
		_, err = narrow.Bounds(t.Context())
		require.ErrorAs(t, err, new(*kafka.Error))
		_, err = b.client.Refresh(t.Context(), "never")
		require.NoError(t, err)
		require.Zero(t, b.broker.TopicID("never"), "a metadata request never creates")
	})
}

// TestBounds: configs, ids and offsets of an empty log, and of one whose start was raised to its end (R10).
func TestR10_Bounds(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		b := newBench(t, devbroker.Virtual())
		require.NoError(t, b.broker.CreateTopic("table", 1, map[string]string{"cleanup.policy": "compact,delete", "delete.retention.ms": "5000"}))
		c := b.client.NewReader(kafka.ReaderConfig{}).Open("table", 0, nil)
		got, err := c.Bounds(t.Context())
		require.NoError(t, err)
		require.NotEmpty(t, got.ClusterID)
		require.Equal(t, state.Bounds{TopicID: b.broker.TopicID("table"), ClusterID: got.ClusterID, LeaderEpoch: got.LeaderEpoch,
			Compacted: true, Deletes: true, DeleteRetention: 5 * time.Second}, got)
		require.NoError(t, b.broker.Produce("table", 0, devbroker.Record{Key: []byte("k")}, devbroker.Record{Key: []byte("k")}))
		require.NoError(t, b.broker.DeleteRecords("table", 0, 2))
		got, err = c.Bounds(t.Context())
		require.NoError(t, err)
		require.Equal(t, [3]int64{2, 2, 2}, [3]int64{got.Start, got.Stable, got.End})
	})
}

// TestReaderBackPressure: a partition that is not polled stops being fetched, the other goes on, and polling it again
// brings everything.
func TestReaderBackPressure(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		b := newBench(t, devbroker.Virtual())
		for i := range 100 {
			require.NoError(t, b.broker.Produce("t", 0, devbroker.Record{Value: make([]byte, 1000)}))
			require.NoError(t, b.broker.Produce("t", 1, devbroker.Record{Value: fmt.Append(nil, i)}))
		}
		r := b.read(kafka.ReaderConfig{Bytes: 40_000})
		c, other := r.Open("t", 0, nil), r.Open("t", 1, nil)
		c.SeekTo(0)
		values, _ := readTo(t, other, 0, 100)
		require.Len(t, values, 100)
		time.Sleep(time.Minute)
		held := 0
		for {
			records, ok, err := c.Poll()
			require.NoError(t, err)
			if !ok {
				break
			}
			held += len(records.Records)
		}
		require.Greater(t, held, 3)
		require.Less(t, held, 15, "bounded")
		values, _ = readTo(t, c, c.Position(), 100)
		require.Len(t, values, 100-held)
	})
}

// TestReaderLargeBatch: a batch far beyond the reader's bytes comes whole, also when it stands behind others.
func TestReaderLargeBatch(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		b := newBench(t, devbroker.Virtual())
		b.write(0, 0, 3)
		require.NoError(t, b.broker.Produce("t", 0, devbroker.Record{Value: make([]byte, 1_000_000)}))
		b.write(1, 0, 500)
		r := b.read(kafka.ReaderConfig{Bytes: 8000})
		c, other := r.Open("t", 0, nil), r.Open("t", 1, nil)
		c.SeekTo(0)
		other.SeekTo(0)
		values, _ := readTo(t, c, 0, 4)
		require.Len(t, values, 4)
		values, _ = readTo(t, other, 0, 500)
		require.Len(t, values, 500)
	})
}

// TestReaderTwoCursors of one partition read independently.
func TestReaderTwoCursors(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		b := newBench(t, devbroker.Virtual())
		b.write(0, 0, 10)
		r := b.read(kafka.ReaderConfig{})
		one, two := r.Open("t", 0, nil), r.Open("t", 0, nil)
		one.SeekTo(0)
		two.SeekTo(5)
		values, _ := readTo(t, one, 0, 10)
		require.Equal(t, numbers(0, 10), values)
		values, _ = readTo(t, two, 5, 10)
		require.Equal(t, numbers(5, 5), values)
		one.Close()
		b.write(0, 10, 2)
		values, _ = readTo(t, two, 10, 12)
		require.Equal(t, numbers(10, 2), values)
	})
}

// TestReaderFetchEnds: ctx ends a waiting Fetch and Bounds at once, with its cause.
func TestReaderFetchEnds(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		b := newBench(t, devbroker.Virtual())
		c := b.read(kafka.ReaderConfig{MaxWait: time.Hour}).Open("t", 0, nil)
		why := errors.New("enough")
		ctx, cancel := context.WithTimeoutCause(t.Context(), 100*time.Millisecond, why)
		defer cancel()
		_, err := c.Fetch(ctx, 0)
		require.ErrorIs(t, err, why)
		b.broker.Stop()
		ctx, cancel = context.WithTimeoutCause(t.Context(), 5*time.Second, why)
		defer cancel()
		_, err = c.Bounds(ctx)
		require.ErrorIs(t, err, why)
		require.ErrorAs(t, err, new(*kafka.UnreachableError))
	})
}
