//go:build kafka

package e2e_test

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/IBM/sarama"
	"github.com/stretchr/testify/require"

	"github.com/tarnstream/tarn/internal/scope"
	"github.com/tarnstream/tarn/policy"
	"github.com/tarnstream/tarn/processor"
)

// partitions of the inputs of these tests.
const partitions = 4

// load writes records to "input" until it is stopped.
type load struct {
	*site
	out  sarama.SyncProducer // each record is there once, whatever brokers do
	mu   sync.Mutex
	sent map[string]int64
	stop func()
}

func (s *site) load() *load {
	s.Helper()
	conf := saramaConfig()
	conf.Producer.Idempotent = true
	conf.Producer.Retry.Max = 600 // of 100 ms each: brokers go away
	out, err := sarama.NewSyncProducer(s.cluster.Addrs(), conf)
	require.NoError(s, err)
	l, end, ended := &load{site: s, out: out, sent: map[string]int64{}}, make(chan struct{}), make(chan error, 1)
	for i := range 50 {
		s.keys[fmt.Sprint("key-", i)] = true
	}
	keys := slices.Sorted(maps.Keys(s.keys))
	go func() {
		for i := 0; ; i++ {
			select {
			case <-end:
				ended <- nil
				return
			default:
			}
			if err := l.send(keys[i%len(keys)]); err != nil {
				ended <- err
				return
			}
		}
	}()
	l.stop = sync.OnceFunc(func() {
		close(end)
		require.NoError(s, <-ended)
		require.NoError(s, out.Close())
	})
	s.Cleanup(l.stop)
	return l
}

func (l *load) send(key string) error {
	m := &sarama.ProducerMessage{Topic: l.topic("input"), Partition: scope.Murmur2.Partition([]byte(key), partitions),
		Key: sarama.StringEncoder(key), Value: sarama.StringEncoder("x")}
	if _, _, err := l.out.SendMessage(m); err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sent[key]++
	return nil
}

func (l *load) total() (n int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, of := range l.sent {
		n += of
	}
	return n
}

// awaitMore waits until so much more has been sent.
func (l *load) awaitMore(n int64) {
	l.Helper()
	from := l.total()
	l.eventually("there is load", func() bool { return l.total() >= from+n })
}

// members are the ids of the group's members, as Kafka has them.
func (s *site) members() (ids []string) {
	s.Helper()
	groups, err := s.admin.DescribeConsumerGroups([]string{s.topic("group")})
	require.NoError(s, err)
	return slices.Sorted(maps.Keys(groups[0].Members))
}

// awaitShared waits until two members have half of the tasks each.
func (s *site) awaitShared() {
	s.Helper()
	s.eventually("tasks are shared", func() bool {
		groups, err := s.admin.DescribeConsumerGroups([]string{s.topic("group")})
		require.NoError(s, err)
		shared := 0
		for _, m := range groups[0].Members {
			if a, err := m.GetMemberAssignment(); err == nil && a != nil && len(a.Topics[s.topic("input")]) == partitions/2 {
				shared++
			}
		}
		return shared == 2
	})
}

// SIGTERM under load: the process ends soon, with status 0; its group has no member; its next start has nothing to restore;
// and every record is counted once.
func TestStop_SIGTERMUnderLoad(t *testing.T) {
	s, dir := newSite(t), t.TempDir()
	s.create("input", partitions)
	p := s.startMember(dir)
	p.awaitLine("ready", 1)
	l := s.load()
	l.awaitMore(500)
	require.NoError(t, p.Signal(syscall.SIGTERM))
	took := p.requireEnd()
	t.Log("a stop under load takes", took)
	require.Less(t, took, 10*time.Second)
	require.Empty(t, s.members(), "it has left")
	l.stop()
	p = s.startMember(dir)
	p.awaitLine("ready", 1)
	require.Equal(t, slices.Repeat([]string{"plan ready"}, partitions), p.said("plan"))
	require.NoError(t, p.Signal(syscall.SIGTERM))
	p.requireEnd()
	c := startCounter(s, dir)
	c.await(l.sent)
	c.stop()
}

// Two processors of a group in one process: one stops, the other has all tasks at once and goes on.
func TestStop_OneOfTwoInOneProcess(t *testing.T) {
	s := newSite(t)
	s.create("input", partitions)
	a, b := startCounter(s, t.TempDir()), startCounter(s, t.TempDir())
	a.current()
	b.current()
	s.awaitShared()
	l := s.load()
	l.awaitMore(300)
	began := time.Now()
	a.stop()
	t.Log("the stop of one takes", time.Since(began))
	l.awaitMore(300)
	l.stop()
	b.await(l.sent)
	require.Zero(t, b.lost)
	b.stop()
	require.Empty(t, s.members())
}

