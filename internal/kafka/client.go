package kafka

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/IBM/sarama"
)

// Client holds the connections and what metadata said last. It starts no goroutine and touches no network before its
// first call. Many goroutines may use it.
type Client struct {
	conf *sarama.Config
	dial func(ctx context.Context, network, addr string) (net.Conn, error)
	log  *slog.Logger

	mu        sync.Mutex
	closed    bool
	seeds     []string
	nodes     map[int32]string // address by broker id
	control   int32            // the controller's id, -1 unknown
	clusterID string
	topics    map[string]Topic
	coords    map[coordKey]int32 // broker id
	conns     map[connKey]*conn
	offered   map[string]map[int16]int16 // greatest versions by request, of addresses where those needed were found good
	failed    map[string]bool            // addresses that did not answer last time: they are tried last
}

// NewClient checks cfg and makes a Client.
func NewClient(cfg Config) (*Client, error) {
	if len(cfg.Brokers) == 0 {
		return nil, errors.New("kafka: no broker address given")
	}
	for _, b := range cfg.Brokers {
		if _, _, err := net.SplitHostPort(b); err != nil {
			return nil, fmt.Errorf("kafka: broker address %q is not host:port: %w", b, err)
		}
	}
	conf, ignored := cfg.saramaConfig()
	if err := conf.Validate(); err != nil {
		return nil, fmt.Errorf("kafka: sarama config: %w", err)
	}
	c := &Client{conf: conf, dial: cfg.Dial, log: cmp.Or(cfg.Logger, slog.Default()), seeds: slices.Clone(cfg.Brokers),
		nodes: map[int32]string{}, control: -1, topics: map[string]Topic{}, coords: map[coordKey]int32{},
		conns: map[connKey]*conn{}, offered: map[string]map[int16]int16{}, failed: map[string]bool{}}
	if len(ignored) > 0 {
		c.log.Warn("sarama config fields mean nothing to tarn", "fields", ignored)
	}
	if c.dial == nil {
		c.dial = netDialer(conf)
	}
	return c, nil
}

// contextDialer is what most proxies' dialers are, that of SOCKS5 for one.
type contextDialer interface {
	DialContext(ctx context.Context, network, addr string) (net.Conn, error)
}

func netDialer(conf *sarama.Config) func(context.Context, string, string) (net.Conn, error) {
	if conf.Net.Proxy.Enable {
		d := conf.Net.Proxy.Dialer
		if d, ok := d.(contextDialer); ok {
			return d.DialContext
		}
		return func(_ context.Context, network, addr string) (net.Conn, error) { return d.Dial(network, addr) }
	}
	d := &net.Dialer{Timeout: conf.Net.DialTimeout, KeepAlive: conf.Net.KeepAlive, LocalAddr: conf.Net.LocalAddr}
	return d.DialContext
}

// Close closes every connection; requests under way fail. It is idempotent.
func (c *Client) Close() {
	c.mu.Lock()
	c.closed = true
	conns := c.conns
	c.conns = map[connKey]*conn{}
	c.mu.Unlock()
	for _, k := range conns {
		k.shut()
	}
}

// shut closes a connection: the request under way on it fails.
func (c *conn) shut() {
	if w := c.wire.Load(); w != nil {
		w.close()
	}
	c.sem <- struct{}{}
	c.discard()
	<-c.sem
}

func (c *Client) isClosed() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.closed
}

// ClusterID is what metadata said last, empty before the first answer.
func (c *Client) ClusterID() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.clusterID
}

// onNode runs fn on the connection of that use to a broker known from metadata.
// It fails with *Error (retriable) where the broker is not known.
func (c *Client) onNode(ctx context.Context, node int32, u use, fn func(*sarama.Broker) error) error {
	k, err := c.connTo(node, u)
	if err != nil {
		return err
	}
	return k.within(ctx, fn)
}

// pipe is onNode for requests whose answers come later; see conn.pipe.
func (c *Client) pipe(ctx context.Context, node int32, u use, fn func(b *sarama.Broker, cut func()) error) error {
	k, err := c.connTo(node, u)
	if err != nil {
		return err
	}
	return k.pipe(ctx, fn)
}

