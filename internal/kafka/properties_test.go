package kafka_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/IBM/sarama"
	"github.com/stretchr/testify/require"

	"github.com/tarnstream/tarn/internal/kafka"
)

func properties(t *testing.T, text string) string {
	file := filepath.Join(t.TempDir(), "client.properties")
	require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
	return file
}

func TestReadProperties_AsTheToolsWriteThem(t *testing.T) {
	t.Setenv(kafka.PasswordVariable, "from outside")
	for name, tt := range map[string]struct{ text, mechanism, user, password string }{
		"nothing":    {"# a comment\nclient.id=x\nrequest.timeout.ms=1000\n", "", "", ""},
		"librdkafka": {"security.protocol=sasl_plaintext\nsasl.mechanisms=PLAIN\nsasl.username=ann\nsasl.password=s=e c:r${x}\n", "PLAIN", "ann", "s=e c:r${x}"},
		"java": {"security.protocol=SASL_PLAINTEXT\nsasl.mechanism=SCRAM-SHA-512\nsasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required \\\n" +
			"  username=\"ann\" \\\n  password=\"a \\\\\"b\\\\\" c\";\n", "SCRAM-SHA-512", "ann", `a "b" c`},
		"environment": {"security.protocol: SASL_PLAINTEXT\nsasl.mechanism: SCRAM-SHA-256\nsasl.username: ann\n", "SCRAM-SHA-256", "ann", "from outside"},
	} {
		t.Run(name, func(t *testing.T) {
			conf, err := kafka.ReadProperties(properties(t, tt.text))
			require.NoError(t, err)
			sasl := conf.Net.SASL
			if tt.mechanism == "" {
				require.False(t, sasl.Enable || conf.Net.TLS.Enable)
				return
			}
			require.Equal(t, []any{true, sarama.SASLMechanism(tt.mechanism), tt.user, tt.password}, []any{sasl.Enable, sasl.Mechanism, sasl.User, sasl.Password})
			require.Equal(t, tt.mechanism != "PLAIN", sasl.SCRAMClientGeneratorFunc != nil)
		})
	}
}

// What would make a connection less safe than the file asks for, or another one, is refused, all of it at once.
func TestReadProperties_Refused(t *testing.T) {
	t.Setenv(kafka.PasswordVariable, "")
	for name, tt := range map[string]struct {
		text string
		want []string
	}{
		"protocol": {"security.protocol=TLS", []string{"security.protocol=TLS: one of PLAINTEXT, SSL, SASL_PLAINTEXT, SASL_SSL"}},
		"unused":   {"sasl.username=ann\nssl.ca.location=x", []string{"sasl.username means nothing here with security.protocol=PLAINTEXT", "ssl.ca.location means nothing here"}},
		"login": {"security.protocol=SASL_PLAINTEXT\nsasl.mechanism=GSSAPI\nsasl.kerberos.service.name=kafka", []string{
			"no user: set sasl.username", "no password: set sasl.password, sasl.jaas.config, or the environment variable TARN_SASL_PASSWORD",
			"sasl.mechanism=GSSAPI: one of PLAIN, SCRAM-SHA-256, SCRAM-SHA-512", "sasl.kerberos.service.name means nothing here"}},
		"certificates": {"security.protocol=SSL\nssl.truststore.type=JKS\nssl.truststore.location=/nowhere\nssl.key.location=/nowhere.key\nssl.endpoint.identification.algorithm=\nssl.key.password=x", []string{
			"ssl.truststore.type=JKS: only PEM can be read", "/nowhere: no such file", `with the key "/nowhere.key"`, "the broker's name is always checked", "ssl.key.password means nothing here"}},
	} {
		t.Run(name, func(t *testing.T) {
			file := properties(t, tt.text)
			_, err := kafka.ReadProperties(file)
			require.ErrorContains(t, err, file)
			for _, want := range tt.want {
				require.ErrorContains(t, err, want)
			}
		})
	}
	_, err := kafka.ReadProperties("/nowhere")
	require.ErrorIs(t, err, os.ErrNotExist)
}
