package devbroker

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"

	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/tarnstream/tarn/internal/task"
)

// ErrClosed is what methods answer after Close. Start another broker.
var ErrClosed = errors.New("devbroker: closed")

var errHalted = errors.New("devbroker: down between two incarnations")

// A Broker is one running cluster of one or more nodes. Its methods may be called from any goroutine.
type Broker struct {
	cfg      config
	secret   string // password of the broker's own user, where SASL is on
	lock     *dirLock
	tasks    *task.Group
	gates    []*gate // by node
	rules    rules
	hollow   hollow
	sessions sessions

	// failed is the last error the cluster logged: its Close has no other way to tell that it could not save.
	failed atomic.Pointer[string]

	mu      sync.RWMutex // held for reading while the cluster is asked something: it does not answer once closed
	cluster *kfake.Cluster
	life    *life
	halted  bool // the cluster is closed and another has not taken its place: Reload
	closed  bool
}

// Start starts a broker and returns when it takes connections. A taken port, a folder that cannot be written and a
// folder that another broker uses (*InUseError) are errors.
func Start(opts ...Option) (*Broker, error) {
	cfg, err := newConfig(opts)
	if err != nil {
		return nil, err
	}
	b := &Broker{cfg: cfg, secret: rand.Text(), tasks: task.New(context.Background())}
	if err := b.start(); err != nil {
		b.Close()
		return nil, err
	}
	return b, nil
}

func (b *Broker) start() error {
	if b.cfg.dir != "" {
		lock, err := lockDir(b.cfg.dir)
		if err != nil {
			return err
		}
		b.lock = lock
	}
	for node := range b.cfg.nodes {
		g := newGate(b.portOf(node), !b.cfg.virtual, b.cfg.tls, b.tasks)
		b.gates = append(b.gates, g)
		if err := g.up(); err != nil {
			return err
		}
	}
	return b.boot()
}

func (b *Broker) portOf(node int) int {
	switch {
	case b.cfg.port != 0:
		return b.cfg.port + node
	case b.cfg.virtual:
		return 9092 + node
	}
	return 0
}

// boot makes an incarnation of the cluster behind the gates.
func (b *Broker) boot() error {
	if b.cfg.dir != "" {
		// Users come from the options alone; a saved one would win over them.
		if err := os.Remove(filepath.Join(b.cfg.dir, "sasl.json")); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("devbroker: %w", err)
		}
		if err := keepEmptied(b.cfg.dir); err != nil {
			return fmt.Errorf("devbroker: %w", err)
		}
	}
	cuts, err := b.cutOff()
	if err != nil {
		return fmt.Errorf("devbroker: %w", err)
	}
	c, err := kfake.NewCluster(b.clusterOptions()...)
	if err != nil {
		return fmt.Errorf("devbroker: %w", err)
	}
	b.mu.Lock()
	if b.closed {
		b.mu.Unlock()
		c.Close()
		return ErrClosed
	}
	b.cluster, b.life, b.halted = c, newLife(), false
	b.mu.Unlock()
	for _, r := range []Request{JoinGroup, SyncGroup, Heartbeat} {
		b.rules.add(r)
	}
	b.rules.reinstall(b.install)
	return b.abort(cuts)
}

func (b *Broker) clusterOptions() []kfake.Opt {
	var ports []int
	for _, g := range b.gates {
		ports = append(ports, g.addr.Port)
	}
	configs := map[string]string{}
	opts := []kfake.Opt{
		kfake.Ports(ports...), kfake.ListenFn(b.listen), kfake.ClusterID("tarn-devbroker"),
		kfake.WithLogger(&clusterLog{b}), kfake.DefaultNumPartitions(1),
	}
	if b.cfg.dir != "" {
		opts = append(opts, kfake.DataDir(b.cfg.dir))
		if !b.cfg.relaxed {
			opts = append(opts, kfake.SyncWrites())
		}
	}
	if b.cfg.virtual {
		configs["log.cleaner.backoff.ms"] = "3000000000000" // a test compacts when it says so
	}
	if b.cfg.maxMessage > 0 {
		configs["message.max.bytes"] = strconv.Itoa(b.cfg.maxMessage)
	}
	if b.cfg.minSession > 0 {
		opts = append(opts, kfake.GroupMinSessionTimeout(b.cfg.minSession))
	}
	if len(b.cfg.users) > 0 {
		opts = append(opts, kfake.EnableSASL(), kfake.Superuser("PLAIN", innerUser, b.secret))
	}
	for _, u := range b.cfg.users {
		opts = append(opts, kfake.Superuser(u.mechanism, u.name, u.password))
	}
	return append(opts, kfake.BrokerConfigs(configs))
}

func (b *Broker) listen(_, addr string) (net.Listener, error) {
	for _, g := range b.gates {
		if g.addr.String() == addr {
			return &entrance{gate: g, closed: make(chan struct{})}, nil
		}
	}
	return nil, fmt.Errorf("devbroker: no node at %s", addr)
}

// Close ends the broker, saves what a Dir keeps and waits for its goroutines. Further calls do nothing. An error tells
// that something could not be saved.
func (b *Broker) Close() error {
	b.mu.Lock()
	if b.closed {
		b.mu.Unlock()
		return nil
	}
	b.closed = true
	b.mu.Unlock()
	b.Stop()
	err := b.halt()
	b.tasks.Stop(ErrClosed)
	return errors.Join(err, b.tasks.Wait(), b.lock.release())
}

// halt ends an incarnation of the cluster, after which nothing may be asked of it.
func (b *Broker) halt() error {
	b.mu.RLock()
	c, l := b.cluster, b.life
	b.mu.RUnlock()
	if c == nil {
		return nil // it never started
	}
	l.end()
	b.failed.Store(nil)
	c.Close()
	if text := b.failed.Load(); text != nil {
		return fmt.Errorf("devbroker: close: %s", *text)
	}
	return b.saved()
}

// Addrs are the addresses of the nodes, host:port, node 0 first.
func (b *Broker) Addrs() []string {
	var addrs []string
	for _, g := range b.gates {
		addrs = append(addrs, g.addr.String())
	}
	return addrs
}

// Dialer connects to the nodes: with Virtual the only way in, otherwise the operating system's network. It fits
// sarama's Config.Net.Proxy.Dialer.
func (b *Broker) Dialer() *Dialer { return &Dialer{b} }

// use asks the cluster something; fn must not wait for a client.
func (b *Broker) use(fn func(c *kfake.Cluster) error) error {
	b.mu.RLock()
	defer b.mu.RUnlock()
	switch {
	case b.closed:
		return ErrClosed
	case b.halted:
		return errHalted
	}
	return fn(b.cluster)
}

// clusterLog passes the cluster's log on.
type clusterLog struct{ b *Broker }

var logLevels = map[kfake.LogLevel]slog.Level{
	kfake.LogLevelError: slog.LevelError, kfake.LogLevelWarn: slog.LevelWarn,
	kfake.LogLevelInfo: slog.LevelDebug, kfake.LogLevelDebug: slog.LevelDebug - 4,
}

// Logf implements kfake.Logger.
func (l *clusterLog) Logf(level kfake.LogLevel, format string, args ...any) {
	if level == kfake.LogLevelError {
		text := fmt.Sprintf(format, args...)
		l.b.failed.Store(&text)
	}
	to, ctx := l.b.cfg.logger, context.Background()
	if to.Enabled(ctx, logLevels[level]) {
		to.Log(ctx, logLevels[level], "devbroker: "+fmt.Sprintf(format, args...))
	}
}
