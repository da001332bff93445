package devbroker

import (
	"encoding/binary"
	"io"
	"net"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// What is no client of Kafka's begins with bytes that are a size of hundreds of megabytes. The broker hangs up on it before
// it makes room for that.
func TestOtherProtocolsAreHungUpOn(t *testing.T) {
	b := start(t)
	for name, begin := range map[string]string{
		"tls":  "\x16\x03\x01\x02\x00\x01",
		"http": "GET / HTTP/1.1\r\n\r\n",
		"size": string(binary.BigEndian.AppendUint32(nil, maxRequest+1)),
	} {
		t.Run(name, func(t *testing.T) {
			c, err := net.Dial("tcp", b.Addrs()[0])
			require.NoError(t, err)
			defer c.Close()
			require.NoError(t, c.SetDeadline(time.Now().Add(time.Minute)))
			_, err = io.WriteString(c, begin)
			require.NoError(t, err)
			_, err = c.Read(make([]byte, 1))
			require.Error(t, err)
			require.NotErrorIs(t, err, os.ErrDeadlineExceeded, "still connected")
		})
	}
}

// The size of a request may come in pieces, and a request right behind another.
func TestFramedReads(t *testing.T) {
	client, server := net.Pipe()
	defer client.Close()
	defer server.Close()
	f := &framed{Conn: server}
	sent := "\x00\x00\x00\x03abc\x00\x00\x00\x00\x00\x00\x00\x01d"
	go func() {
		for _, part := range []string{sent[:2], sent[2:5], sent[5:]} {
			_, _ = io.WriteString(client, part)
		}
	}()
	for _, want := range []string{"\x00\x00\x00\x03", "abc", "\x00\x00\x00\x00", "", "\x00\x00\x00\x01", "d"} {
		got := make([]byte, len(want))
		_, err := io.ReadFull(f, got)
		require.NoError(t, err)
		require.Equal(t, want, string(got))
	}
	go func() { _, _ = io.WriteString(client, "\x06\x40\x00\x01") }()
	n, err := io.ReadFull(f, make([]byte, 4))
	require.Error(t, err)
	require.Less(t, n, 4)
	_, err = client.Write([]byte("e"))
	require.ErrorIs(t, err, io.ErrClosedPipe)
}
