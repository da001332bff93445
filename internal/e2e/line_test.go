//go:build kafka

package e2e_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"sync"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/tarnstream/tarn/processor"
)

// line is the network of one process. A test can cut it, and hold what goes over it: the rest of a long log, one request,
// or one answer.
type line struct {
	most int64 // bytes a connection brings before it waits for the rest; 0 is no bound
	rest *held

	mu    sync.Mutex
	next  *held // nil: nothing is to be held
	conns map[*lineConn]bool
	down  bool
}

// held is what a line holds until it is released.
type held struct {
	kind    kmsg.Key
	answer  bool          // the broker has done the work, and its answer is held
	arrived chan struct{} // closed once it is held
	going   chan struct{} // closed by release
	comes   sync.Once
	goes    sync.Once

	// Of a request that has arrived:
	frame  []byte
	broker string
}

func newHeld() *held { return &held{arrived: make(chan struct{}), going: make(chan struct{})} }

// release lets it go on. It may be called again.
func (h *held) release() { h.goes.Do(func() { close(h.going) }) }

// wait holds until it is released, or its connection is closed.
func (h *held) wait(c *lineConn) {
	h.comes.Do(func() { close(h.arrived) })
	select {
	case <-h.going:
	case <-c.closed:
	}
}

// holdAfter gives a line whose connections wait after so many bytes, as one that has become slow: what heartbeats and
// commits need passes.
func holdAfter(most int64) *line {
	return &line{most: most, rest: newHeld(), conns: map[*lineConn]bool{}}
}

func newLine() *line { return holdAfter(0) }

// hold keeps the next request of a kind from its broker.
func (l *line) hold(kind kmsg.Key) *held { return l.holdNext(kind, false) }

// holdAnswer keeps the answer to the next request of a kind.
func (l *line) holdAnswer(kind kmsg.Key) *held { return l.holdNext(kind, true) }

func (l *line) holdNext(kind kmsg.Key, answer bool) *held {
	h := newHeld()
	h.kind, h.answer = kind, answer
	l.mu.Lock()
	defer l.mu.Unlock()
	l.next = h
	return h
}

// cut ends all connections, and none can be made until mend.
func (l *line) cut() {
	l.mu.Lock()
	l.down = true
	open := l.conns
	l.conns = map[*lineConn]bool{}
	l.mu.Unlock()
	for c := range open {
		_ = c.Close()
	}
}

func (l *line) mend() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.down = false
}

func (l *line) option() processor.Option {
	return processor.Dial(func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := (&net.Dialer{}).DialContext(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		c := &lineConn{Conn: conn, line: l, broker: addr, closed: make(chan struct{})}
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.down {
			return nil, errors.Join(errors.New("the line is cut"), conn.Close())
		}
		l.conns[c] = true
		return c, nil
	})
}

// meets gives what a request is to be held as, nil for none. A write of the client's is one request.
func (l *line) meets(frame []byte) *held {
	l.mu.Lock()
	defer l.mu.Unlock()
	h := l.next
	if h == nil || len(frame) < 12 || kmsg.Key(binary.BigEndian.Uint16(frame[4:])) != h.kind {
		return nil
	}
	l.next = nil
	return h
}

type lineConn struct {
	net.Conn
	line   *line
	broker string
	closed chan struct{}
	closes sync.Once

	mu     sync.Mutex
	answer *held // whose answer is to be held

	read int64
	have bytes.Reader // what is left of the answer that was read last
}

func (c *lineConn) Close() error {
	c.closes.Do(func() { close(c.closed) })
	c.line.mu.Lock()
	delete(c.line.conns, c)
	c.line.mu.Unlock()
	return c.Conn.Close()
}

func (c *lineConn) Write(p []byte) (int, error) {
	if h := c.line.meets(p); h != nil {
		h.frame, h.broker = bytes.Clone(p), c.broker
		if h.answer {
			c.mu.Lock()
			c.answer = h
			c.mu.Unlock()
		} else {
			h.wait(c)
		}
	}
	return c.Conn.Write(p)
}

func (c *lineConn) Read(p []byte) (int, error) {
	if c.have.Len() == 0 {
		if c.line.most > 0 && c.read > c.line.most {
			c.line.rest.wait(c)
		}
		frame, err := readFrame(c.Conn)
		if err != nil {
			return 0, err
		}
		if h := c.awaits(frame); h != nil {
			h.wait(c)
		}
		c.read += int64(len(frame))
		c.have.Reset(frame)
	}
	return c.have.Read(p)
}

// awaits gives what an answer is to be held as: the correlation ids are the same.
func (c *lineConn) awaits(frame []byte) *held {
	c.mu.Lock()
	defer c.mu.Unlock()
	h := c.answer
	if h == nil || !bytes.Equal(frame[4:8], h.frame[8:12]) {
		return nil
	}
	c.answer = nil
	return h
}

// readFrame reads a request or an answer with the size before it.
func readFrame(r io.Reader) ([]byte, error) {
	frame := make([]byte, 4)
	if _, err := io.ReadFull(r, frame); err != nil {
		return nil, err
	}
	frame = append(frame, make([]byte, binary.BigEndian.Uint32(frame))...)
	_, err := io.ReadFull(r, frame[4:])
	return frame, err
}

// arrivesLate sends the Produce request that was held to its broker, and gives what that says to it.
func (h *held) arrivesLate(s *site) *kmsg.ProduceResponse {
	s.Helper()
	conn, err := (&net.Dialer{}).DialContext(s.Context(), "tcp", h.broker)
	require.NoError(s, err)
	defer conn.Close()
	_, err = conn.Write(h.frame)
	require.NoError(s, err)
	frame, err := readFrame(conn)
	require.NoError(s, err)
	answer := kmsg.NewPtrProduceResponse()
	answer.SetVersion(int16(binary.BigEndian.Uint16(h.frame[6:])))
	body := frame[8:]
	if answer.IsFlexible() {
		body = body[1:] // the header's tags, of which there are none
	}
	require.NoError(s, answer.ReadFrom(body))
	return answer
}
