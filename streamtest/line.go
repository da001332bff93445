package streamtest

import (
	"context"
	"net"
	"sync"
)

type dialFunc = func(ctx context.Context, network, addr string) (net.Conn, error)

// line is an instance's network, which can be cut.
type line struct {
	through dialFunc

	mu    sync.Mutex
	isCut bool
	conns []net.Conn
}

func newLine(through dialFunc) *line { return &line{through: through} }

func (l *line) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.isCut {
		return nil, &net.OpError{Op: "dial", Net: network, Err: net.ErrClosed}
	}
	c, err := l.through(ctx, network, addr)
	if err == nil {
		l.conns = append(l.conns, c)
	}
	return c, err
}

func (l *line) cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.isCut = true
	for _, c := range l.conns {
		_ = c.Close()
	}
	l.conns = nil
}

func (l *line) mend() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.isCut = false
}
