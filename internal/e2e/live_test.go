//go:build kafka

package e2e_test

import (
	"maps"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tarnstream/tarn/internal/realkafka"
	"github.com/tarnstream/tarn/processor"
	"github.com/tarnstream/tarn/state"
)

// bulk writes n rows of 100 KB.
func (s *site) bulk(short string, n int) {
	s.Helper()
	value := strings.Repeat("x", 100_000)
	for i := range n {
		s.put(short, "bulk-"+strconv.Itoa(i%10), value)
	}
}

// session is the shortest that a broker takes; the rebalance time-out of these tests is as long.
const session = 6 * time.Second

// slowly starts each program over a line that stops after some megabytes of a longer log, has disturb done meanwhile, and
// lets it go on.
func slowly(t *testing.T, topic map[string]string, disturb func(s *site), check func(p *program)) {
	for kind, start := range programs {
		t.Run(kind, func(t *testing.T) {
			s, l := newSite(t), holdAfter(2_000_000)
			s.tables(topic)
			s.put("table", "dead", "1")
			s.bulk("table", 120)
			p := start(s, t.TempDir(), l.option(), processor.MemoryBytes(32<<20), processor.SessionTimeout(session), processor.StopTimeout(session))
			t.Cleanup(l.rest.release) // a program that waits on its line does not end
			s.awaitSign("a connection has brought enough", l.rest.arrived)
			disturb(s)
			l.rest.release()
			check(p)
		})
	}
}

func TestR02_LogStartPassesTheReaderInMidRestore(t *testing.T) {
	slowly(t, expires, func(s *site) {
		s.put("table", "new", "1")
		s.trim("table", 119)
	}, func(p *program) {
		require.NotContains(p, p.requireFold(), "dead")
	})
}

// The deletion comes and is forgotten while the restore stands behind the row and before the deletion.
func TestR07_RestoreLongerThanDeletionsAreKept(t *testing.T) {
	slowly(t, realkafka.CompactSoon(1000), func(s *site) {
		s.put("table", "dead", none)
		s.cleanedOf("table", "dead")
	}, func(p *program) {
		rows := p.current().rows()
		p.stop()
		if _, back := rows["dead"]; back {
			require.True(p, p.unproven, "a key that may be back is told")
		}
		require.Len(p, without(rows, "dead", "filler"), 10)
		require.Len(p, without(p.fold("table"), "filler"), 10)
	})
}

// without counts no filler: it came after the end that the restore had to reach.
func without(rows map[string]string, keys ...string) map[string]string {
	rows = maps.Clone(rows)
	for _, key := range keys {
		delete(rows, key)
	}
	return rows
}

// The restore stands still for longer than the session and the rebalance may last: the member keeps its partition.
func TestR26_RestoreLongerThanTheSession(t *testing.T) {
	slowly(t, nil, func(s *site) {
		s.passes(2 * session)
	}, func(p *program) {
		require.Len(p, p.requireFold(), 11)
		require.Zero(p, p.lost)
		decisions, _ := p.planned()
		require.Equal(p, []state.Decision{state.Rebuild}, decisions)
	})
}

// A follower of a log that changes under it ends with what the topic has.
func TestR70_LiveFollower(t *testing.T) {
	for name, disturb := range map[string]func(s *site){
		"trimmed": func(s *site) { s.put("table", "a", "2", "b", "2"); s.trim("table", 4) },
		"recreated": func(s *site) {
			s.remove("table")
			s.create("table", 1, expires)
			s.put("table", "b", "3", "c", "3", "b", "4", "b", "5", "b", "6")
		},
		"emptied": func(s *site) { s.remove("table"); s.create("table", 1, expires) },
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t)
			s.tables(expires)
			s.put("table", "a", "1", "b", "1", "c", "1")
			p := startView(s, t.TempDir(), processor.AwaitTopics()).current()
			disturb(s)
			want := s.fold("table")
			s.eventually("the view is what the topic is", func() bool {
				rows, err := p.try()
				return err == nil && maps.Equal(want, rows)
			})
			p.requireAudit()
			p.stop()
		})
	}
}

// Nothing in an input that was made again has been counted, whatever the old offsets say.
func TestR58_InputMadeAgain(t *testing.T) {
	for name, running := range map[string]bool{"stopped": false, "running": true} {
		t.Run(name, func(t *testing.T) {
			s, dir := newSite(t), t.TempDir()
			s.create("input", 1)
			c := startCounter(s, dir)
			s.put("input", "a", "x", "a", "x", "a", "x")
			c.await(map[string]int64{"a": 3})
			if !running {
				c.stop()
			}
			s.remove("input")
			s.create("input", 1)
			s.put("input", "b", "x", "b", "x", "b", "x", "b", "x", "b", "x")
			if !running {
				c = startCounter(s, dir)
			}
			c.await(map[string]int64{"a": 3, "b": 5})
			c.stop()
		})
	}
}

// A callback sleeps past the rebalance time-out, another instance takes its task, and it wakes: nothing of it counts.
func TestR64_CallbackSleepsPastTheRebalance(t *testing.T) {
	s := newSite(t)
	s.create("input", 1)
	asleep, wake := make(chan struct{}, 1), make(chan struct{})
	waken := sync.OnceFunc(func() { close(wake) })
	t.Cleanup(waken)
	short := []processor.Option{processor.SessionTimeout(session), processor.StopTimeout(2 * time.Second)}
	first := startCounting(s, t.TempDir(), func(key string) {
		if key == "sleeper" {
			asleep <- struct{}{}
			<-wake
		}
	}, short...)
	s.put("input", "a", "x")
	first.await(map[string]int64{"a": 1})
	s.put("input", "sleeper", "x", "a", "x")
	s.awaitSign("the callback sleeps", asleep)
	first.cancel() // it stops, and its callback does not return
	second := startCounter(s, t.TempDir(), short...)
	second.await(map[string]int64{"a": 2, "sleeper": 1})
	var stuck *processor.StuckError
	require.ErrorAs(s, first.ended(), &stuck)
	waken()
	s.put("input", "a", "x")
	second.await(map[string]int64{"a": 3, "sleeper": 1})
	second.stop()
	require.Equal(s, map[string]int64{"a": 3, "sleeper": 1}, second.folded())
}
