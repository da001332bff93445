//go:build kafka

package workload

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tarnstream/tarn/internal/realkafka"
)

// Kafka Streams does the whole of each work, which Measure verifies, as do the others on the same broker.
func TestMeasure_KafkaStreams(t *testing.T) {
	if err := realkafka.Missing(); err != nil {
		t.Skip(err)
	}
	c, err := realkafka.Start(t.Context(), realkafka.Options{})
	require.NoError(t, err)
	defer func() { require.NoError(t, c.Close()) }()
	s := newSite(t, c.Addrs(), Shape{Partitions: 3, Records: 3000, Keys: 100, ValueBytes: 20, Seed: 1})
	requirePass(t, s, Streams)
	requirePass(t, s, StreamsAtLeastOnce)
	session := 6 * time.Second // the least that the broker allows
	for _, j := range []Job{
		{Client: Streams, Work: Count}, {Client: StreamsAtLeastOnce, Work: Count}, {Client: StreamsUncached, Work: Count}, {Client: StreamsExactlyUncached, Work: Count},
		{Client: Tarn, Work: Count},
		{Client: Streams, Work: Map}, {Client: StreamsAtLeastOnce, Work: Map},
		{Client: Streams, Work: Restore}, {Client: LevelDB, Work: Restore},
		{Client: Streams, Work: Lookup, Readers: 2},
		{Client: Streams, Work: Restart, SessionTimeout: session}, {Client: Streams, Work: Restart, SessionTimeout: session, Kill: true},
		{Client: StreamsAtLeastOnce, Work: Restart, SessionTimeout: session, Kill: true}, {Client: Goka, Work: Restart, Kill: true},
	} {
		out, err := s.measure(t.Context(), t, j)
		require.NoError(t, err)
		check(t, j.Work, out)
		require.Positive(t, out.Peak)
		t.Logf("%s %s kill=%v: %.2f s, %.2f s of CPU, %d MiB, %d restored", j.Client, j.Work, j.Kill, out.Seconds, out.CPU, out.Peak>>20, out.Restored)
	}
}
