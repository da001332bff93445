package broker

import (
	"net"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestStart(t *testing.T) {
	b, err := Start(t.Context(), t.TempDir())
	require.NoError(t, err)
	conn, err := net.Dial("tcp", b.Addr)
	require.NoError(t, err)
	require.NoError(t, conn.Close())
	require.NoError(t, b.Stop())
	_, err = net.Dial("tcp", b.Addr)
	require.Error(t, err)
}

func TestAddressIsMissing(t *testing.T) {
	_, err := addrIn(strings.NewReader("A broker\n\n  data  in memory\n"))
	require.ErrorContains(t, err, "it tells no address")
}
