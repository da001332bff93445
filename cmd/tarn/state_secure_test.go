package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tarnstream/tarn/devbroker"
	"github.com/tarnstream/tarn/internal/inspect"
)

// selfSigned writes a certificate for 127.0.0.1, of a server and of a client, and its key; it gives both files and the pair.
func selfSigned(t *testing.T) (certFile, keyFile string, pair tls.Certificate) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "broker"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	require.NoError(t, err)
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(t, err)
	dir := t.TempDir()
	write := func(name, kind string, der []byte) string {
		file := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600))
		return file
	}
	return write("cert.pem", "CERTIFICATE", der), write("key.pem", "PRIVATE KEY", secret), tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// Brokers that ask for TLS, for the client's certificate, and for a login: the commands that ask Kafka reach them by -config.
func TestState_TLSAndSASL(t *testing.T) {
	s := newShop(t)
	cert, key, pair := selfSigned(t)
	pool := x509.NewCertPool()
	leaf, err := x509.ParseCertificate(pair.Certificate[0])
	require.NoError(t, err)
	pool.AddCert(leaf)
	serve := devbroker.TLS(&tls.Config{Certificates: []tls.Certificate{pair}, ClientCAs: pool, ClientAuth: tls.RequireAndVerifyClientCert, MinVersion: tls.VersionTLS12})
	files := "ssl.ca.location=" + cert + "\nssl.certificate.location=" + cert + "\nssl.key.location=" + key + "\n"
	for name, tt := range map[string]struct {
		options  []devbroker.Option
		text     string
		password string // in the environment
	}{
		"plain":    {[]devbroker.Option{devbroker.SASL("PLAIN", "ann", "secret")}, "security.protocol=SASL_PLAINTEXT\nsasl.mechanism=PLAIN\nsasl.username=ann\nsasl.password=secret\n", ""},
		"tls":      {[]devbroker.Option{serve}, "security.protocol=SSL\n" + files, ""},
		"together": {[]devbroker.Option{serve, devbroker.SASL("SCRAM-SHA-512", "ann", "secret")}, "security.protocol=SASL_SSL\nsasl.mechanism=SCRAM-SHA-512\nsasl.username=ann\n" + files, "secret"},
	} {
		t.Run(name, func(t *testing.T) {
			b, err := devbroker.Start(tt.options...)
			require.NoError(t, err)
			defer func() { require.NoError(t, b.Close()) }()
			require.NoError(t, b.CreateTopic("colours", 2, map[string]string{"cleanup.policy": "compact"}))
			config := filepath.Join(t.TempDir(), "client.properties")
			require.NoError(t, os.WriteFile(config, []byte(tt.text), 0o600))
			t.Setenv(inspect.PasswordVariable, tt.password)
			brokers := strings.Join(b.Addrs(), ",")
			for command, code := range map[string]int{"plan": exitOK, "verify": exitError} {
				require.Contains(t, s.tell(code, "state", command, s.view, "-brokers", brokers, "-config", config), "topic was deleted and created again", "it is another cluster's")
			}
			require.Contains(t, s.tell(exitError, "state", "plan", s.view, "-brokers", brokers, "-timeout", "1s"), "TLS or SASL")
		})
	}
	require.Contains(t, s.tell(exitError, "state", "plan", s.view, "-brokers", "127.0.0.1:1", "-config", "/nowhere"), "client properties: open /nowhere")
	require.Contains(t, s.tell(exitOK, "state", "plan", "-h"), inspect.PasswordVariable)
}
