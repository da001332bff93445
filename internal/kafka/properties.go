package kafka

import (
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/IBM/sarama"
	"github.com/magiconair/properties"
	"github.com/xdg-go/scram"
)

// PasswordVariable is the environment variable that has the SASL password where a properties file has none.
const PasswordVariable = "TARN_SASL_PASSWORD"

// ReadProperties reads how to connect from a file as Kafka's own tools take by --command-config, and kcat by -F. Of the names
// that the two have for one thing each is taken. What has nothing to do with TLS and SASL is left aside; what has, and means
// nothing here, is an error, since a connection that is less safe than was asked for would be worse. All faults are told at once.
func ReadProperties(file string) (*SaramaConfig, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("kafka: client properties: %w", err)
	}
	load := properties.Loader{Encoding: properties.UTF8, DisableExpansion: true}
	p, err := load.LoadBytes(text)
	if err != nil {
		return nil, fmt.Errorf("kafka: client properties %s: %w", file, err)
	}
	s := settings{values: p.Map(), conf: sarama.NewConfig()}
	s.conf.MetricRegistry = nil // which has a goroutine
	s.read()
	if len(s.faults) > 0 {
		return nil, fmt.Errorf("kafka: client properties %s: %w", file, errors.Join(s.faults...))
	}
	return s.conf, nil
}

// settings are a file's values; those that are read are taken out.
type settings struct {
	values map[string]string
	conf   *sarama.Config
	faults []error
}

func (s *settings) fault(format string, args ...any) {
	s.faults = append(s.faults, fmt.Errorf(format, args...))
}

// take gives the value of the first name that has one.
func (s *settings) take(names ...string) (value string) {
	for _, name := range slices.Backward(names) {
		if v := strings.TrimSpace(s.values[name]); v != "" {
			value = v
		}
		delete(s.values, name)
	}
	return value
}

func (s *settings) read() {
	protocol := cmp.Or(strings.ToUpper(s.take("security.protocol")), "PLAINTEXT")
	switch protocol {
	case "PLAINTEXT":
	case "SSL":
		s.tls()
	case "SASL_PLAINTEXT":
		s.sasl()
	case "SASL_SSL":
		s.tls()
		s.sasl()
	default:
		s.fault("security.protocol=%s: one of PLAINTEXT, SSL, SASL_PLAINTEXT, SASL_SSL", protocol)
		return
	}
	for _, name := range slices.Sorted(maps.Keys(s.values)) {
		for _, prefix := range []string{"ssl.", "sasl.", "security.", "enable.ssl."} {
			if strings.HasPrefix(name, prefix) {
				s.fault("%s means nothing here with security.protocol=%s", name, protocol)
			}
		}
	}
}

// jaasField is a user name or a password in Java's sasl.jaas.config.
var jaasField = regexp.MustCompile(`\b(username|password)\s*=\s*"((?:[^"\\]|\\.)*)"`)

func (s *settings) sasl() {
	net := &s.conf.Net.SASL
	user, password := s.take("sasl.username"), s.take("sasl.password")
	for _, field := range jaasField.FindAllStringSubmatch(s.take("sasl.jaas.config"), -1) {
		value, err := strconv.Unquote(`"` + field[2] + `"`)
		if err != nil {
			s.fault("sasl.jaas.config: the %s cannot be read", field[1])
		}
		if field[1] == "username" {
			user = value
		} else {
			password = value
		}
	}
	if password == "" {
		password = os.Getenv(PasswordVariable)
	}
	if user == "" {
		s.fault("no user: set sasl.username, or sasl.jaas.config")
	}
	if password == "" {
		s.fault("no password: set sasl.password, sasl.jaas.config, or the environment variable %s", PasswordVariable)
	}
	mechanism := strings.ToUpper(s.take("sasl.mechanism", "sasl.mechanisms"))
	net.Enable, net.User, net.Password, net.Mechanism = true, user, password, sarama.SASLMechanism(mechanism)
	switch mechanism {
	case sarama.SASLTypePlaintext:
	case sarama.SASLTypeSCRAMSHA256:
		net.SCRAMClientGeneratorFunc = func() sarama.SCRAMClient { return &scramClient{hash: scram.SHA256} }
	case sarama.SASLTypeSCRAMSHA512:
		net.SCRAMClientGeneratorFunc = func() sarama.SCRAMClient { return &scramClient{hash: scram.SHA512} }
	default:
		s.fault("sasl.mechanism=%s: one of PLAIN, SCRAM-SHA-256, SCRAM-SHA-512", mechanism)
	}
}

// scramClient is what sarama asks its users for.
type scramClient struct {
	hash scram.HashGeneratorFcn
	talk *scram.ClientConversation
}

// Begin implements sarama.SCRAMClient.
func (c *scramClient) Begin(user, password, authz string) error {
	client, err := c.hash.NewClient(user, password, authz)
	if err == nil {
		c.talk = client.NewConversation()
	}
	return err
}

// Step implements sarama.SCRAMClient.
func (c *scramClient) Step(challenge string) (string, error) { return c.talk.Step(challenge) }

// Done implements sarama.SCRAMClient.
func (c *scramClient) Done() bool { return c.talk.Done() }

// tls takes files in PEM. The broker's name is always checked.
func (s *settings) tls() {
	conf := &tls.Config{MinVersion: tls.VersionTLS12}
	s.conf.Net.TLS.Enable, s.conf.Net.TLS.Config = true, conf
	for _, name := range []string{"ssl.truststore.type", "ssl.keystore.type"} {
		if kind := s.take(name); kind != "" && kind != "PEM" {
			s.fault("%s=%s: only PEM can be read", name, kind)
		}
	}
	if check, set := s.values["ssl.endpoint.identification.algorithm"]; set && check != "https" {
		s.fault("ssl.endpoint.identification.algorithm=%s: the broker's name is always checked", check)
	}
	if on := s.take("enable.ssl.certificate.verification"); on != "" && on != "true" {
		s.fault("enable.ssl.certificate.verification=%s: the broker's certificate is always checked", on)
	}
	delete(s.values, "ssl.endpoint.identification.algorithm")
	if ca := s.take("ssl.ca.location", "ssl.truststore.location"); ca != "" {
		s.trust(conf, ca)
	}
	both := s.take("ssl.keystore.location")
	cert, key := s.take("ssl.certificate.location"), s.take("ssl.key.location")
	if both != "" && cert == "" && key == "" {
		cert, key = both, both
	}
	if cert == "" && key == "" {
		return
	}
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		s.fault("the client's certificate %q with the key %q: %w", cert, key, err)
		return
	}
	conf.Certificates = []tls.Certificate{pair}
}

func (s *settings) trust(conf *tls.Config, ca string) {
	pem, err := os.ReadFile(ca)
	if err != nil {
		s.fault("the authorities' certificates: %w", err)
		return
	}
	if conf.RootCAs = x509.NewCertPool(); !conf.RootCAs.AppendCertsFromPEM(pem) {
		s.fault("the authorities' certificates: %s holds none in PEM", ca)
	}
}
