//go:build kafka

package e2e_test

import (
	"bytes"
	"context"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tarnstream/tarn/internal/realkafka"
	"github.com/tarnstream/tarn/processor"
)

// logged is a log that is read while it is written.
type logged struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logged) has(all ...string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for line := range strings.Lines(l.text.String()) {
		found := true
		for _, s := range all {
			found = found && strings.Contains(line, s)
		}
		if found {
			return true
		}
	}
	return false
}

func (l *logged) all() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// A table's topic asks for three replicas in sync and one broker is down: its effects wait, the log says why, and nothing of them
// is committed. They also wait while two are down. When all are back everything has counted once.
func TestTooFewReplicasInSync(t *testing.T) {
	const refused = "fewer in-sync replicas than required"
	t.Run("exactly once", func(t *testing.T) {
		// What waits first is the records, or the coordinator with the last transaction's markers.
		tooFewReplicas(t, []string{refused, "a transaction waits for its coordinator"})
	})
	t.Run("at least once", func(t *testing.T) {
		tooFewReplicas(t, []string{refused}, processor.AtLeastOnce())
	})
}

func tooFewReplicas(t *testing.T, says []string, options ...processor.Option) {
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	cluster, err := realkafka.Start(ctx, realkafka.Options{Version: *version, Brokers: 3})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, cluster.Close()) })
	s, said := siteOn(t, cluster), &logged{}
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(said.all())
		}
	})
	s.create("input", 1)
	s.create("count", 1, compacted, map[string]string{"min.insync.replicas": "3"})
	c := startCounter(s, t.TempDir(), append(options, processor.Logger(slog.New(slog.NewTextHandler(said, nil))))...)
	s.put("input", "a", "x")
	s.eventually("the first is committed", func() bool { return s.committed("input") == 1 })

	require.NoError(t, cluster.Broker(2).Stop(ctx))
	s.put("input", "a", "x", "b", "x")
	s.eventually("the log says what is waited for", func() bool {
		return slices.ContainsFunc(says, func(cause string) bool { return said.has("level=WARN", cause) })
	})
	require.NoError(t, c.stats().Err)
	require.Equal(t, int64(1), s.committed("input"), "no commit of what waits")

	require.NoError(t, cluster.Broker(3).Kill())
	require.NoError(t, cluster.Broker(2).Start(ctx))
	require.NoError(t, cluster.Broker(3).Start(ctx))
	want := map[string]int64{"a": 2, "b": 1}
	c.await(want)
	c.stop()
	require.Equal(t, want, c.folded())
}
