package devbroker

import (
	"context"
	"crypto/tls"
	"fmt"
	"maps"
	"net"
	"slices"
	"strconv"
	"sync"
	"syscall"

	"github.com/tarnstream/tarn/internal/task"
)

// A gate is the way into one node: it owns the node's address, so that the node can go away and come back, and be
// replaced by another incarnation, while clients know one address only. It may stand on a real listener or, in a
// virtual network, on none; the broker's own connections come in beside both, without TLS, shut or not.
type gate struct {
	addr  *net.TCPAddr
	tls   *tls.Config
	real  bool
	tasks *task.Group
	conns chan net.Conn

	mu   sync.Mutex
	open bool
	ln   net.Listener // nil while shut, and in a virtual network
	live map[net.Conn]struct{}
}

func newGate(port int, real bool, t *tls.Config, tasks *task.Group) *gate {
	return &gate{
		addr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: port}, tls: t, real: real, tasks: tasks,
		conns: make(chan net.Conn), live: make(map[net.Conn]struct{}),
	}
}

// up lets clients in. The first time it may choose the port.
func (g *gate) up() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.open {
		return nil
	}
	if g.real {
		ln, err := net.Listen("tcp", g.addr.String())
		if err != nil {
			return fmt.Errorf("devbroker: listen: %w", err)
		}
		g.ln = ln
		if g.addr.Port == 0 {
			g.addr = ln.Addr().(*net.TCPAddr)
		}
		g.tasks.Go("accept "+g.addr.String(), func(ctx context.Context) error { return g.accept(ctx, ln) })
	}
	g.open = true
	return nil
}

// down refuses clients from now on and cuts those that are connected.
func (g *gate) down() {
	g.mu.Lock()
	ln := g.ln
	g.open, g.ln = false, nil
	g.mu.Unlock()
	if ln != nil {
		ln.Close()
	}
	g.cut()
}

// cut breaks the clients' connections.
func (g *gate) cut() {
	g.mu.Lock()
	live := slices.Collect(maps.Keys(g.live))
	g.mu.Unlock()
	for _, c := range live {
		c.Close() // takes the lock itself
	}
}

func (g *gate) accept(ctx context.Context, ln net.Listener) error {
	for {
		c, err := ln.Accept()
		if err != nil {
			return nil // closed by down
		}
		g.admit(ctx, c)
	}
}

// admit hands a client's connection to the node that now listens.
func (g *gate) admit(ctx context.Context, c net.Conn) error {
	t := &tracked{Conn: c, gate: g}
	g.mu.Lock()
	if !g.open {
		g.mu.Unlock()
		c.Close()
		return g.refused()
	}
	g.live[t] = struct{}{}
	g.mu.Unlock()
	var conn net.Conn = t
	if g.tls != nil {
		conn = tls.Server(t, g.tls)
	}
	return g.give(ctx, &framed{Conn: conn})
}

func (g *gate) give(ctx context.Context, c net.Conn) error {
	select {
	case g.conns <- c:
		return nil
	case <-ctx.Done():
	case <-g.tasks.Context().Done():
	}
	c.Close()
	return g.refused()
}

// dial connects a client of the virtual network.
func (g *gate) dial(ctx context.Context) (net.Conn, error) {
	client, server := net.Pipe()
	if err := g.admit(ctx, server); err != nil {
		return nil, err
	}
	return client, nil
}

// inner connects the broker to itself.
func (g *gate) inner(ctx context.Context) (net.Conn, error) {
	client, server := net.Pipe()
	if err := g.give(ctx, server); err != nil {
		return nil, err
	}
	return client, nil
}

func (g *gate) refused() error {
	return &net.OpError{Op: "dial", Net: "tcp", Addr: g.addr, Err: syscall.ECONNREFUSED}
}

// tracked is a client's connection that the gate can cut.
type tracked struct {
	net.Conn
	gate *gate
}

func (t *tracked) Close() error {
	t.gate.mu.Lock()
	delete(t.gate.live, t)
	t.gate.mu.Unlock()
	return t.Conn.Close()
}

// An entrance is the listener of one incarnation of a node; closing it leaves the gate.
type entrance struct {
	gate   *gate
	closed chan struct{}
	once   sync.Once
}

func (e *entrance) Accept() (net.Conn, error) {
	select {
	case c := <-e.gate.conns:
		return c, nil
	case <-e.closed:
		return nil, net.ErrClosed
	}
}

func (e *entrance) Close() error {
	e.once.Do(func() { close(e.closed) })
	return nil
}

func (e *entrance) Addr() net.Addr { return e.gate.addr }

// A Dialer connects to a broker's nodes by the addresses that it advertises. It has the methods of
// golang.org/x/net/proxy's Dialer and ContextDialer.
type Dialer struct{ b *Broker }

// Dial connects to addr.
func (d *Dialer) Dial(network, addr string) (net.Conn, error) {
	return d.DialContext(context.Background(), network, addr)
}

// DialContext connects to addr, giving up when ctx ends.
func (d *Dialer) DialContext(ctx context.Context, network, addr string) (net.Conn, error) {
	if !d.b.cfg.virtual {
		var real net.Dialer
		return real.DialContext(ctx, network, addr)
	}
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, fmt.Errorf("devbroker: dial: %w", err)
	}
	for _, g := range d.b.gates {
		if strconv.Itoa(g.addr.Port) == port {
			return g.dial(ctx)
		}
	}
	return nil, &net.OpError{Op: "dial", Net: network, Err: syscall.ECONNREFUSED}
}