// onWire is onNode for requests that sarama has no part in.
func (c *Client) onWire(ctx context.Context, node int32, u use, fn func(*wire) error) error {
	k, err := c.connTo(node, u)
	if err != nil {
		return err
	}
	return k.within(ctx, func(b *sarama.Broker) error {
		if err := k.renew(b); err != nil {
			return err
		}
		return fn(k.wire.Load())
	})
}

// connTo gives the connection of that use to a broker known from metadata.
func (c *Client) connTo(node int32, u use) (*conn, error) {
	addr, err := c.addr(node, u)
	if err != nil {
		return nil, err
	}
	return c.conn(connKey{addr, u})
}

func (c *Client) addr(node int32, u use) (string, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	addr, ok := c.nodes[node]
	if !ok {
		return "", &Error{Code: int16(sarama.ErrBrokerNotAvailable), Request: string(u.purpose), Partition: -1, Detail: fmt.Sprintf("broker %d", node)}
	}
	return addr, nil
}

func (c *Client) onAddr(ctx context.Context, key connKey, fn func(*sarama.Broker) error) error {
	k, err := c.conn(key)
	if err != nil {
		return err
	}
	return k.within(ctx, fn)
}

func (c *Client) conn(key connKey) (*conn, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil, ErrClosed
	}
	k := c.conns[key]
	if k == nil {
		k = &conn{client: c, key: key, sem: make(chan struct{}, 1)}
		c.conns[key] = k
	}
	return k, nil
}

// cut breaks the connections of one owner: what is under way on them fails, and the next use opens them afresh.
func (c *Client) cut(owner any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for key, k := range c.conns {
		if w := k.wire.Load(); key.owner == owner && w != nil {
			w.close()
		}
	}
}

// release closes the connections of one owner, when it is done.
func (c *Client) release(owner any) {
	c.mu.Lock()
	var mine []*conn
	for key, k := range c.conns {
		if key.owner == owner {
			mine = append(mine, k)
			delete(c.conns, key)
		}
	}
	c.mu.Unlock()
	for _, k := range mine {
		k.shut()
	}
}

const (
	metadataTimeout = 5 * time.Second
	// requestTimeout leaves a margin over what a broker may work on one request.
	requestTimeout = adminTimeout + 5*time.Second
)

// patience is how long one try at a request may take, 0 where sarama's own time-outs, or the caller's, are right: a broker
// that hangs must not keep the partitions of all others from their leaders, nor use up the time of a start.
func (p Purpose) patience() time.Duration {
	switch p {
	case ForMetadata:
		return metadataTimeout
	case ForAdmin, ForCommit, ForOffsets: // the wait for others on the connection included
		return requestTimeout
	}
	return 0
}

// onAny tries fn on each known address, the known brokers first and those that did not answer last time last, until one
// answers.
func (c *Client) onAny(ctx context.Context, p Purpose, fn func(*sarama.Broker) error) error {
	failed := &UnreachableError{}
	for _, addr := range c.addrs() {
		err := c.tryAddr(ctx, connKey{addr, use{p, nil}}, fn)
		if err == nil || ctx.Err() != nil || errors.Is(err, ErrClosed) {
			return err
		}
		var v *VersionError
		var code *Error
		if errors.As(err, &v) || errors.As(err, &code) {
			return err
		}
		failed.Addrs, failed.Causes = append(failed.Addrs, addr), append(failed.Causes, err)
	}
	return failed
}

func (c *Client) tryAddr(ctx context.Context, key connKey, fn func(*sarama.Broker) error) error {
	err := c.onAddr(ctx, key, fn)
	c.mu.Lock()
	defer c.mu.Unlock()
	if err == nil {
		delete(c.failed, key.addr)
	} else {
		c.failed[key.addr] = true
	}
	return err
}

