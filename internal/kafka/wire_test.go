package kafka

import (
	"errors"
	"net"
	"time"

	"github.com/IBM/sarama"
)

// countingConn is a connection that counts what is written and answers nothing: what sarama puts on the wire.
type countingConn struct {
	n    int
	sent []byte
	keep bool // what is written, in sent
}

func (c *countingConn) Read([]byte) (int, error) { return 0, errCounted }
func (c *countingConn) Write(b []byte) (int, error) {
	if c.n += len(b); c.keep {
		c.sent = append(c.sent, b...)
	}
	return len(b), nil
}
func (c *countingConn) Close() error                     { return nil }
func (c *countingConn) LocalAddr() net.Addr              { return &net.TCPAddr{} }
func (c *countingConn) RemoteAddr() net.Addr             { return &net.TCPAddr{} }
func (c *countingConn) SetDeadline(time.Time) error      { return nil }
func (c *countingConn) SetReadDeadline(time.Time) error  { return nil }
func (c *countingConn) SetWriteDeadline(time.Time) error { return nil }

// Dial implements proxy.Dialer.
func (c *countingConn) Dial(string, string) (net.Conn, error) { return c, nil }

// open gives sarama's end of the connection.
func (c *countingConn) open() (*sarama.Broker, error) {
	conf := sarama.NewConfig()
	conf.Version = minVersion
	conf.ApiVersionsRequest = false
	conf.MetricRegistry = nilRegistry{}
	conf.Net.Proxy.Enable, conf.Net.Proxy.Dialer = true, c
	b := sarama.NewBroker("nowhere:1")
	return b, b.Open(conf)
}

// measureOn sends a request; that no answer comes is no error.
func measureOn(b *sarama.Broker, req *sarama.ProduceRequest) error {
	if _, err := b.Produce(req); !errors.Is(err, errCounted) {
		return err
	}
	return nil
}

// measure sends one request on a connection of its own.
func (c *countingConn) measure(req *sarama.ProduceRequest) error {
	b, err := c.open()
	if err != nil {
		return err
	}
	defer func() { _ = b.Close() }()
	return measureOn(b, req)
}
