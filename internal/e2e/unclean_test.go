//go:build kafka

package e2e_test

import (
	"maps"
	"testing"

	"github.com/IBM/sarama"
	"github.com/stretchr/testify/require"

	"github.com/tarnstream/tarn/internal/realkafka"
)

// A replica that was left behind becomes the leader: what the old one alone had is gone from the log, and from the table, be it open
// or stopped meanwhile.
func TestR05_R70_UncleanElection(t *testing.T) {
	cluster, err := realkafka.Start(t.Context(), realkafka.Options{Version: *version, Brokers: 3})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, cluster.Close()) })
	s, live, stopped := siteOn(t, cluster), t.TempDir(), t.TempDir()
	yes, one, compact := "true", "1", "compact"
	require.NoError(t, s.admin.CreateTopic(s.topic("table"), &sarama.TopicDetail{NumPartitions: -1, ReplicationFactor: -1,
		ReplicaAssignment: map[int32][]int32{0: {1, 2}},
		ConfigEntries:     map[string]*string{"unclean.leader.election.enable": &yes, "min.insync.replicas": &one, "cleanup.policy": &compact}}, false))
	s.eventually("the topic has a leader", func() bool { return s.leader("table") == 1 })
	s.put("table", "a", "1", "b", "1")
	p := startView(s, live)
	p.current()

	require.NoError(t, cluster.Broker(2).Stop(t.Context()))
	s.put("table", "b", "of one replica", "lost", "1", "lost", "2")
	p.await(map[string]string{"a": "1", "b": "of one replica", "lost": "2"})
	startView(s, stopped).current().stop()
	require.NoError(t, cluster.Broker(1).Kill())
	require.NoError(t, cluster.Broker(2).Start(t.Context()))
	s.eventually("the one that was left behind leads", func() bool { return s.leader("table") == 2 })

	p.await(map[string]string{"a": "1", "b": "1"})
	s.put("table", "b", "2", "c", "1", "c", "2", "c", "3")
	want := map[string]string{"a": "1", "b": "2", "c": "3"}
	p.await(want)
	p.stop()
	require.Equal(t, want, startView(s, stopped).requireFold())
	require.NoError(t, cluster.Broker(1).Start(t.Context()))
	require.Equal(t, want, startView(s, live).requireFold())
}

// leader is who leads partition 0, -1 for nobody.
func (s *site) leader(short string) int32 {
	if err := s.client.RefreshMetadata(s.topic(short)); err != nil {
		return -1
	}
	b, err := s.client.Leader(s.topic(short), 0)
	if err != nil {
		return -1
	}
	return b.ID()
}

// await waits until the rows are those.
func (p *program) await(want map[string]string) {
	p.Helper()
	p.eventually("the rows", func() bool {
		got, err := p.try()
		return err == nil && maps.Equal(want, got)
	})
}
