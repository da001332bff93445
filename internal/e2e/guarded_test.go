//go:build kafka

package e2e_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"testing"
	"time"

	"github.com/IBM/sarama"
	"github.com/stretchr/testify/require"
	"github.com/xdg-go/scram"

	"github.com/tarnstream/tarn/internal/realkafka"
	"github.com/tarnstream/tarn/processor"
)

// The user that a guarded Kafka knows from its start.
const (
	knownUser     = "ann"
	knownPassword = "secret of ann"
)

// startGuarded starts a Kafka that asks for TLS and SASL and checks rights, for a test and those below it.
func startGuarded(t *testing.T) *realkafka.Cluster { return startGuardedWith(t, nil) }

func startGuardedWith(t *testing.T, config map[string]string) *realkafka.Cluster {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	cluster, err := realkafka.Start(ctx, realkafka.Options{Version: *version, Config: config, Security: &realkafka.Security{Users: map[string]string{knownUser: knownPassword}}})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, cluster.Close()) })
	return cluster
}

// guarded is a site with a user who has no rights but those granted.
type guarded struct {
	*site
	user, password string
	dir            string // of state
}

func newGuarded(t *testing.T, cluster *realkafka.Cluster) *guarded {
	t.Parallel()
	return newGuardedAlone(t, cluster)
}

func newGuardedAlone(t *testing.T, cluster *realkafka.Cluster) *guarded {
	t.Helper()
	s := siteOn(t, cluster)
	g := &guarded{site: s, user: s.topic("user"), password: "secret of it", dir: t.TempDir()}
	told, err := s.admin.UpsertUserScramCredentials([]sarama.AlterUserScramCredentialsUpsert{{Name: g.user, Mechanism: sarama.SCRAM_MECHANISM_SHA_512,
		Iterations: 4096, Salt: []byte("salt"), Password: []byte(g.password)}})
	require.NoError(t, err)
	require.Equal(t, sarama.ErrNoError, told[0].ErrorCode)
	return g
}

// grant gives rights, and waits until the broker knows of them.
func (g *guarded) grant(rights []right) {
	g.Helper()
	var acls []*sarama.ResourceAcls
	for _, r := range rights {
		pattern := sarama.AclPatternLiteral
		if r.prefixed {
			pattern = sarama.AclPatternPrefixed
		}
		acls = append(acls, &sarama.ResourceAcls{
			Resource: sarama.Resource{ResourceType: r.on, ResourceName: g.topic(r.name), ResourcePatternType: pattern},
			Acls:     []*sarama.Acl{{Principal: "User:" + g.user, Host: "*", Operation: r.operation, PermissionType: sarama.AclPermissionAllow}}})
	}
	require.NoError(g, g.admin.CreateACLs(acls))
	principal := "User:" + g.user
	g.eventually("the rights are known", func() bool {
		found, err := g.admin.ListAcls(sarama.AclFilter{ResourceType: sarama.AclResourceAny, ResourcePatternTypeFilter: sarama.AclPatternAny,
			Principal: &principal, Operation: sarama.AclOperationAny, PermissionType: sarama.AclPermissionAny})
		n := 0
		for _, of := range found {
			n += len(of.Acls)
		}
		return err == nil && n == len(rights)
	})
}

// config is how the user connects.
func (g *guarded) config() *sarama.Config {
	return tlsConfig(saslConfig(sarama.SASLTypeSCRAMSHA512, g.user, g.password), g.cluster)
}

func (g *guarded) options(more ...processor.Option) []processor.Option {
	return g.site.options(g.dir, &seen{}, append([]processor.Option{processor.Brokers(g.cluster.Secured()...), processor.Kafka(g.config())}, more...))
}

func tlsConfig(conf *sarama.Config, cluster *realkafka.Cluster) *sarama.Config {
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(cluster.Authority())
	conf.Net.TLS.Enable, conf.Net.TLS.Config = true, &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
	return conf
}

func saslConfig(mechanism sarama.SASLMechanism, user, password string) *sarama.Config {
	conf := sarama.NewConfig()
	conf.Net.SASL.Enable, conf.Net.SASL.Mechanism = true, mechanism
	conf.Net.SASL.User, conf.Net.SASL.Password = user, password
	hash := scram.SHA256
	if mechanism == sarama.SASLTypeSCRAMSHA512 {
		hash = scram.SHA512
	}
	conf.Net.SASL.SCRAMClientGeneratorFunc = func() sarama.SCRAMClient { return &scramClient{hash: hash} }
	return conf
}

// scramClient is the adapter that sarama asks its users for.
type scramClient struct {
	hash scram.HashGeneratorFcn
	talk *scram.ClientConversation
}

func (c *scramClient) Begin(user, password, authz string) error {
	client, err := c.hash.NewClient(user, password, authz)
	if err == nil {
		c.talk = client.NewConversation()
	}
	return err
}

func (c *scramClient) Step(challenge string) (string, error) { return c.talk.Step(challenge) }
func (c *scramClient) Done() bool                            { return c.talk.Done() }
