package kafka

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/IBM/sarama"
)

// Purpose separates connections to one broker that must not wait for each other.
type Purpose string

// The purposes. Requests of one purpose to one broker are answered one after the other.
const (
	ForMetadata Purpose = "metadata"
	ForAdmin    Purpose = "admin"
	ForFetch    Purpose = "fetch"
	ForOffsets  Purpose = "offsets" // ListOffsets
	ForProduce  Purpose = "produce"
	ForJoin     Purpose = "join" // join, sync and heartbeat
	ForCommit   Purpose = "commit"
)

// use is what a connection is for.
type use struct {
	purpose Purpose
	// owner separates the connections of readers, producers and members that share a Client; nil is shared by all.
	owner any
}

type connKey struct {
	addr string
	use
}

// conn is one connection. sem is its lock: a channel, so that waiting for it ends with a context
// and lets virtual time pass, which a mutex does not.
type conn struct {
	client *Client
	key    connKey
	sem    chan struct{}
	broker *sarama.Broker
	wire   atomic.Pointer[wire] // set while a socket may be open
	login  time.Time            // when sarama looked last whether it has to log in again
}

// do calls fn with the open broker. No other call uses it meanwhile. When ctx ends the socket is closed under the
// request, so that do returns at once; fn's answer is then an error. After a transport error the connection is
// opened afresh by the next call.
func (c *conn) do(ctx context.Context, fn func(*sarama.Broker) error) error {
	select {
	case c.sem <- struct{}{}:
		defer func() { <-c.sem }()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	fresh := c.broker == nil
	if err := c.open(ctx); err != nil {
		return fmt.Errorf("kafka: connect to %s: %w", c.key.addr, err)
	}
	stop := context.AfterFunc(ctx, c.wire.Load().close)
	err := fn(c.broker)
	if !stop() { // the socket is gone, whatever the answer was
		c.discard()
		if err != nil {
			return fmt.Errorf("kafka: no answer from %s: %w", c.key.addr, context.Cause(ctx))
		}
		return nil
	}
	if fresh && hungUp(err) {
		err = explain(err, c.client.conf, c.wire.Load().speaksTLS.Load())
	}
	var code sarama.KError
	if err != nil && !errors.As(err, &code) {
		c.discard()
	}
	return err
}

// within is do, for as long at most as the purpose has patience.
func (c *conn) within(ctx context.Context, fn func(*sarama.Broker) error) error {
	if limit := c.key.purpose.patience(); limit > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, limit)
		defer cancel()
	}
	return c.do(ctx, fn)
}

