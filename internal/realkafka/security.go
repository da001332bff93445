package realkafka

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"maps"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Security makes a cluster that checks rights (ACLs), and gives each broker two more ports: one with TLS and SASL, and one
// whose certificate has expired. The plain port stays; whoever comes by it is a super user, for the test's own administration.
type Security struct {
	// Users are passwords by name, for SASL PLAIN, SCRAM-SHA-256 and SCRAM-SHA-512. They have no right but what ACLs give them.
	Users map[string]string
}

// scramMechanisms are those that the port with SASL takes, beside PLAIN.
var scramMechanisms = []string{"SCRAM-SHA-256", "SCRAM-SHA-512"}

// Names of the listeners that Security adds.
const (
	secured = "SECURED"
	expired = "EXPIRED"
)

// credentials are arguments of the storage tool's format.
func (s *Security) credentials() []string {
	var args []string
	for _, name := range slices.Sorted(maps.Keys(s.Users)) {
		for _, mechanism := range scramMechanisms {
			args = append(args, "--add-scram", fmt.Sprintf("%s=[name=%s,password=%s]", mechanism, name, s.Users[name]))
		}
	}
	return args
}

// properties are those of one broker, whose PEM files lie in dir.
func (s *Security) properties(own ports, dir string) map[string]string {
	plain := "org.apache.kafka.common.security.plain.PlainLoginModule required"
	for _, name := range slices.Sorted(maps.Keys(s.Users)) {
		plain += fmt.Sprintf(" user_%s=%q", name, s.Users[name])
	}
	of := func(listener string) string { return "listener.name." + strings.ToLower(listener) + "." }
	conf := map[string]string{
		"listeners": fmt.Sprintf("PLAINTEXT://127.0.0.1:%d,CONTROLLER://127.0.0.1:%d,%s://127.0.0.1:%d,%s://127.0.0.1:%d",
			own.client, own.controller, secured, own.secured, expired, own.expired),
		"advertised.listeners": fmt.Sprintf("PLAINTEXT://127.0.0.1:%d,%s://127.0.0.1:%d,%s://127.0.0.1:%d",
			own.client, secured, own.secured, expired, own.expired),
		"listener.security.protocol.map": fmt.Sprintf("PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,%s:SASL_SSL,%s:SSL", secured, expired),
		"inter.broker.listener.name":     "PLAINTEXT",
		"authorizer.class.name":          "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
		"super.users":                    "User:ANONYMOUS",

		of(secured) + "sasl.enabled.mechanisms": "PLAIN," + strings.Join(scramMechanisms, ","),
		of(secured) + "plain.sasl.jaas.config":  plain + ";",
	}
	for _, mechanism := range scramMechanisms {
		conf[of(secured)+strings.ToLower(mechanism)+".sasl.jaas.config"] = "org.apache.kafka.common.security.scram.ScramLoginModule required;"
	}
	for _, listener := range []string{secured, expired} {
		conf[of(listener)+"ssl.keystore.type"] = "PEM"
		conf[of(listener)+"ssl.keystore.location"] = filepath.Join(dir, strings.ToLower(listener)+".pem")
	}
	return conf
}

// writeKeys makes the certificates of a broker, one good and one expired, in dir.
func (a *authority) writeKeys(dir string) error {
	now := time.Now()
	for listener, until := range map[string]time.Time{secured: now.Add(24 * time.Hour), expired: now.Add(-time.Hour)} {
		text, err := a.issue(until)
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, strings.ToLower(listener)+".pem"), text, 0o600); err != nil {
			return err
		}
	}
	return nil
}

// authority signs the brokers' certificates.
type authority struct {
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
}

func newAuthority() (*authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authority of tests"},
		NotBefore: time.Now().Add(-48 * time.Hour), NotAfter: time.Now().Add(48 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return nil, err
	}
	cert, err := x509.ParseCertificate(der)
	return &authority{key, cert}, err
}

// issue gives a new key and its certificate for 127.0.0.1, in PEM as Kafka takes them.
func (a *authority) issue(until time.Time) ([]byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "broker"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: until.Add(-24 * time.Hour), NotAfter: until, KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
	cert, err := x509.CreateCertificate(rand.Reader, template, a.cert, &key.PublicKey, a.key)
	if err != nil {
		return nil, err
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	return slices.Concat(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert})), nil
}

// Authority is the certificate, in PEM, of whoever has signed those of the brokers. nil without Options.Security.
func (c *Cluster) Authority() []byte {
	if c.authority == nil {
		return nil
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.authority.cert.Raw})
}

// Secured are the brokers' addresses with TLS and SASL, in the order of their ids.
func (c *Cluster) Secured() []string { return c.addrs(func(p ports) int { return p.secured }) }

// Expired are the brokers' addresses with TLS whose certificate has expired.
func (c *Cluster) Expired() []string { return c.addrs(func(p ports) int { return p.expired }) }
