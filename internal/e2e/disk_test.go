//go:build kafka

package e2e_test

import (
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tarnstream/tarn/internal/realkafka"
	"github.com/tarnstream/tarn/processor"
)

// A broker that cannot write to its disk any more ends by itself. The group goes on with the others, and everything has counted once.
func TestBrokerDiskFails(t *testing.T) {
	cluster, err := realkafka.Start(t.Context(), realkafka.Options{Version: *version, Brokers: 3, Config: map[string]string{"min.insync.replicas": "2"}})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, cluster.Close()) })
	s := siteOn(t, cluster)
	soon := map[string]string{"segment.ms": "1000"} // a new file is wanted soon
	s.create("input", partitions, soon)
	s.create("count", partitions, compacted, soon)
	c := startCounter(s, t.TempDir(), processor.StopTimeout(patience))
	c.current()
	l := s.load()
	l.awaitMore(300)
	broker := cluster.Broker(2)
	require.NoError(t, os.Rename(broker.Data(), broker.Data()+".gone"))
	require.NoError(t, os.WriteFile(broker.Data(), nil, 0o444)) // no folder: nothing can be made in it, whoever asks
	select {
	case <-broker.Gone():
	case <-t.Context().Done():
	}
	l.awaitMore(300)
	l.stop()
	c.await(l.sent)
	audits, err := c.verify(t.Context())
	require.NoError(t, err)
	require.Len(t, audits, partitions)
	for _, a := range audits {
		require.NoError(t, a.Err)
		require.Empty(t, a.Differences)
	}
	c.stop()
}
