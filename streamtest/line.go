package streamtest

import (
	"context"
	"io"
	"net"
	"sync"
	"testing/synctest"
	"time"

	"github.com/tarnstream/tarn/internal/task"
)

type dialFunc = func(ctx context.Context, network, addr string) (net.Conn, error)

// line is an instance's network, which can be cut, and can stand still.
type line struct {
	through dialFunc

	mu    sync.Mutex
	isCut bool
	still bool
	wires []*wire
}

func newLine(through dialFunc) *line { return &line{through: through} }

func (l *line) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.isCut || l.still { // to wait would keep virtual time from passing: who dials holds a mutex
		return nil, &net.OpError{Op: "dial", Net: network, Err: net.ErrClosed}
	}
	c, err := l.through(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	w := &wire{Conn: c}
	l.wires = append(l.wires, w)
	return w, nil
}

// take empties the line.
func (l *line) take() []*wire {
	wires := l.wires
	l.wires = nil
	return wires
}

func (l *line) cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.isCut = true
	for _, w := range l.take() {
		w.end()
	}
	l.still = false
}

func (l *line) mend() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.isCut = false
}

// halt has the line stand still.
func (l *line) halt() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.still = true
	for _, w := range l.wires {
		w.halt()
	}
}

// deliver ends a halt: what was sent meanwhile arrives, and the connections that were halted end.
func (l *line) deliver() {
	l.mu.Lock()
	wires := l.take()
	l.still = false
	l.mu.Unlock()
	late := task.New(context.Background())
	for _, w := range wires {
		w.deliver(late)
	}
	synctest.Wait()
	for _, w := range wires {
		w.end()
	}
	_ = late.Wait() // they end with their connections
}

// wire is one connection. While it is halted, what is written is kept as if it were on its way, and nothing arrives.
type wire struct {
	net.Conn

	mu     sync.Mutex
	writes int
	halted bool
	kept   []byte
}

func (w *wire) isHalted() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.halted
}

// halt ends a connection that is just being made: who makes it holds a mutex, and nothing may wait for that in virtual time.
func (w *wire) halt() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.halted = w.writes > 1; !w.halted {
		w.end()
	}
}

// Read loses what comes over a halted connection: nobody reads on behind a gap, since the connection ends with the halt.
func (w *wire) Read(p []byte) (int, error) {
	for {
		n, err := w.Conn.Read(p)
		if err != nil || !w.isHalted() {
			return n, err
		}
	}
}

func (w *wire) Write(p []byte) (int, error) {
	w.mu.Lock()
	w.writes++
	if w.halted {
		defer w.mu.Unlock()
		w.kept = append(w.kept, p...)
		return len(p), nil
	}
	w.mu.Unlock()
	return w.Conn.Write(p)
}

// Close of a halted connection is on its way behind what was written before; who reads it learns at once.
func (w *wire) Close() error {
	if w.isHalted() {
		return w.Conn.SetReadDeadline(time.Unix(1, 0))
	}
	return w.Conn.Close()
}

func (w *wire) end() { _ = w.Conn.Close() }

// deliver sends what was kept, and passes over the answers.
func (w *wire) deliver(late *task.Group) {
	w.mu.Lock()
	kept := w.kept
	w.kept = nil
	w.mu.Unlock()
	_ = w.SetDeadline(time.Time{}) // fails for a connection that the broker has closed, on which nothing can be sent either
	late.Go("answers that come too late", func(context.Context) error {
		_, _ = io.Copy(io.Discard, w.Conn) // until the connection ends
		return nil
	})
	late.Go("requests that come too late", func(context.Context) error {
		_, _ = w.Conn.Write(kept) // the broker may have had enough of the connection
		return nil
	})
}
