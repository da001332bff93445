package devbroker

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"math/big"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"
)

func TestSASLMechanisms(t *testing.T) {
	b := start(t, SASL("PLAIN", "p", "1"), SASL("SCRAM-SHA-256", "s", "2"), SASL("SCRAM-SHA-512", "l", "3"))
	topic(t, b, "t", 1)
	for name, m := range map[string]sasl.Mechanism{
		"plain":   plain.Auth{User: "p", Pass: "1"}.AsMechanism(),
		"sha-256": scram.Auth{User: "s", Pass: "2"}.AsSha256Mechanism(),
		"sha-512": scram.Auth{User: "l", Pass: "3"}.AsSha512Mechanism(),
	} {
		t.Run(name, func(t *testing.T) {
			c := client(t, b, kgo.SASL(m))
			require.NoError(t, c.ProduceSync(short(t), &kgo.Record{Value: []byte(name)}).FirstErr())
		})
	}
	require.Len(t, values(t, b, "t", 0), 3)
	_, err := wire(t, b, 0).exchange(fetchRequest("t", 0, 0))
	require.Error(t, err, "without authentication nothing is answered")
	wrong := client(t, b, kgo.SASL(plain.Auth{User: "p", Pass: "2"}.AsMechanism()))
	require.Error(t, wrong.Ping(short(t)))
}

func TestUsersComeFromTheOptionsNotFromTheFolder(t *testing.T) {
	dir := t.TempDir()
	b := start(t, Dir(dir), SASL("PLAIN", "p", "old"))
	topic(t, b, "t", 1)
	require.NoError(t, b.Produce("t", 0, rec("k", "v")...))
	require.NoError(t, b.Close())
	b = start(t, Dir(dir), SASL("PLAIN", "p", "new"))
	require.Equal(t, []string{"v"}, values(t, b, "t", 0))
	c := client(t, b, kgo.SASL(plain.Auth{User: "p", Pass: "new"}.AsMechanism()))
	require.NoError(t, c.Ping(short(t)))
}

func TestTLSWithClientCertificates(t *testing.T) {
	cert, pool := certificate(t)
	b := start(t, TLS(&tls.Config{
		Certificates: []tls.Certificate{cert}, ClientCAs: pool, ClientAuth: tls.RequireAndVerifyClientCert,
	}))
	topic(t, b, "t", 1)
	require.NoError(t, b.Produce("t", 0, rec("k", "own")...), "the broker's own way in needs no certificate")
	mine := &tls.Config{RootCAs: pool, Certificates: []tls.Certificate{cert}, ServerName: "127.0.0.1"}
	dialer := &tls.Dialer{Config: mine}
	c := client(t, b, kgo.Dialer(dialer.DialContext))
	require.NoError(t, c.ProduceSync(short(t), &kgo.Record{Value: []byte("theirs")}).FirstErr())
	require.Equal(t, []string{"own", "theirs"}, values(t, b, "t", 0))
	_, err := wire(t, b, 0).exchange(metadata(4))
	require.Error(t, err, "plain text is refused")
}

func certificate(t *testing.T) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		KeyUsage:    x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	require.NoError(t, err)
	leaf, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	pool := x509.NewCertPool()
	pool.AddCert(leaf)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}, pool
}
