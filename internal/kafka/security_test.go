package kafka_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"log/slog"
	"math/big"
	"net"
	"testing"
	"time"

	"github.com/IBM/sarama"
	"github.com/stretchr/testify/require"
	"github.com/xdg-go/scram"

	"github.com/tarnstream/tarn/devbroker"
	"github.com/tarnstream/tarn/internal/kafka"
)

// scramClient is the adapter sarama asks its users for.
type scramClient struct {
	hash scram.HashGeneratorFcn
	conv *scram.ClientConversation
}

func (s *scramClient) Begin(user, password, authz string) error {
	c, err := s.hash.NewClient(user, password, authz)
	if err == nil {
		s.conv = c.NewConversation()
	}
	return err
}

func (s *scramClient) Step(challenge string) (string, error) { return s.conv.Step(challenge) }
func (s *scramClient) Done() bool                            { return s.conv.Done() }

// certificate makes a server's certificate for 127.0.0.1, and the pool that trusts it.
func certificate(t *testing.T) (tls.Certificate, *x509.CertPool) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "broker"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	require.NoError(t, err)
	cert, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	pool := x509.NewCertPool()
	pool.AddCert(cert)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pool
}

// userConfig is sarama's default, without its meters: they start a goroutine that never ends.
func userConfig() *sarama.Config {
	conf := sarama.NewConfig()
	conf.MetricRegistry = nil
	return conf
}

func saslConfig(mechanism, user, password string) *sarama.Config {
	conf := userConfig()
	conf.Net.SASL.Enable = true
	conf.Net.SASL.Mechanism = sarama.SASLMechanism(mechanism)
	conf.Net.SASL.User, conf.Net.SASL.Password = user, password
	hash := scram.SHA256
	if mechanism == sarama.SASLTypeSCRAMSHA512 {
		hash = scram.SHA512
	}
	conf.Net.SASL.SCRAMClientGeneratorFunc = func() sarama.SCRAMClient { return &scramClient{hash: hash} }
	return conf
}

func tlsConfig(conf *sarama.Config, pool *x509.CertPool) *sarama.Config {
	conf.Net.TLS.Enable = true
	conf.Net.TLS.Config = &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
	return conf
}

func securedClient(t *testing.T, b *devbroker.Broker, conf *sarama.Config) *kafka.Client {
	c, err := kafka.NewClient(kafka.Config{Brokers: b.Addrs(), Sarama: conf, Logger: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	t.Cleanup(c.Close)
	return c
}

// TestSecurity: what a user sets in sarama's config carries every kind of request: metadata, admin, produce, offsets.
func TestSecurity(t *testing.T) {
	cert, pool := certificate(t)
	serve := devbroker.TLS(&tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12})
	for name, tt := range map[string]struct {
		opts []devbroker.Option
		conf *sarama.Config
	}{
		"tls":         {[]devbroker.Option{serve}, tlsConfig(userConfig(), pool)},
		"plain":       {[]devbroker.Option{devbroker.SASL("PLAIN", "u", "secret")}, saslConfig(sarama.SASLTypePlaintext, "u", "secret")},
		"scram 256":   {[]devbroker.Option{devbroker.SASL("SCRAM-SHA-256", "u", "secret")}, saslConfig(sarama.SASLTypeSCRAMSHA256, "u", "secret")},
		"scram 512":   {[]devbroker.Option{devbroker.SASL("SCRAM-SHA-512", "u", "secret")}, saslConfig(sarama.SASLTypeSCRAMSHA512, "u", "secret")},
		"scram + tls": {[]devbroker.Option{serve, devbroker.SASL("SCRAM-SHA-512", "u", "secret")}, tlsConfig(saslConfig(sarama.SASLTypeSCRAMSHA512, "u", "secret"), pool)},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, tt.opts...)
			b.client = securedClient(t, b.broker, tt.conf)
			require.NoError(t, b.client.Connect(t.Context(), "t"))
			require.NoError(t, b.client.CreateTopics(t.Context(), []kafka.TopicSpec{{Name: "new", Partitions: 1}}))
			require.NoError(t, b.producer(kafka.ProducerConfig{}).Produce(t.Context(), []kafka.OutBatch{batchOf(0, 0, 10)}))
			require.Equal(t, numbers(0, 10), b.values(0))
			require.NoError(t, b.client.CommitOffsets(t.Context(), "g", outside, map[string]map[int32]kafka.Offset{"t": {0: {Position: 3}}}))
		})
	}
}

