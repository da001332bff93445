package workload

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tarnstream/tarn/devbroker"
	"github.com/tarnstream/tarn/internal/kafka"
)

// site is a broker with an input and a table of the same shape.
type site struct {
	client  *kafka.Client
	brokers []string
	shape   Shape
	filled  map[string]Outcome
}

const (
	events = "events"
	table  = "table"
)

func newSite(t *testing.T, brokers []string, shape Shape) *site {
	t.Helper()
	client, err := kafka.NewClient(kafka.Config{Brokers: brokers, Logger: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	t.Cleanup(client.Close)
	require.NoError(t, client.Connect(t.Context()))
	s := &site{client: client, brokers: brokers, shape: shape, filled: map[string]Outcome{}}
	for _, topic := range []kafka.TopicSpec{{Name: events}, {Name: table, Configs: map[string]string{"cleanup.policy": "compact"}}} {
		s.filled[topic.Name], err = Fill(t.Context(), client, topic, shape)
		require.NoError(t, err)
	}
	return s
}

func embedded(t *testing.T) *site {
	t.Helper()
	b, err := devbroker.Start()
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, b.Close()) })
	return newSite(t, b.Addrs(), Shape{Partitions: 3, Records: 3000, Keys: 100, ValueBytes: 20, Seed: 1})
}

// measure does a job as the bench does, with what the client's work reads.
func (s *site) measure(ctx context.Context, t *testing.T, j Job) (Outcome, error) {
	t.Helper()
	j.Time = 200 * time.Millisecond
	j.Brokers, j.Shape, j.Records, j.Dir = s.brokers, s.shape, int64(s.shape.Records), t.TempDir()
	j.Group = fmt.Sprintf("%s-%s", j.Client, j.Work)
	j.Topic = events
	if j.Work == Restore || j.Work == Lookup {
		j.Topic = table
	}
	program, err := os.Executable()
	require.NoError(t, err)
	j.Filled = s.filled[j.Topic]
	return Measure(ctx, s.client, j, program, "client")
}

// check holds an outcome to what each has to tell.
func check(t *testing.T, work string, out Outcome) {
	t.Helper()
	require.Positive(t, out.Seconds)
	require.Positive(t, out.CPU)
	switch work {
	case Count, Map:
		require.Positive(t, out.Warm)
		require.Less(t, out.Warm, out.Seconds)
	case Lookup:
		require.Positive(t, out.Lookups)
		require.Positive(t, out.Readers)
	}
}

// Every client does the whole of each work, which Measure verifies, and leaves no topic behind.
func TestMeasure(t *testing.T) {
	s := embedded(t)
	for _, of := range []struct {
		work    string
		clients []string
	}{
		{Count, []string{Tarn, TarnAtLeastOnce, Goka, Sarama}},
		{Map, []string{Tarn, TarnAtLeastOnce, Goka}},
		{Restore, []string{Tarn, Goka, LevelDB}},
		{Fetch, []string{Raw}},
		{Lookup, []string{Tarn, Goka}},
		{Restart, []string{Tarn, TarnAtLeastOnce, Goka}},
	} {
		for _, client := range of.clients {
			t.Run(client+" "+of.work, func(t *testing.T) {
				out, err := s.measure(t.Context(), t, Job{Client: client, Work: of.work})
				require.NoError(t, err)
				check(t, of.work, out)
			})
		}
	}
	topics, err := s.client.Topics(t.Context())
	require.NoError(t, err)
	for name := range topics {
		require.Contains(t, []string{events, table, "__consumer_offsets", "__transaction_state"}, name)
	}
}

func TestMeasure_WrongWorkIsRefused(t *testing.T) {
	s := embedded(t)
	j := Job{Client: Goka, Work: Restore, Records: 3000, Group: "g", Shape: s.shape, Filled: s.filled[table]}
	got := s.filled[table]
	require.NoError(t, verify(t.Context(), s.client, j, got))
	got.Sum--
	require.ErrorContains(t, verify(t.Context(), s.client, j, got), "goka restore: 100 rows with the sum")

	// An output that has each record, where every other should have been left out.
	_, err := Fill(t.Context(), s.client, kafka.TopicSpec{Name: OutputOf("g")}, s.shape)
	require.NoError(t, err)
	j.Work = Map
	require.ErrorContains(t, verify(t.Context(), s.client, j, Outcome{}), "a value that was not mapped")
}

// What is handed on is all that came in; the topic is whose load is timed.
func TestMeasure_Pass(t *testing.T) {
	s := embedded(t)
	for _, client := range []string{Tarn, TarnAtLeastOnce, Goka} {
		requirePass(t, s, client)
	}
}

func requirePass(t *testing.T, s *site, client string) {
	t.Helper()
	output := OutputOf(client + "-" + Pass)
	require.NoError(t, s.client.CreateTopics(t.Context(), []kafka.TopicSpec{{Name: output, Partitions: 3}}))
	_, err := s.measure(t.Context(), t, Job{Client: client, Work: Pass})
	require.NoError(t, err, client)
	var sum int64
	require.NoError(t, scan(t.Context(), s.client, output, func(_, value []byte) {
		n, err := numberOf(value)
		require.NoError(t, err)
		sum += n
	}))
	require.Equal(t, int64(3000*2999/2), sum, client)
	require.NoError(t, s.client.DeleteTopics(t.Context(), output))
}

// A killed process's successor goes on with its state. goka's has to wait for the group's session to time out: that is left
// to a real broker.
func TestMeasure_RestartAfterKill(t *testing.T) {
	s := embedded(t)
	for _, client := range []string{Tarn, TarnAtLeastOnce} {
		out, err := s.measure(t.Context(), t, Job{Client: client, Work: Restart, Kill: true})
		require.NoError(t, err)
		check(t, Restart, out)
		require.Less(t, out.Restored, int64(3000+10_000), "not the whole topic of its table again")
	}
}

func TestMeasure_SeveralReaders(t *testing.T) {
	out, err := embedded(t).measure(t.Context(), t, Job{Client: Tarn, Work: Lookup, Readers: 3})
	require.NoError(t, err)
	check(t, Lookup, out)
	require.Equal(t, 3, out.Readers)
}

func TestLookUp_ReaderThatFindsSomethingElse(t *testing.T) {
	asked := 0
	_, err := lookUp(t.Context(), Job{Shape: Shape{Keys: 10}, Readers: 1, Time: time.Hour}, func(string) ([]byte, bool, error) {
		asked++
		return []byte("0000000001"), asked <= 15, nil
	})
	require.ErrorContains(t, err, "10 rows with the sum 10")
}

// A process that ends by itself is told of at once.
func TestMeasure_RestartOfAProcessThatFails(t *testing.T) {
	s := embedded(t)
	_, err := s.measure(t.Context(), t, Job{Client: "nobody", Work: Restart})
	require.ErrorContains(t, err, "the process has ended by itself: exit status 1")
}
