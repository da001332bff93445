package kafka

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/IBM/sarama"
	metrics "github.com/rcrowley/go-metrics"
	"github.com/stretchr/testify/require"

	"github.com/tarnstream/tarn/devbroker"
	"github.com/tarnstream/tarn/internal/bubbletest"
	"github.com/tarnstream/tarn/state"
)

// clientOf is a client of a new broker in virtual time, with topic "t".
func clientOf(t *testing.T, opts ...devbroker.Option) (*Client, *devbroker.Broker) {
	t.Helper()
	b, err := devbroker.Start(append(opts, devbroker.Virtual())...)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, b.Close()) })
	require.NoError(t, b.CreateTopic("t", 2, nil))
	c, err := NewClient(Config{Brokers: b.Addrs(), Dial: b.Dialer().DialContext, Logger: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	t.Cleanup(c.Close)
	return c, b
}

func TestNewClientRefuses(t *testing.T) {
	for _, brokers := range [][]string{nil, {"localhost"}, {"localhost:9092", ""}} {
		_, err := NewClient(Config{Brokers: brokers})
		require.Error(t, err, "%q", brokers)
	}
	bad := sarama.NewConfig()
	bad.Net.SASL.Enable = true
	_, err := NewClient(Config{Brokers: []string{"localhost:9092"}, Sarama: bad})
	require.ErrorContains(t, err, "SASL")
}

// TestConfigIgnored: fields that are set and mean nothing here are named; the version is raised and that is said.
func TestConfigIgnored(t *testing.T) {
	user := sarama.NewConfig()
	user.ClientID = "mine"
	user.Net.DialTimeout = 3 * time.Second
	_, ignored := Config{Sarama: user}.saramaConfig()
	require.Empty(t, ignored)
	user.Version = sarama.V2_0_0_0
	user.Producer.RequiredAcks = sarama.NoResponse
	user.Consumer.Group.Session.Timeout = time.Minute
	var said strings.Builder
	_, err := NewClient(Config{Brokers: []string{"localhost:9092"}, Sarama: user, Logger: slog.New(slog.NewTextHandler(&said, nil))})
	require.NoError(t, err)
	require.Contains(t, said.String(), "Version (raised to 3.0.0) Producer.RequiredAcks Consumer.Group.Session.Timeout")
	conf, _ := Config{Sarama: user, ClientID: "ours"}.saramaConfig()
	require.Equal(t, "mine", conf.ClientID)
	require.Equal(t, 3*time.Second, conf.Net.DialTimeout)
	require.Equal(t, minVersion, conf.Version)
	conf, _ = Config{ClientID: "ours"}.saramaConfig()
	require.Equal(t, "ours", conf.ClientID)
	require.IsType(t, metrics.NilMeter{}, conf.MetricRegistry.GetOrRegister("m", metrics.NewMeter))
}

func TestErrors(t *testing.T) {
	for code, want := range map[sarama.KError]error{sarama.ErrRebalanceInProgress: ErrRebalanceInProgress, sarama.ErrIllegalGeneration: ErrIllegalGeneration,
		sarama.ErrUnknownMemberId: ErrUnknownMember, sarama.ErrFencedInstancedId: ErrFencedInstance} {
		err := fmt.Errorf("commit: %w", codeError(code, "OffsetCommit", "t", 3))
		require.ErrorIs(t, err, want)
		require.NotErrorIs(t, err, ErrClosed)
	}
	require.EqualError(t, codeError(sarama.ErrProducerFenced, "EndTxn", "", -1),
		"kafka: EndTxn: code 90: a newer producer has the transactional id, or the coordinator has ended what was open")
	unknown := codeError(120, "EndTxn", "", -1)
	require.ErrorContains(t, unknown, "kafka: EndTxn: code 120:")
	require.False(t, retriable(unknown), "a code without a constant is an error with its number")
	require.EqualError(t, codeError(6, "Fetch", "t", 3), "kafka: Fetch of t/3: code 6: "+strings.TrimPrefix(sarama.KError(6).Error(), "kafka server: "))
	for _, err := range []error{io.EOF, net.ErrClosed, syscall.ECONNREFUSED, fmt.Errorf("x: %w", syscall.ECONNRESET), codeError(100, "Fetch", "t", 0),
		&UnreachableError{Addrs: []string{"a:1"}, Causes: []error{io.EOF}}} {
		require.True(t, retriable(err), "%v", err)
	}
	for _, err := range []error{errDamaged, ErrClosed, &VersionError{}, &state.TopicMissingError{}, codeError(29, "Fetch", "t", 0)} {
		require.False(t, retriable(err), "%v", err)
	}
}

// TestVersionError: a broker that would make sarama lower a request silently is refused by name.
func TestVersionError(t *testing.T) {
	old := sarama.NewMockBroker(t, 1)
	defer old.Close()
	keys := []sarama.ApiVersionsResponseKey{{ApiKey: 1, MaxVersion: 11}, {ApiKey: 18, MaxVersion: 3}}
	for _, n := range needed[1:] {
		keys = append(keys, sarama.ApiVersionsResponseKey{ApiKey: n.key, MaxVersion: n.min})
	}
	old.SetHandlerByMap(map[string]sarama.MockResponse{"ApiVersionsRequest": sarama.NewMockApiVersionsResponse(t).SetApiKeys(keys)})
	c, err := NewClient(Config{Brokers: []string{old.Addr()}})
	require.NoError(t, err)
	defer c.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	err = c.Connect(ctx)
	require.Equal(t, error(&VersionError{Addr: old.Addr(), Request: "Fetch", Need: 12, Has: 11}), errors.Unwrap(err))
	require.ErrorContains(t, err, "use a newer broker")
}

// TestVersionError_Transactions: a broker without transactions serves all but a producer of them, which says so at once.
func TestVersionError_Transactions(t *testing.T) {
	for name, tt := range map[string]struct {
		offered []least
		want    VersionError
	}{
		"none":    {nil, VersionError{Request: "InitProducerID", Need: 4, Has: -1}},
		"old":     {[]least{{22, "", 3}}, VersionError{Request: "InitProducerID", Need: 4, Has: 3}},
		"in part": {[]least{{22, "", 5}, {24, "", 3}, {25, "", 3}}, VersionError{Request: "EndTxn", Need: 2, Has: -1}},
	} {
		t.Run(name, func(t *testing.T) {
			broker := sarama.NewMockBroker(t, 1)
			defer broker.Close()
			keys := []sarama.ApiVersionsResponseKey{{ApiKey: 18, MaxVersion: 3}}
			for _, n := range append(tt.offered, needed...) {
				keys = append(keys, sarama.ApiVersionsResponseKey{ApiKey: n.key, MaxVersion: n.min})
			}
			broker.SetHandlerByMap(map[string]sarama.MockResponse{"ApiVersionsRequest": sarama.NewMockApiVersionsResponse(t).SetApiKeys(keys),
				"MetadataRequest": sarama.NewMockMetadataResponse(t).SetBroker(broker.Addr(), 1)})
			c, err := NewClient(Config{Brokers: []string{broker.Addr()}})
			require.NoError(t, err)
			defer c.Close()
			require.NoError(t, c.Connect(t.Context()))
			tt.want.Addr = broker.Addr()
			var old *VersionError
			require.ErrorAs(t, c.RequireTransactions(t.Context()), &old)
			require.Equal(t, &tt.want, old)
			p := c.NewProducer(ProducerConfig{TransactionalID: "id"})
			defer p.Close()
			err = p.Recover(t.Context(), true)
			require.ErrorAs(t, err, &old)
			require.Equal(t, &tt.want, old)
			var failed *TransactionError
			require.ErrorAs(t, err, &failed)
			require.True(t, failed.Final)
			require.ErrorContains(t, err, broker.Addr())
		})
	}
}

// TestConnect waits for a broker that comes late, and names the addresses when none does.
func TestR25_Connect(t *testing.T) {
	bubbletest.Run(t, func(t *testing.T) {
		c, b := clientOf(t, devbroker.Brokers(2))
		b.Stop()
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		began := time.Now()
		err := c.Connect(ctx)
		require.Equal(t, 10*time.Second, time.Since(began))
		for _, a := range b.Addrs() {
			require.ErrorContains(t, err, a)
		}
		done := make(chan error, 1)
		go func() { done <- c.Connect(t.Context()) }()
		time.Sleep(time.Minute)
		require.NoError(t, b.Resume())
		require.NoError(t, <-done)
		require.NotEmpty(t, c.ClusterID())
	})
}

// TestRequestEnds: a request under way ends at once with its context, with Close, and with release, and later requests
// open the connection afresh.
func TestRequestEnds(t *testing.T) {
	why := errors.New("enough")
	owner := new(int)
	for name, end := range map[string]func(c *Client, cancel context.CancelCauseFunc){
		"context": func(_ *Client, cancel context.CancelCauseFunc) { cancel(why) },
		"close":   func(c *Client, _ context.CancelCauseFunc) { c.Close() },
		"release": func(c *Client, _ context.CancelCauseFunc) { c.release(owner) },
	} {
		t.Run(name, func(t *testing.T) {
			bubbletest.Run(t, func(t *testing.T) {
				c, b := clientOf(t)
				topics, err := c.Refresh(t.Context(), "t")
				require.NoError(t, err)
				held := b.Hold(devbroker.ListOffsets, "")
				defer held.Release()
				ctx, cancel := context.WithCancelCause(t.Context())
				defer cancel(nil)
				ask := func(ctx context.Context) error {
					return c.onNode(ctx, topics["t"].Partitions[0].Leader, use{ForOffsets, owner}, func(k *sarama.Broker) error {
						req := &sarama.OffsetRequest{Version: 5}
						req.AddBlock("t", 0, sarama.OffsetNewest, 1)
						_, err := k.GetAvailableOffsets(req)
						return err
					})
				}
				done := make(chan error, 1)
				go func() { done <- ask(ctx) }()
				<-held.Arrived()
				began := time.Now()
				end(c, cancel)
				err = <-done
				require.Error(t, err)
				require.Zero(t, time.Since(began))
				held.Release()
				switch name {
				case "context":
					require.ErrorIs(t, err, why)
					require.ErrorContains(t, err, "no answer from "+b.Addrs()[0])
					require.NoError(t, ask(t.Context()))
				case "close":
					require.ErrorIs(t, ask(t.Context()), ErrClosed)
					c.Close()
				case "release":
					require.NoError(t, ask(t.Context()))
				}
			})
		})
	}
}

// TestDialEnds: a dial that hangs ends with its context and with Close; nobody waits for it.
func TestDialEnds(t *testing.T) {
	bubbletest.Run(t, func(t *testing.T) {
		c, err := NewClient(Config{Brokers: []string{"nowhere:1"}, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}})
		require.NoError(t, err)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err = c.Refresh(ctx, "t")
		require.ErrorIs(t, err, context.DeadlineExceeded)
		began := time.Now()
		_, err = c.Refresh(t.Context(), "t")
		require.ErrorAs(t, err, new(*UnreachableError))
		require.Equal(t, metadataTimeout, time.Since(began), "another broker would be asked after that")
		var wg sync.WaitGroup
		wg.Go(func() { _, err = c.Refresh(t.Context(), "t") })
		synctest.Wait()
		c.Close()
		wg.Wait()
		require.Error(t, err)
	})
}