// refusal is the error of a Connect whose first attempt has failed, and how often it has dialled.
func refusal(t *testing.T, addr string, conf *sarama.Config) (dials int, err error) {
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	dial := func(ctx context.Context, network, addr string) (net.Conn, error) {
		if dials++; dials > 1 {
			stop()
		}
		return new(net.Dialer).DialContext(ctx, network, addr)
	}
	c, err := kafka.NewClient(kafka.Config{Brokers: []string{addr}, Sarama: conf, Logger: slog.New(slog.DiscardHandler), Dial: dial})
	require.NoError(t, err)
	defer c.Close()
	err = c.Connect(ctx, "t")
	return dials, err
}

// TestSecurityRefused: settings that do not fit give, at the end of the call or before, an error that says what is wrong.
func TestSecurityRefused(t *testing.T) {
	cert, pool := certificate(t)
	serve := devbroker.TLS(&tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12})
	plain := devbroker.SASL("PLAIN", "u", "secret")
	for name, tt := range map[string]struct {
		opts  []devbroker.Option
		conf  *sarama.Config
		want  string
		dials int // 1: asking again is of no use, and not done
	}{
		"wrong password":       {[]devbroker.Option{plain}, saslConfig(sarama.SASLTypePlaintext, "u", "guess"), `SASL PLAIN of user "u"`, 2},
		"wrong scram password": {[]devbroker.Option{devbroker.SASL("SCRAM-SHA-256", "u", "secret")}, saslConfig(sarama.SASLTypeSCRAMSHA256, "u", "guess"), `SASL SCRAM-SHA-256 of user "u"`, 2},
		"tls to plaintext":     {nil, tlsConfig(userConfig(), pool), "the port may not speak TLS", 2},
		"plaintext to tls":     {[]devbroker.Option{serve}, userConfig(), "it may ask for TLS or SASL", 2},
		"unknown authority":    {[]devbroker.Option{serve}, tlsConfig(userConfig(), x509.NewCertPool()), "certificate signed by unknown authority", 1},
		"no sasl where needed": {[]devbroker.Option{plain}, userConfig(), "it may ask for TLS or SASL", 2},
	} {
		t.Run(name, func(t *testing.T) {
			b, err := devbroker.Start(tt.opts...)
			require.NoError(t, err)
			defer func() { require.NoError(t, b.Close()) }()
			dials, err := refusal(t, b.Addrs()[0], tt.conf)
			require.ErrorContains(t, err, tt.want)
			require.ErrorContains(t, err, b.Addrs()[0])
			require.Equal(t, tt.dials, dials)
		})
	}
}

// TestSecurityRefused_HowPortsClose: not all do it in the same way. A TLS port may answer plain text with an alert, or be
// gone with bytes of ours unread.
func TestSecurityRefused_HowPortsClose(t *testing.T) {
	for name, end := range map[string]func(*net.TCPConn) error{
		"in order": func(*net.TCPConn) error { return nil },
		"alert": func(c *net.TCPConn) error {
			_, err := c.Write([]byte{21, 3, 3, 0, 2, 2, 70})
			return err
		},
		"reset": func(c *net.TCPConn) error { return c.SetLinger(0) },
	} {
		t.Run(name, func(t *testing.T) {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			require.NoError(t, err)
			done := make(chan struct{})
			go func() {
				defer close(done)
				for {
					c, err := l.Accept()
					if err != nil {
						return
					}
					_, _ = c.Read(make([]byte, 4096)) // nothing where the caller has ended meanwhile
					_ = end(c.(*net.TCPConn))
					_ = c.Close()
				}
			}()
			_, err = refusal(t, l.Addr().String(), userConfig())
			require.ErrorContains(t, err, "it may ask for TLS or SASL")
			require.ErrorContains(t, err, l.Addr().String())
			require.NoError(t, l.Close())
			<-done
		})
	}
}

// TestConnectEndsInFirstAttempt: the caller's time is up before anything has answered. The error says who has not.
func TestConnectEndsInFirstAttempt(t *testing.T) {
	b, err := devbroker.Start()
	require.NoError(t, err)
	defer func() { require.NoError(t, b.Close()) }()
	c := securedClient(t, b, userConfig())
	held := b.Hold(devbroker.Metadata, "")
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- c.Connect(ctx, "t") }()
	<-held.Arrived()
	stop()
	err = <-done
	require.ErrorIs(t, err, context.Canceled)
	require.ErrorContains(t, err, b.Addrs()[0])
}
