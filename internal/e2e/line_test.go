//go:build kafka

package e2e_test

import (
	"context"
	"net"
	"sync"

	"github.com/tarnstream/tarn/processor"
)

// line is a network that a test can hold: a connection over which much has come waits, as one that has become slow. What
// heartbeats and commits need passes.
type line struct {
	most    int64         // bytes a connection brings before it waits
	waiting chan struct{} // closed when one waits
	going   chan struct{} // closed by release
	waited  sync.Once
	went    sync.Once
}

func holdAfter(most int64) *line {
	return &line{most: most, waiting: make(chan struct{}), going: make(chan struct{})}
}

// release lets all go on. It may be called again.
func (l *line) release() { l.went.Do(func() { close(l.going) }) }

func (l *line) option() processor.Option {
	return processor.Dial(func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := (&net.Dialer{}).DialContext(ctx, network, addr)
		return &heldConn{Conn: conn, line: l}, err
	})
}

type heldConn struct {
	net.Conn
	line *line
	read int64
}

func (c *heldConn) Read(p []byte) (int, error) {
	if c.read > c.line.most {
		c.line.waited.Do(func() { close(c.line.waiting) })
		<-c.line.going
	}
	n, err := c.Conn.Read(p)
	c.read += int64(n)
	return n, err
}
