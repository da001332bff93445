//go:build kafka

package e2e_test

import (
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/IBM/sarama"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/tarnstream/tarn/internal/kafka"
	"github.com/tarnstream/tarn/internal/scope"
	"github.com/tarnstream/tarn/processor"
)

// feed writes a record of each key to "input", which has n partitions.
func (s *site) feed(n int32, keys ...string) {
	s.Helper()
	for _, key := range keys {
		m := s.message("input", key, "x")
		m.Partition = scope.Murmur2.Partition([]byte(key), n)
		_, _, err := s.out.SendMessage(m)
		require.NoError(s, err)
	}
}

// passes lets time pass.
func (s *site) passes(d time.Duration) {
	select {
	case <-time.After(d):
	case <-s.Context().Done():
	}
}

var five = []string{"a", "b", "c", "d", "e"}

// each has n of each key.
func each(n int64, keys []string) map[string]int64 {
	all := map[string]int64{}
	for _, key := range keys {
		all[key] = n
	}
	return all
}

// requireExact waits for the counts, ends the counter, and requires them of the table's topic, too.
func (c *counter) requireExact(want map[string]int64) {
	c.Helper()
	c.await(want)
	c.requireAudit()
	c.stop()
	require.Equal(c, want, c.folded())
}

// cuts are the requests of a commit, and whether its process is cut off for long in one of them, too.
var cuts = map[kmsg.Key]struct{ done, notDone bool }{
	kmsg.AddPartitionsToTxn: {},
	kmsg.AddOffsetsToTxn:    {},
	kmsg.Produce:            {done: true},
	kmsg.TxnOffsetCommit:    {notDone: true},
	kmsg.EndTxn:             {done: true},
}

// atStep runs a counter over a line of its own, and holds the commit of its second record of each key.
func atStep(t *testing.T, hold func(l *line) *held) (c *counter, l *line, h *held) {
	t.Helper()
	s := newSite(t)
	s.create("input", 1)
	l = newLine()
	c = startCounter(s, t.TempDir(), l.option(), processor.SessionTimeout(session))
	s.feed(1, five...)
	c.await(each(1, five))
	h = hold(l)
	t.Cleanup(h.release)
	s.feed(1, five...)
	s.awaitSign("the request is held", h.arrived)
	return c, l, h
}

// The network fails before or after the broker did what it was asked in a commit, for a moment or past the session: each record counts once.
func TestR63_OutcomeUnknown(t *testing.T) {
	for step, long := range cuts {
		cutOff(t, step.Name()+" done", long.done, func(l *line) *held { return l.holdAnswer(step) })
		cutOff(t, step.Name()+" not done", long.notDone, func(l *line) *held { return l.hold(step) })
	}
}

func cutOff(t *testing.T, name string, long bool, hold func(l *line) *held) {
	away := map[string]time.Duration{"for a moment": time.Second}
	if long {
		away["past its session"] = session + 2*time.Second
	}
	for length, away := range away {
		t.Run(name+" "+length, func(t *testing.T) {
			c, l, _ := atStep(t, hold)
			l.cut()
			c.passes(away)
			l.mend()
			c.feed(1, five...)
			c.requireExact(each(3, five))
		})
	}
}

// A Produce request that was given up with its transaction arrives when the next one is open: the broker refuses it.
func TestR63_LateProduceOfAnAbortedTransaction(t *testing.T) {
	c, l, late := atStep(t, func(l *line) *held { return l.hold(kmsg.Produce) })
	l.cut()
	c.passes(session + 2*time.Second) // the commit is given up
	open := l.hold(kmsg.TxnOffsetCommit)
	t.Cleanup(open.release)
	l.mend()
	c.awaitSign("the next transaction is open", open.arrived)
	answer := late.arrivesLate(c.site)
	require.Equal(t, kerr.InvalidProducerEpoch, kerr.ErrorForCode(answer.Topics[0].Partitions[0].ErrorCode))
	open.release()
	c.feed(1, five...)
	c.requireExact(each(3, five))
}

// A commit is aborted behind the processor's back while the next one fills: what is in both counts once.
func TestR63_AbortWhileTheNextCommitFills(t *testing.T) {
	for name, of := range map[string]struct {
		step  kmsg.Key
		abort func(c *counter)
	}{
		"the transaction takes too long": {kmsg.EndTxn, func(c *counter) {
			_, written := c.bounds("count")
			c.eventually("the broker has put its marker behind the rows", func() bool { _, end := c.bounds("count"); return end > written })
		}},
		"another takes the transactional id": {kmsg.Produce, func(c *counter) {
			client, err := kafka.NewClient(kafka.Config{Brokers: c.cluster.Addrs()})
			require.NoError(c, err)
			defer client.Close()
			p := client.NewProducer(kafka.ProducerConfig{TransactionalID: c.topic("group") + "-" + instanceOf(c.site, c.dir)})
			defer p.Close()
			require.NoError(c, p.Recover(c.Context(), true))
		}},
		"the member is removed": {kmsg.TxnOffsetCommit, func(c *counter) {
			id := instanceOf(c.site, c.dir)
			left, err := c.admin.RemoveMemberFromConsumerGroup(c.topic("group"), []string{id})
			require.NoError(c, err)
			require.Equal(c, sarama.ErrNoError, left.Err)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			c, _, h := atStep(t, func(l *line) *held { return l.hold(of.step) })
			c.feed(1, five...)
			of.abort(c)
			h.release()
			c.feed(1, five...)
			c.requireExact(each(4, five))
		})
	}
}

// A callback sleeps past the rebalance, or past the session of a process that is cut off, and wakes in a process that is in the
// group again: nothing of it counts, and its record counts once.
func TestR64_CallbackWakesUnderANewGeneration(t *testing.T) {
	for name, apart := range map[string]func(l *line, c *counter){
		"another joins":    func(*line, *counter) {},
		"it has been away": func(l *line, c *counter) { l.cut(); c.passes(session + 2*time.Second); l.mend() },
	} {
		t.Run(name, func(t *testing.T) {
			s, l, keys := newSite(t), newLine(), onePer(partitions)
			s.create("input", partitions)
			asleep, wake := make(chan struct{}, partitions), make(chan struct{})
			waken := sync.OnceFunc(func() { close(wake) })
			t.Cleanup(waken)
			var sleeping atomic.Bool
			first := startCounting(s, t.TempDir(), func(string) {
				if sleeping.Load() {
					asleep <- struct{}{}
					<-wake
				}
			}, l.option(), processor.SessionTimeout(session), processor.StopTimeout(2*time.Second))
			s.feed(partitions, keys...)
			first.await(each(1, keys))
			sleeping.Store(true)
			s.feed(partitions, keys...)
			for range keys {
				s.awaitSign("all tasks sleep", asleep)
			}
			second := startCounter(s, t.TempDir(), processor.SessionTimeout(session))
			apart(l, first)
			s.eventually("the second runs what sleeps in the first", func() bool { return second.stats().Records > 0 })
			sleeping.Store(false)
			waken()
			s.feed(partitions, keys...)
			s.awaitShared()
			first.stop()
			second.await(each(3, keys))
			second.requireAudit()
			second.stop()
		})
	}
}

// onePer gives a key for each of n partitions.
func onePer(n int32) (keys []string) {
	for p, i := int32(0), 0; p < n; i++ {
		if key := strconv.Itoa(i); scope.Murmur2.Partition([]byte(key), n) == p {
			keys = append(keys, key)
			p++
		}
	}
	return keys
}