func (c *Client) addrs() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var out []string
	for _, a := range c.nodes {
		out = append(out, a)
	}
	slices.Sort(out)
	for _, a := range c.seeds {
		if !slices.Contains(out, a) {
			out = append(out, a)
		}
	}
	slices.SortStableFunc(out, func(a, b string) int {
		switch {
		case c.failed[a] == c.failed[b]:
			return 0
		case c.failed[a]:
			return 1
		}
		return -1
	})
	return out
}

// Connect waits until a broker answers or ctx ends; then the error names every address and why it did not answer.
func (c *Client) Connect(ctx context.Context, topics ...string) error {
	var last error
	for wait := newBackoff(); ; {
		_, err := c.Refresh(ctx, topics...)
		if err == nil || errors.Is(err, ErrClosed) {
			return err
		}
		if !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, context.Canceled) {
			last = err
		}
		if !retriable(err) && ctx.Err() == nil {
			return err
		}
		if wait.sleep(ctx) != nil {
			return cmp.Or(last, err)
		}
	}
}

// least is the least version of a request that tarn can work with; sarama lowers a request silently to what the broker offers.
type least struct {
	key  int16
	name string
	min  int16
}

// needed are those of each client.
var needed = []least{{1, "Fetch", 12}, {2, "ListOffsets", 5}, {3, "Metadata", 10}, {8, "OffsetCommit", 7}, {9, "OffsetFetch", 7}, {11, "JoinGroup", 5},
	{12, "Heartbeat", 3}, {13, "LeaveGroup", 3}, {14, "SyncGroup", 3}}

func (c *Client) checkVersions(addr string, b *sarama.Broker) error {
	c.mu.Lock()
	done := c.offered[addr]
	c.mu.Unlock()
	if done != nil {
		return nil
	}
	res, err := b.ApiVersions(&sarama.ApiVersionsRequest{Version: 3, ClientSoftwareName: "tarn", ClientSoftwareVersion: "1"})
	if err != nil {
		return err
	}
	has := map[int16]int16{}
	for _, k := range res.ApiKeys {
		has[k.ApiKey] = k.MaxVersion
	}
	if err := offers(addr, has, needed); err != nil {
		return err
	}
	c.mu.Lock()
	c.offered[addr] = has
	c.mu.Unlock()
	return nil
}

// neededForTransactions are those of a producer of transactions, beside the others. Some brokers that are not Apache Kafka
// do without them.
var neededForTransactions = []least{{22, "InitProducerID", 4}, {24, "AddPartitionsToTxn", 2}, {25, "AddOffsetsToTxn", 2}, {26, "EndTxn", 2},
	{28, "TxnOffsetCommit", 3}}

// checkTransactions tells, by a *VersionError, that a broker does not have transactions.
func (c *Client) checkTransactions(b *sarama.Broker) error {
	c.mu.Lock()
	has := c.offered[b.Addr()]
	c.mu.Unlock()
	return offers(b.Addr(), has, neededForTransactions)
}

// RequireTransactions asks a broker whether it has transactions. Without them it is a *VersionError.
func (c *Client) RequireTransactions(ctx context.Context) error {
	return c.onAny(ctx, ForMetadata, c.checkTransactions)
}

func offers(addr string, has map[int16]int16, all []least) error {
	for _, n := range all {
		v, ok := has[n.key]
		if !ok {
			v = -1
		}
		if v < n.min {
			return &VersionError{Addr: addr, Request: n.name, Need: n.min, Has: v}
		}
	}
	return nil
}

// backoff is the wait between attempts: 20 ms, or what next is at first, doubled up to 1 s.
type backoff struct{ next time.Duration }

func newBackoff() *backoff { return &backoff{next: 20 * time.Millisecond} }

// newMarkerBackoff is for a coordinator that still writes the markers of a producer's last transaction: a few milliseconds,
// which every transaction that follows at once has to wait for.
func newMarkerBackoff() *backoff { return &backoff{next: 2 * time.Millisecond} }

// sleep waits, or gives ctx's cause.
func (b *backoff) sleep(ctx context.Context) error {
	t := time.NewTimer(b.next)
	defer t.Stop()
	b.next = min(2*b.next, time.Second)
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
