//go:build kafka

package realkafka_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/tarnstream/tarn/internal/realkafka"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func start(t *testing.T, o realkafka.Options) *realkafka.Cluster {
	t.Helper()
	if err := realkafka.Missing(); err != nil {
		t.Skip(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	c, err := realkafka.Start(ctx, o)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, c.Close()) })
	return c
}

func serves(addr string) bool {
	conn, err := net.DialTimeout("tcp", addr, time.Second)
	if err != nil {
		return false
	}
	return conn.Close() == nil
}

func TestStart(t *testing.T) {
	for _, version := range []string{realkafka.Newest, realkafka.Oldest} {
		t.Run(version, func(t *testing.T) {
			began := time.Now()
			c := start(t, realkafka.Options{Version: version})
			t.Log("up after", time.Since(began))
			require.True(t, serves(c.Addrs()[0]))
		})
	}
}

func TestThreeBrokers_OneIsKilledPausedStopped(t *testing.T) {
	began := time.Now()
	c := start(t, realkafka.Options{Brokers: 3})
	t.Log("up after", time.Since(began))
	b := c.Broker(2)
	require.NoError(t, b.Kill())
	require.False(t, serves(b.Addr()))
	require.NoError(t, b.Start(t.Context()))
	require.True(t, serves(b.Addr()))
	require.NoError(t, b.Pause())
	require.NoError(t, b.Resume())
	require.NoError(t, b.Stop(t.Context()))
	require.False(t, serves(b.Addr()))
	require.NoError(t, b.Start(t.Context()))
}

func TestStart_BrokerThatCannotStart(t *testing.T) {
	if err := realkafka.Missing(); err != nil {
		t.Skip(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	_, err := realkafka.Start(ctx, realkafka.Options{Config: map[string]string{"num.network.threads": "many"}})
	require.ErrorContains(t, err, "num.network.threads")
}

func TestStart_Fast(t *testing.T) {
	c := start(t, realkafka.Options{Fast: true})
	require.True(t, serves(c.Addrs()[0]), "its Java takes the options")
}

func TestStart_Dir(t *testing.T) {
	dir := t.TempDir()
	c := start(t, realkafka.Options{Dir: dir})
	require.NoError(t, c.Close())
	_, err := os.Stat(c.Broker(1).Data())
	require.NoError(t, err)
}

// The ports of Security: one whose certificate is good, and one whose certificate has expired.
func TestStart_Security(t *testing.T) {
	c := start(t, realkafka.Options{Security: &realkafka.Security{Users: map[string]string{"ann": "secret"}}})
	require.True(t, serves(c.Addrs()[0]))
	roots := x509.NewCertPool()
	require.True(t, roots.AppendCertsFromPEM(c.Authority()))
	conf := &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
	conn, err := tls.Dial("tcp", c.Secured()[0], conf)
	require.NoError(t, err)
	require.NoError(t, conn.Close())
	_, err = tls.Dial("tcp", c.Expired()[0], conf)
	var invalid x509.CertificateInvalidError
	require.ErrorAs(t, err, &invalid)
	require.Equal(t, x509.Expired, invalid.Reason)
}
