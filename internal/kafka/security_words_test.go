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
		err   error
		conf  *sarama.Config
		want  string
		again bool
	}{
		{io.EOF, plain, "it may ask for TLS or SASL", true},
		{io.EOF, secure, "may not speak TLS", true},
		{io.EOF, sasl, "may have refused SASL PLAIN", true},
		{fmt.Errorf("no: %w", sarama.ErrSASLAuthenticationFailed), sasl, `SASL PLAIN refused user "u"`, false},
		{tls.RecordHeaderError{Msg: "odd"}, secure, "does not speak TLS", false},
		{&tls.CertificateVerificationError{Err: x509.UnknownAuthorityError{}}, secure, "unknown authority", false},
		{&net.OpError{Op: "dial", Err: errors.New("refused")}, plain, "refused", true},
	} {
		err := explain(tt.err, tt.conf)
		require.ErrorContains(t, err, tt.want)
		require.ErrorIs(t, err, tt.err)
		all := &UnreachableError{Addrs: []string{"a", "b"}, Causes: []error{err, err}}
		require.Equal(t, tt.again, retriable(all), "%v", err)
		require.Equal(t, tt.again, retriable(fmt.Errorf("kafka: %w", err)))
		all.Causes[1] = io.EOF
		require.True(t, retriable(all), "one broker may be good")
	}
	require.ErrorContains(t, explain(context.DeadlineExceeded, secure), "may not speak TLS")
}
