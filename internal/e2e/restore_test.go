//go:build kafka

package e2e_test

import (
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/IBM/sarama"
	"github.com/stretchr/testify/require"

	"github.com/tarnstream/tarn/internal/realkafka"
	"github.com/tarnstream/tarn/state"
)

// expires is a table's topic that also lets DeleteRecords be.
var expires = map[string]string{"cleanup.policy": "compact,delete"}

// with runs a test with each program, on topics of its own.
func with(t *testing.T, test func(s *site, start func() *program)) {
	for kind, start := range programs {
		t.Run(kind, func(t *testing.T) {
			s, dir := newSite(t), t.TempDir()
			test(s, func() *program { return start(s, dir) })
		})
	}
}

// tables makes the topics of a program, the table's with configs.
func (s *site) tables(configs ...map[string]string) {
	s.create("input", 1)
	s.create("table", 1, append([]map[string]string{{"cleanup.policy": "compact"}}, configs...)...)
}

func TestR01_CheckpointBelowLogStart(t *testing.T) {
	with(t, func(s *site, start func() *program) {
		s.tables(expires)
		s.put("table", "dead", "1", "kept", "1")
		start().current().stop() // the checkpoint is 2
		s.put("table", "kept", "2", "new", "1")
		s.trim("table", 3)
		p := start()
		require.Equal(s, map[string]string{"new": "1"}, p.requireFold())
		decisions, cause := p.planned()
		require.Equal(s, []state.Decision{state.Rebuild}, decisions)
		require.Equal(s, "checkpoint 2 is below the log start 3", cause)
	})
}

// Retention itself, not DeleteRecords: whole segments are deleted by age.
func TestR01_RetentionDeletesSegments(t *testing.T) {
	with(t, func(s *site, start func() *program) {
		s.tables(map[string]string{"cleanup.policy": "compact,delete", "segment.ms": "1000", "retention.ms": "1000"})
		s.put("table", "dead", "1")
		start().current().stop()
		s.eventually("retention has passed the checkpoint", func() bool {
			s.put("table", "later", "1")
			first, _ := s.bounds("table")
			return first > 1
		})
		s.configure("table", "retention.ms", "-1") // or the log is another one when the table is compared with it
		s.put("table", "later", "2")
		require.NotContains(s, start().requireFold(), "dead")
	})
}

func TestR03_CheckpointBeyondLogEnd(t *testing.T) {
	with(t, func(s *site, start func() *program) {
		s.tables()
		s.put("table", "a", "1", "b", "1", "c", "1")
		start().current().stop()
		s.remove("table")
		s.create("table", 1, map[string]string{"cleanup.policy": "compact"})
		s.put("table", "b", "2")
		p := start()
		require.Equal(s, map[string]string{"b": "2"}, p.requireFold())
		decisions, _ := p.planned()
		require.Equal(s, []state.Decision{state.Rebuild}, decisions)
	})
}

func TestR04_TopicRecreatedLongerThanTheCheckpoint(t *testing.T) {
	with(t, func(s *site, start func() *program) {
		s.tables()
		s.put("table", "a", "1", "b", "1")
		start().current().stop()
		s.remove("table")
		s.create("table", 1, map[string]string{"cleanup.policy": "compact"})
		s.put("table", "new", "1", "new", "2", "new", "3", "new", "4")
		p := start()
		require.Equal(s, map[string]string{"new": "4"}, p.requireFold())
		_, cause := p.planned()
		require.Equal(s, "topic was deleted and created again", cause)
	})
}

// An older copy of the partition's folder is put back, as an unclean election does, and written on past the checkpoint.
func TestR05_TruncatedAndGrownPastTheCheckpoint(t *testing.T) {
	for kind, start := range programs {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			cluster, err := realkafka.Start(t.Context(), realkafka.Options{Version: *version})
			require.NoError(t, err)
			t.Cleanup(func() { require.NoError(t, cluster.Close()) })
			s, dir := siteOn(t, cluster), t.TempDir()
			s.tables()
			broker := cluster.Broker(1)
			folder, copied := filepath.Join(broker.Data(), s.topic("table")+"-0"), filepath.Join(t.TempDir(), "copy")
			restarted := func(between func()) {
				require.NoError(t, broker.Stop(t.Context()))
				between()
				require.NoError(t, broker.Start(t.Context()))
			}
			s.put("table", "a", "1", "b", "1")
			restarted(func() { require.NoError(t, os.CopyFS(copied, os.DirFS(folder))) })
			s.put("table", "lost", "1", "lost", "2")
			start(s, dir).current().stop()
			restarted(func() {
				require.NoError(t, os.RemoveAll(folder))
				require.NoError(t, os.CopyFS(folder, os.DirFS(copied)))
			})
			for i := range 10 {
				s.put("table", "b", strconv.Itoa(i))
			}
			p := start(s, dir)
			require.Equal(t, map[string]string{"a": "1", "b": "9"}, p.requireFold())
			require.Equal(t, 1, p.resets)
		})
	}
}