// TestHandshakeEnds: a port that takes a connection and says nothing does not hold up a purpose that has no end of its own.
func TestHandshakeEnds(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	conf := sarama.NewConfig()
	conf.Net.TLS.Enable, conf.Net.ReadTimeout = true, 50*time.Millisecond
	c, err := NewClient(Config{Brokers: []string{l.Addr().String()}, Sarama: conf})
	require.NoError(t, err)
	defer c.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	err = c.onAddr(ctx, connKey{l.Addr().String(), use{ForFetch, nil}}, nil)
	require.Error(t, err)
	require.NoError(t, ctx.Err())
	require.True(t, transport(err), "it may be over the next time: %v", err)
}

// silentProxy is a proxy that does not answer; the dial that has no context would last for ever.
type silentProxy struct{}

func (silentProxy) Dial(string, string) (net.Conn, error) { select {} }

func (silentProxy) DialContext(ctx context.Context, _, _ string) (net.Conn, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

// TestProxyDialEnds: so does one through a proxy that can; and no dial takes longer than Net.DialTimeout.
func TestProxyDialEnds(t *testing.T) {
	bubbletest.Run(t, func(t *testing.T) {
		conf := sarama.NewConfig()
		conf.Net.Proxy.Enable, conf.Net.Proxy.Dialer = true, silentProxy{}
		conf.Net.DialTimeout = 3 * time.Second
		c, err := NewClient(Config{Brokers: []string{"nowhere:1"}, Sarama: conf})
		require.NoError(t, err)
		defer c.Close()
		began := time.Now()
		err = c.onAddr(t.Context(), connKey{"nowhere:1", use{ForFetch, nil}}, nil)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.True(t, retriable(err))
		require.Equal(t, 3*time.Second, time.Since(began))
	})
}

// TestMetadataAsksTheHealthyFirst: a broker that hangs costs its time-out once, not at every refresh.
func TestR53_MetadataAsksTheHealthyFirst(t *testing.T) {
	bubbletest.Run(t, func(t *testing.T) {
		c, b := clientOf(t, devbroker.Brokers(2))
		_, err := c.Refresh(t.Context(), "t")
		require.NoError(t, err)
		require.NoError(t, b.StopNode(0))
		hang := c.dial
		c.dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
			if addr == b.Addrs()[0] {
				<-ctx.Done()
				return nil, ctx.Err()
			}
			return hang(ctx, network, addr)
		}
		var took []time.Duration
		for range 3 {
			began := time.Now()
			found, err := c.Refresh(t.Context(), "t")
			require.NoError(t, err)
			require.Len(t, found["t"].Partitions, 2)
			took = append(took, time.Since(began))
		}
		require.LessOrEqual(t, took[0], 2*metadataTimeout)
		require.Zero(t, took[1]+took[2])
	})
}

// TestLeader: from metadata; a partition or topic that is not there is an error of its own kind.
func TestLeader(t *testing.T) {
	bubbletest.Run(t, func(t *testing.T) {
		c, b := clientOf(t, devbroker.Brokers(3))
		require.NoError(t, b.MoveLeader("t", 1, 2))
		p, err := c.leader(t.Context(), "t", 1)
		require.NoError(t, err)
		require.Equal(t, int32(2), p.Leader)
		_, err = c.leader(t.Context(), "t", 7)
		require.True(t, retriable(err), "%v", err)
		_, err = c.leader(t.Context(), "none", 0)
		require.Equal(t, error(&state.TopicMissingError{Topic: "none"}), err)
		require.NoError(t, b.CreateTopic("none", 1, nil))
		_, err = c.leader(t.Context(), "none", 0)
		require.NoError(t, err, "asked afresh")
		err = c.onNode(t.Context(), 99, use{ForFetch, nil}, nil)
		require.True(t, retriable(err), "%v", err)
	})
}