// pipe is do for requests whose answers come later: fn returns when its request is written, and the next may follow. fn
// hands what it is given on to whoever reads the answer: to be called when that is an error, after which the connection is
// of no more use. pipe's error is fn's or that of the connection; the end of ctx alone, once the request is written, is none.
func (c *conn) pipe(ctx context.Context, fn func(b *sarama.Broker, cut func()) error) error {
	select {
	case c.sem <- struct{}{}:
		defer func() { <-c.sem }()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	if c.broker != nil && c.wire.Load().isClosed() {
		c.discard()
	}
	if err := c.open(ctx); err != nil {
		return fmt.Errorf("kafka: connect to %s: %w", c.key.addr, err)
	}
	w := c.wire.Load()
	stop := context.AfterFunc(ctx, w.close)
	err := fn(c.broker, w.close)
	stop()
	if err != nil {
		c.discard()
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
	}
	return err
}

func (c *conn) open(ctx context.Context) error {
	if c.broker != nil {
		return nil
	}
	dialing, cancel := context.WithCancel(ctx)
	defer cancel()
	w := &wire{cancel: cancel}
	c.wire.Store(w)
	if c.client.isClosed() { // asked after the wire can be seen, so that either Close closes it or we see Close
		w.close()
		return ErrClosed
	}
	if err := w.connect(dialing, c); err != nil {
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return explain(err, c.client.conf, false)
	}
	conf := *c.client.conf
	conf.Net.Proxy.Enable, conf.Net.Proxy.Dialer = true, w
	if conf.Net.TLS.Enable {
		w.tls, w.handshake = w.watchTLS(conf.Net.TLS.Config, c.key.addr), conf.Net.ReadTimeout
		conf.Net.TLS.Enable, conf.Net.TLS.Config = false, nil
	}
	if c.key.purpose == ForJoin { // a join waits for the other members; Membership bounds each request by its context
		conf.Net.ReadTimeout = 24 * time.Hour
	}
	conf.Net.MaxOpenRequests = max(conf.Net.MaxOpenRequests, maxRequests)
	b := sarama.NewBroker(c.key.addr)
	stop := context.AfterFunc(ctx, w.close)
	defer stop()
	if err := b.Open(&conf); err != nil {
		return err
	}
	if ok, err := b.Connected(); err != nil || !ok {
		if err == nil {
			err = sarama.ErrNotConnected
		}
		w.close()
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return explain(err, c.client.conf, w.speaksTLS.Load())
	}
	c.broker, c.login = b, time.Now()
	if err := c.client.checkVersions(c.key.addr, b); err != nil {
		err = explain(err, c.client.conf, w.speaksTLS.Load())
		c.discard()
		if ctx.Err() != nil { // what the closed socket says is no news
			err = context.Cause(ctx)
		}
		return err
	}
	return nil
}

// loginEvery is how often a connection that sarama has no part in is shown to it: it logs in again, some time before its login is over, with
// a request of its own (KIP-368).
const loginEvery = time.Second

func (c *conn) renew(b *sarama.Broker) error {
	if !c.client.conf.Net.SASL.Enable || time.Since(c.login) < loginEvery {
		return nil
	}
	_, err := b.ApiVersions(&sarama.ApiVersionsRequest{})
	c.login = time.Now()
	return err
}

// explain adds what the user can do about an error at the start of a connection. speaksTLS: the port has shown that it does.
func explain(err error, conf *sarama.Config, speaksTLS bool) error {
	var record tls.RecordHeaderError
	ended := errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
	closed := hungUp(err)
	useTLS, sasl := conf.Net.TLS.Enable, conf.Net.SASL.Enable
	switch {
	case errors.As(err, &record):
		return fmt.Errorf("the port does not speak TLS: %w", err)
	case useTLS && !speaksTLS && (ended || closed):
		return fmt.Errorf("no end to the TLS or SASL handshake, the port may not speak TLS: %w", err)
	case sasl && errors.Is(err, sarama.ErrSASLAuthenticationFailed):
		return fmt.Errorf("SASL %s refused user %q: %w", conf.Net.SASL.Mechanism, conf.Net.SASL.User, err)
	case sasl && closed:
		return fmt.Errorf("the broker closed the connection, it may have refused SASL %s of user %q: %w", conf.Net.SASL.Mechanism, conf.Net.SASL.User, err)
	case closed && useTLS:
		return fmt.Errorf("the broker closed the connection, it may ask for SASL: %w", err)
	case closed:
		return fmt.Errorf("the broker closed the connection, it may ask for TLS or SASL: %w", err)
	}
	return err
}

// hungUp tells that the other side has ended the connection. A port that expects TLS does it in any of these ways: it may
// send an alert first, or leave bytes of ours unread.
func hungUp(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

// discard drops the connection; the next use opens another.
func (c *conn) discard() {
	if c.broker == nil {
		return
	}
	c.wire.Load().close()
	_ = c.broker.Close() // the socket is closed: only sarama's own goroutine is waited for
	c.broker = nil
}

// wire is the dialer handed to sarama. It dials before sarama does, which would hold a mutex meanwhile that no context ends
// and that stalls virtual time; it remembers the socket, because sarama's own Close waits for answers; and it speaks TLS, so that
// a Fetch need not go through sarama.
type wire struct {
	cancel    context.CancelFunc // of the dial under way
	tls       *tls.Config        // nil without
	handshake time.Duration      // what it may take at most
	speaksTLS atomic.Bool        // the other side's certificate was found good

	asked  int32         // id of the last request that sarama had no part in
	reader *bufio.Reader // of their answers

	mu     sync.Mutex
	socket net.Conn
	spoken net.Conn // what sarama has: the socket, or TLS over it
	closed bool
}

// connect dials, until ctx ends or close is called, for Net.DialTimeout at most: the user's own dialer may have no end of
// its own. Whatever that one says, but of a wrong certificate, may be over the next time, which is what a net.Error stands for.
func (w *wire) connect(ctx context.Context, c *conn) error {
	ctx, cancel := context.WithTimeout(ctx, c.client.conf.Net.DialTimeout)
	defer cancel()
	s, err := c.client.dial(ctx, "tcp", c.key.addr)
	if err != nil {
		if known, wrong := net.Error(nil), new(tls.CertificateVerificationError); errors.As(err, &known) || errors.As(err, &wrong) {
			return err
		}
		return &net.OpError{Op: "dial", Net: "tcp", Err: err}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		_ = s.Close()
		return net.ErrClosed
	}
	w.socket = s
	return nil
}

// watchTLS notes when the port turns out to speak TLS. (sarama forgets its own state of a connection that is closed.)
func (w *wire) watchTLS(user *tls.Config, addr string) *tls.Config {
	conf := user.Clone()
	if conf == nil {
		conf = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	if conf.ServerName == "" {
		conf.ServerName, _, _ = net.SplitHostPort(addr)
	}
	check := conf.VerifyConnection
	conf.VerifyConnection = func(s tls.ConnectionState) error {
		w.speaksTLS.Store(true)
		if check != nil {
			return check(s)
		}
		return nil
	}
	return conf
}

// Dial implements proxy.Dialer: it gives what connect has opened.
func (w *wire) Dial(string, string) (net.Conn, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return nil, net.ErrClosed
	}
	w.spoken = w.socket
	if w.tls != nil { // sarama sets a deadline of its own with each read, but none for the handshake
		w.spoken = tls.Client(w.socket, w.tls)
		return w.spoken, w.socket.SetReadDeadline(time.Now().Add(w.handshake))
	}
	return w.spoken, nil
}

// stream is what sarama speaks over.
func (w *wire) stream() net.Conn {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.spoken
}

func (w *wire) close() {
	w.cancel()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closed = true
	if w.socket != nil {
		_ = w.socket.Close()
	}
}

func (w *wire) isClosed() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.closed
}