func TestR06_TombstonesForgotten(t *testing.T) {
	with(t, func(s *site, start func() *program) {
		s.tables(realkafka.CompactSoon(1000))
		s.put("table", "dead", "1", "kept", "1")
		start().current().stop()
		s.put("table", "dead", none)
		s.cleanedOf("table", "dead")
		p := start()
		require.Equal(s, []string{"1"}, []string{p.requireFold()["kept"]})
		decisions, cause := p.planned()
		require.Equal(s, []state.Decision{state.Verify, state.Rebuild}, decisions, cause)
	})
}

// Nothing was deleted while it was away, and the tail shows it: it is read, and no more.
func TestR06_TailWithoutHoles(t *testing.T) {
	with(t, func(s *site, start func() *program) {
		s.tables(map[string]string{"delete.retention.ms": "1"})
		s.put("table", "a", "1", "b", "1")
		start().current().stop()
		s.put("table", "b", "2")
		p := start()
		require.Equal(s, map[string]string{"a": "1", "b": "2"}, p.requireFold())
		decisions, _ := p.planned()
		require.Equal(s, []state.Decision{state.Verify}, decisions)
	})
}

func TestR08_R11_LogEndsWithMarkersAndAbortedRecords(t *testing.T) {
	for name, how := range map[string]func(sarama.AsyncProducer) error{
		"commit": sarama.AsyncProducer.CommitTxn, "abort": sarama.AsyncProducer.AbortTxn,
	} {
		t.Run(name, func(t *testing.T) {
			with(t, func(s *site, start func() *program) {
				s.tables()
				s.put("table", "a", "1")
				s.end(s.transaction("table", "a", "2", "b", "2"), how)
				rows := start().requireFold()
				require.Equal(s, name == "commit", rows["a"] == "2")
				start().requireFold()
			})
		})
	}
}

func TestR09_BatchesEmptiedByTheCleaner(t *testing.T) {
	with(t, func(s *site, start func() *program) {
		s.tables(realkafka.CompactSoon(1000))
		for i := range 20 {
			s.put("table", "a", strconv.Itoa(i), "old", none)
		}
		s.cleanedOf("table", "old")
		s.end(s.transaction("table", "a", "aborted"), sarama.AsyncProducer.AbortTxn)
		require.Equal(s, "19", start().requireFold()["a"])
		start().requireFold()
	})
}

func TestR10_EmptyLogs(t *testing.T) {
	for name, prepare := range map[string]func(s *site){
		"empty":   func(*site) {},
		"markers": func(s *site) { s.end(s.transaction("table", "a", "1"), sarama.AsyncProducer.AbortTxn) },
		"trimmed": func(s *site) { s.put("table", "a", "1", "b", "1"); s.trim("table", 2) },
	} {
		t.Run(name, func(t *testing.T) {
			with(t, func(s *site, start func() *program) {
				s.tables(expires)
				prepare(s)
				require.Empty(s, start().requireFold())
			})
		})
	}
}

func TestR12_CommittedDataBehindAnOpenTransaction(t *testing.T) {
	with(t, func(s *site, start func() *program) {
		s.tables()
		open := s.transaction("table", "a", "1")
		s.put("table", "b", "1")
		p := start()
		s.eventually("the restore is planned", func() bool { return p.told(func(s *seen) bool { return len(s.decisions) > 0 }) })
		select {
		case <-p.ready:
			require.FailNow(s, "current before the transaction has ended")
		case <-time.After(time.Second):
		}
		s.end(open, sarama.AsyncProducer.CommitTxn)
		require.Equal(s, map[string]string{"a": "1", "b": "1"}, p.requireFold())
	})
}

// The log start rises, but not past the checkpoint: what lies below goes, also where nothing is rebuilt.
func TestR59_LogStartRaisedBelowThePosition(t *testing.T) {
	with(t, func(s *site, start func() *program) {
		s.tables(expires)
		s.put("table", "gone", "1", "kept", "1", "last", "1")
		start().current().stop()
		s.trim("table", 1)
		p := start()
		require.Equal(s, map[string]string{"kept": "1", "last": "1"}, p.requireFold())
		decisions, _ := p.planned()
		require.Equal(s, []state.Decision{state.Ready}, decisions)
		require.Equal(s, 1, p.swept)
	})
}
