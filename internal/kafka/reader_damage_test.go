package kafka_test

import (
	"bytes"
	"context"
	"log/slog"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tarnstream/tarn/devbroker"
	"github.com/tarnstream/tarn/internal/kafka"
)

// spoiledConn changes what comes from the broker wherever it holds the mark: a checksum does not fit any more.
type spoiledConn struct {
	net.Conn
	on *atomic.Bool
}

const mark = "damaged-on-the-way"

func (c *spoiledConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if i := bytes.Index(p[:n], []byte(mark)); i >= 0 && c.on.Load() {
		p[i] = 'X'
	}
	return n, err
}

// TestR56_ReaderDamage: one partition's batch is damaged. The others' records arrive, the damaged partition is named
// with its position, and once the damage is gone a seek goes on.
func TestR56_ReaderDamage(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		b := newBench(t, devbroker.Virtual())
		var on atomic.Bool
		on.Store(true)
		client, err := kafka.NewClient(kafka.Config{Brokers: b.broker.Addrs(), Logger: slog.New(slog.DiscardHandler),
			Dial: func(ctx context.Context, network, addr string) (net.Conn, error) {
				c, err := b.broker.Dialer().DialContext(ctx, network, addr)
				return &spoiledConn{c, &on}, err
			}})
		require.NoError(t, err)
		t.Cleanup(client.Close)
		b.client = client
		b.write(0, 0, 3)
		require.NoError(t, b.broker.Produce("t", 0, devbroker.Record{Value: []byte(mark)}))
		b.write(1, 0, 3)

		r := b.read(kafka.ReaderConfig{})
		bad, good := r.Open("t", 0, nil), r.Open("t", 1, nil)
		bad.SeekTo(3)
		good.SeekTo(0)
		time.Sleep(5 * time.Second)
		_, _, err = bad.Poll()
		var batch *kafka.BatchError
		require.ErrorAs(t, err, &batch)
		require.Equal(t, [2]int64{0, 3}, [2]int64{int64(batch.Partition), batch.Position})
		values, _ := readTo(t, good, 0, 3)
		require.Equal(t, numbers(0, 3), values)

		on.Store(false)
		values, _ = readTo(t, bad, 3, 4)
		require.Equal(t, []string{mark}, values)
	})
}
