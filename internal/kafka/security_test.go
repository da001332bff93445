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

// TestSecurityRefused: settings that do not fit give, before the deadline of the call, an error that says what is wrong.
func TestSecurityRefused(t *testing.T) {
	cert, pool := certificate(t)
	serve := devbroker.TLS(&tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12})
	plain := devbroker.SASL("PLAIN", "u", "secret")
	for name, tt := range map[string]struct {
		opts []devbroker.Option
		conf *sarama.Config
		want string
		once bool // asking again is of no use, and not done
	}{
		"wrong password":       {[]devbroker.Option{plain}, saslConfig(sarama.SASLTypePlaintext, "u", "guess"), `SASL PLAIN of user "u"`, false},
		"wrong scram password": {[]devbroker.Option{devbroker.SASL("SCRAM-SHA-256", "u", "secret")}, saslConfig(sarama.SASLTypeSCRAMSHA256, "u", "guess"), `SASL SCRAM-SHA-256 of user "u"`, false},
		"tls to plaintext":     {nil, tlsConfig(userConfig(), pool), "the port may not speak TLS", false},
		"plaintext to tls":     {[]devbroker.Option{serve}, userConfig(), "it may ask for TLS or SASL", false},
		"unknown authority":    {[]devbroker.Option{serve}, tlsConfig(userConfig(), x509.NewCertPool()), "certificate signed by unknown authority", true},
		"no sasl where needed": {[]devbroker.Option{plain}, userConfig(), "it may ask for TLS or SASL", false},
	} {
		t.Run(name, func(t *testing.T) {
			b, err := devbroker.Start(tt.opts...)
			require.NoError(t, err)
			defer func() { require.NoError(t, b.Close()) }()
			c := securedClient(t, b, tt.conf)
			limit := 300 * time.Millisecond
			if tt.once {
				limit = time.Minute
			}
			ctx, stop := context.WithTimeout(t.Context(), limit)
			defer stop()
			start := time.Now()
			err = c.Connect(ctx, "t")
			require.ErrorContains(t, err, tt.want)
			require.ErrorContains(t, err, b.Addrs()[0])
			require.Less(t, time.Since(start), 30*time.Second)
		})
	}
}