// By option a stop stays in the group, which keeps its tasks for it: the next start has them at once, without a rebalance.
func TestStop_StaysInTheGroup(t *testing.T) {
	s, dir := newSite(t), t.TempDir()
	s.create("input", partitions)
	a := startCounter(s, dir, processor.StateDir(dir, policy.StayOnStop()))
	a.current()
	l := s.load()
	l.awaitMore(200)
	members := s.members()
	a.stop()
	require.Equal(t, members, s.members(), "it is still there")
	began := time.Now()
	a = startCounter(s, dir, processor.StateDir(dir, policy.StayOnStop()))
	a.current()
	t.Log("tasks back and current after", time.Since(began))
	require.Less(t, time.Since(began), session)
	l.awaitMore(200)
	l.stop()
	a.await(l.sent)
	a.stop()
}

// kill -9, and a start on the same state directory: the process has its tasks back at once, and the other member hears of nothing.
func TestR14_KilledHasItsTasksBackAtOnce(t *testing.T) {
	s := newSite(t)
	s.create("input", partitions)
	dirs := []string{t.TempDir(), t.TempDir()}
	a := s.startMember(dirs[0])
	a.awaitLine("ready", 1)
	b := s.startMember(dirs[1])
	b.awaitLine("ready", 1)
	b.awaitLine(fmt.Sprint("rebalance assigned ", partitions/2), 1)
	s.awaitShared()
	l := s.load()
	l.awaitMore(500)
	heard, members := b.said("rebalance"), s.members()
	a.Kill()
	require.Error(t, <-a.Ended())
	began := time.Now()
	a = s.startMember(dirs[0])
	a.awaitLine(fmt.Sprint("rebalance assigned ", partitions/2), 1)
	back := time.Since(began)
	a.awaitLine("ready", 1)
	t.Log("tasks back after", back, "and current after", time.Since(began), "the start of the process included")
	require.Less(t, time.Since(began), session, "it does not wait for the end of a session")
	l.awaitMore(500)
	require.Equal(t, heard, b.said("rebalance"), "the other one hears of nothing")
	require.Len(t, s.members(), len(members))
	l.stop()
	for _, p := range []*process{a, b} {
		require.NoError(t, p.Signal(syscall.SIGTERM))
		p.requireEnd()
	}
	c := startCounter(s, dirs[0])
	c.await(l.sent)
	c.stop()
}

// One identity in two live processes, as after a machine was cloned: the older ends with a named error, the newer goes on, and it stays so.
func TestR68_TwoLiveProcessesWithOneInstanceID(t *testing.T) {
	for name, options := range map[string][]processor.Option{"exactly once": nil, "at least once": {processor.AtLeastOnce()}} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t)
			s.create("input", partitions)
			dirs := []string{t.TempDir(), t.TempDir()}
			older := startCounter(s, dirs[0], options...)
			older.current()
			l := s.load()
			l.awaitMore(200)
			at := func(i int) string { return filepath.Join(dirs[i], "groups", s.topic("group")) }
			require.NoError(t, os.MkdirAll(at(1), 0o755))
			require.NoError(t, os.Link(filepath.Join(at(0), "INSTANCE"), filepath.Join(at(1), "INSTANCE")))
			began := time.Now()
			newer := startCounter(s, dirs[1], options...)
			newer.current()
			var fenced *processor.FencedError
			require.ErrorAs(t, older.ended(), &fenced)
			t.Log("the older one has ended", time.Since(began), "after the start of the newer one")
			require.Contains(t, fenced.Dir, dirs[0])
			l.awaitMore(300)
			l.stop()
			if options == nil {
				newer.await(l.sent)
			} else {
				newer.await(newer.atLeast(l.sent))
			}
			require.Zero(t, newer.lost)
			require.Len(t, s.members(), 1)
			newer.stop()
		})
	}
}

// atLeast waits until all is counted, and gives the counts.
func (c *counter) atLeast(want map[string]int64) (got map[string]int64) {
	c.Helper()
	c.eventually("all is counted", func() bool {
		var err error
		got, err = c.get()
		for key, n := range want {
			if got[key] < n {
				return false
			}
		}
		return err == nil
	})
	return got
}

// A state directory that was copied is another's: both run.
func TestR68_CopiedStateDirectory(t *testing.T) {
	s := newSite(t)
	s.create("input", partitions)
	from, to := t.TempDir(), filepath.Join(t.TempDir(), "copy")
	a := startCounter(s, from)
	a.current()
	l := s.load()
	l.awaitMore(200)
	a.stop()
	require.NoError(t, os.CopyFS(to, os.DirFS(from)))
	a = startCounter(s, from)
	b := startCounter(s, to)
	a.current()
	b.current()
	s.awaitShared()
	require.NotEqual(t, instanceOf(s, from), instanceOf(s, to))
	l.awaitMore(200)
	a.stop()
	l.stop()
	b.await(l.sent)
	b.stop()
}

// instanceOf is the id in a state directory.
func instanceOf(s *site, dir string) string {
	s.Helper()
	text, err := os.ReadFile(filepath.Join(dir, "groups", s.topic("group"), "INSTANCE"))
	require.NoError(s, err)
	id, _, _ := strings.Cut(string(text), "\n")
	return id
}
