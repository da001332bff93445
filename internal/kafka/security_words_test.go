package kafka

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"testing"

	"github.com/IBM/sarama"
	"github.com/stretchr/testify/require"
)

// TestConnectWords: what an error at the start of a connection says, and whether asking again is of use. The embedded broker closes
// the connection on a wrong password; Kafka answers with a code first.
func TestConnectWords(t *testing.T) {
	plain := sarama.NewConfig()
	secure := sarama.NewConfig()
	secure.Net.TLS.Enable = true
	sasl := sarama.NewConfig()
	sasl.Net.SASL.Enable, sasl.Net.SASL.User, sasl.Net.SASL.Mechanism = true, "u", sarama.SASLTypePlaintext
	for _, tt := range []struct {
		err    error
		conf   *sarama.Config
		speaks bool
		want   string
		again  bool
	}{
		{err: io.EOF, conf: plain, want: "it may ask for TLS or SASL", again: true},
		{err: io.EOF, conf: secure, want: "may not speak TLS", again: true},
		{err: io.EOF, conf: secure, speaks: true, want: "it may ask for SASL", again: true},
		{err: io.EOF, conf: sasl, want: "may have refused SASL PLAIN", again: true},
		{err: fmt.Errorf("no: %w", sarama.ErrSASLAuthenticationFailed), conf: sasl, want: `SASL PLAIN refused user "u"`},
		{err: tls.RecordHeaderError{Msg: "odd"}, conf: secure, want: "does not speak TLS"},
		{err: &tls.CertificateVerificationError{Err: x509.UnknownAuthorityError{}}, conf: secure, want: "unknown authority"},
		{err: &net.OpError{Op: "dial", Err: errors.New("refused")}, conf: plain, want: "refused", again: true},
	} {
		err := explain(tt.err, tt.conf, tt.speaks)
		require.ErrorContains(t, err, tt.want)
		require.ErrorIs(t, err, tt.err)
		all := &UnreachableError{Addrs: []string{"a", "b"}, Causes: []error{err, err}}
		require.Equal(t, tt.again, retriable(all), "%v", err)
		require.Equal(t, tt.again, retriable(fmt.Errorf("kafka: %w", err)))
		all.Causes[1] = io.EOF
		require.True(t, retriable(all), "one broker may be good")
	}
	require.ErrorContains(t, explain(context.DeadlineExceeded, secure, false), "may not speak TLS")
}
