//go:build kafka

package e2e_test

import (
	"crypto/x509"
	"log/slog"
	"testing"
	"time"

	"github.com/IBM/sarama"
	"github.com/stretchr/testify/require"

	"github.com/tarnstream/tarn/codec"
	"github.com/tarnstream/tarn/processor"
	"github.com/tarnstream/tarn/topology"
)

// starts are the ways to begin with a connection.
var starts = map[string]func(*testing.T, []processor.Option) error{
	"processor": func(t *testing.T, options []processor.Option) error {
		table := topology.NewTable("table", codec.String)
		of, err := topology.Define("group", topology.Persist(table), topology.Input(topology.NewStream("input", codec.String),
			func(ctx *topology.Context, value string) error { return table.Set(ctx, value) }))
		require.NoError(t, err)
		p, err := processor.New(of, options...)
		require.NoError(t, err)
		return p.Run(t.Context())
	},
	"view": func(t *testing.T, options []processor.Option) error {
		v, err := processor.NewView(topology.NewTable("table", codec.String), options...)
		require.NoError(t, err)
		return v.Run(t.Context())
	},
	"emitter": func(t *testing.T, options []processor.Option) error {
		e, err := processor.NewEmitter(topology.NewStream("out", codec.String), options...)
		require.NoError(t, err)
		err = e.Emit(t.Context(), "k", "v")
		require.NoError(t, e.Close(t.Context()))
		return err
	},
}

// TestConnectionRefused: what waiting does not mend ends a start long before its time is over; what may be trouble that
// passes, at its end. Either error names the address and the cause.
func TestConnectionRefused(t *testing.T) {
	cluster := startGuarded(t)
	trusting := func(conf *sarama.Config) *sarama.Config { return tlsConfig(conf, cluster) }
	as := func(mechanism sarama.SASLMechanism, user, password string) *sarama.Config {
		return trusting(saslConfig(mechanism, user, password))
	}
	stranger := as(sarama.SASLTypePlaintext, knownUser, knownPassword)
	stranger.Net.TLS.Config.RootCAs = x509.NewCertPool()
	misnamed := as(sarama.SASLTypePlaintext, knownUser, knownPassword)
	misnamed.Net.TLS.Config.ServerName = "kafka.example.org"
	for name, tt := range map[string]struct {
		addrs []string
		conf  *sarama.Config
		says  string
		waits bool // until the time is over
	}{
		"PLAIN, wrong password":         {addrs: cluster.Secured(), conf: as(sarama.SASLTypePlaintext, knownUser, "guess"), says: `SASL PLAIN refused user "ann"`},
		"PLAIN, unknown user":           {addrs: cluster.Secured(), conf: as(sarama.SASLTypePlaintext, "bob", "guess"), says: `SASL PLAIN refused user "bob"`},
		"SCRAM-SHA-256, wrong password": {addrs: cluster.Secured(), conf: as(sarama.SASLTypeSCRAMSHA256, knownUser, "guess"), says: `SASL SCRAM-SHA-256 refused user "ann"`},
		"SCRAM-SHA-512, wrong password": {addrs: cluster.Secured(), conf: as(sarama.SASLTypeSCRAMSHA512, knownUser, "guess"), says: `SASL SCRAM-SHA-512 refused user "ann"`},
		"SCRAM-SHA-512, unknown user":   {addrs: cluster.Secured(), conf: as(sarama.SASLTypeSCRAMSHA512, "bob", "guess"), says: `SASL SCRAM-SHA-512 refused user "bob"`},
		"expired certificate":           {addrs: cluster.Expired(), conf: trusting(sarama.NewConfig()), says: "certificate has expired"},
		"unknown authority":             {addrs: cluster.Secured(), conf: stranger, says: "certificate signed by unknown authority"},
		"certificate of another name":   {addrs: cluster.Secured(), conf: misnamed, says: "kafka.example.org"},
		"plaintext port spoken TLS":     {addrs: cluster.Addrs(), conf: trusting(sarama.NewConfig()), says: "the port may not speak TLS", waits: true},
		"TLS port spoken plaintext":     {addrs: cluster.Expired(), conf: sarama.NewConfig(), says: "it may ask for TLS or SASL", waits: true},
		"SASL port without SASL":        {addrs: cluster.Secured(), conf: trusting(sarama.NewConfig()), says: "it may ask for SASL", waits: true},
	} {
		for kind, start := range starts {
			t.Run(name+"/"+kind, func(t *testing.T) {
				t.Parallel()
				const far, near = time.Minute, 3 * time.Second
				limit := map[bool]time.Duration{true: near, false: far}[tt.waits]
				began := time.Now()
				err := start(t, []processor.Option{processor.Brokers(tt.addrs...), processor.Kafka(tt.conf), processor.StateDir(t.TempDir()),
					processor.StartTimeout(limit), processor.Logger(slog.New(slog.NewTextHandler(testWriter{t}, nil)))})
				took := time.Since(began)
				t.Log(took, err)
				require.ErrorContains(t, err, tt.says)
				require.ErrorContains(t, err, tt.addrs[0])
				require.Equal(t, tt.waits, took >= limit, "after %v", took)
				require.Less(t, took, far/2)
			})
		}
	}
}
