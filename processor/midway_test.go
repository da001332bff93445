package processor_test

import (
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tarnstream/tarn/devbroker"
	"github.com/tarnstream/tarn/internal/ldb"
	"github.com/tarnstream/tarn/internal/scope"
	"github.com/tarnstream/tarn/processor"
	"github.com/tarnstream/tarn/streamtest"
	"github.com/tarnstream/tarn/topology"
)

// slowDisk is a disk on which an operation can be held.
type slowDisk struct {
	ldb.FailFS
	mu    sync.Mutex
	holds []*heldOp
}

func newSlowDisk() *slowDisk {
	d := &slowDisk{FailFS: ldb.FailFS{FS: ldb.OS()}}
	d.Before = d.before
	return d
}

// heldOp is an operation of the disk that does not go on until it is released.
type heldOp struct {
	op, suffix string
	arrived    chan struct{}
	freed      chan struct{}
	once       sync.Once
}

func (h *heldOp) Arrived() <-chan struct{} { return h.arrived }
func (h *heldOp) Release()                 { h.once.Do(func() { close(h.freed) }) }

// hold keeps the next operation of a kind on a file whose name ends so.
func (d *slowDisk) hold(op, suffix string) held {
	h := &heldOp{op: op, suffix: suffix, arrived: make(chan struct{}), freed: make(chan struct{})}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.holds = append(d.holds, h)
	return h
}

func (d *slowDisk) before(op, name string) error {
	d.mu.Lock()
	for i, h := range d.holds {
		if h.op == op && strings.HasSuffix(name, h.suffix) {
			d.holds = append(d.holds[:i:i], d.holds[i+1:]...)
			d.mu.Unlock()
			close(h.arrived)
			<-h.freed
			return nil
		}
	}
	d.mu.Unlock()
	return nil
}

// held is something that was told to wait.
type held interface {
	Arrived() <-chan struct{}
	Release()
}

// moment is what instance a is at with task 1 when the group rebalances.
type moment struct {
	name string
	// starting: it is held while it starts; else when it handles a record.
	starting bool
	// rebuild: its checkpoint has fallen out of the log.
	rebuild bool
	// exact: no commit is under way, so that every record counts once.
	exact bool
	hold  func(k *streamtest.Kit, d *slowDisk) held
}

var moments = []moment{
	{"restore", true, false, true, func(k *streamtest.Kit, _ *slowDisk) held { return k.Broker.Hold(devbroker.Fetch, "clicks-count") }},
	{"end of a restore", true, false, true, func(_ *streamtest.Kit, d *slowDisk) held { return d.hold("sync", ".log") }},
	{"rebuild", true, true, true, func(k *streamtest.Kit, _ *slowDisk) held { return k.Broker.Hold(devbroker.Fetch, "clicks-count") }},
	{"swap", true, true, true, func(_ *streamtest.Kit, d *slowDisk) held { return d.hold("rename", "CURRENT.new") }},
	{"removal after a swap", true, true, true, func(_ *streamtest.Kit, d *slowDisk) held { return d.hold("remove", "g00000001") }},
	{"committed offsets", true, false, true, func(k *streamtest.Kit, _ *slowDisk) held { return k.Broker.Hold(devbroker.OffsetFetch, "clicker") }},
	{"flush", false, false, true, func(_ *streamtest.Kit, d *slowDisk) held { return d.hold("sync", ".log") }},
	{"commit, not written", false, false, false, func(k *streamtest.Kit, _ *slowDisk) held { return k.Broker.Hold(devbroker.Produce, "clicks-count") }},
	{"commit, written", false, false, false, func(k *streamtest.Kit, _ *slowDisk) held {
		return k.Broker.HoldAnswer(devbroker.Produce, "clicks-count")
	}},
	{"commit of offsets", false, false, false, func(k *streamtest.Kit, _ *slowDisk) held { return k.Broker.Hold(devbroker.TxnOffsetCommit, "clicker") }},
	{"commit of offsets, done", false, false, false, func(k *streamtest.Kit, _ *slowDisk) held {
		return k.Broker.HoldAnswer(devbroker.TxnOffsetCommit, "clicker")
	}},
}

// move gives task 1 of instance a away while it is held. It gives the instances that run afterwards; release lets the
// held thing go on.
type move struct {
	name string
	do   func(k *streamtest.Kit, g *topology.Group, a *streamtest.Instance, release func())
}

const soon = 4 * time.Second // longer than a heartbeat's interval

var moves = []move{
	{"to another, released midway", func(k *streamtest.Kit, g *topology.Group, a *streamtest.Instance, release func()) {
		b := k.Launch("b", g)
		k.Advance(soon)
		release()
		k.Until("b runs task 1", func() bool { return b.Running() == 1 })
	}},
	{"to another, released afterwards", func(k *streamtest.Kit, g *topology.Group, a *streamtest.Instance, release func()) {
		b := k.Launch("b", g)
		k.Until("b runs task 1", func() bool { return b.Running() == 1 })
		release()
	}},
	{"to another and back, released midway", func(k *streamtest.Kit, g *topology.Group, a *streamtest.Instance, release func()) {
		b := k.Launch("b", g)
		k.Advance(soon)
		release()
		require.NoError(k.T, b.Stop())
		k.Until("a runs both", func() bool { return a.Running() == 2 })
	}},
	{"to another and back, released afterwards", func(k *streamtest.Kit, g *topology.Group, a *streamtest.Instance, release func()) {
		b := k.Launch("b", g)
		k.Until("b runs task 1", func() bool { return b.Running() == 1 })
		require.NoError(k.T, b.Stop())
		k.Until("a is to run task 1 again", func() bool { return len(a.Processor.Stats().Tasks) == 2 })
		k.Advance(time.Second)
		release()
		k.Until("a runs both", func() bool { return a.Running() == 2 })
	}},
	{"lost and back, released midway", func(k *streamtest.Kit, g *topology.Group, a *streamtest.Instance, release func()) {
		a.Disconnect()
		k.Until("lost", func() bool { return len(a.Processor.Stats().Tasks) == 0 })
		release()
		a.Connect()
		k.Until("a runs both", func() bool { return a.Running() == 2 })
	}},
	{"lost and back, released afterwards", func(k *streamtest.Kit, g *topology.Group, a *streamtest.Instance, release func()) {
		a.Disconnect()
		k.Until("lost", func() bool { return len(a.Processor.Stats().Tasks) == 0 })
		a.Connect()
		k.Until("a is to run both", func() bool { return len(a.Processor.Stats().Tasks) == 2 })
		k.Advance(time.Second)
		release()
		k.Until("a runs both", func() bool { return a.Running() == 2 })
	}},
	{"lost to another", func(k *streamtest.Kit, g *topology.Group, a *streamtest.Instance, release func()) {
		a.Disconnect()
		b := k.Launch("b", g)
		k.Until("b runs both", func() bool { return b.Running() == 2 })
		a.Connect()
		k.Advance(soon)
		release()
		k.Until("shared", func() bool { return a.Running() == 1 && b.Running() == 1 })
	}},
}

// A rebalance in the middle of whatever a task is at, with the partition given away or lost, to another instance or to
// the same one again at once: the table is the fold of its topic afterwards, in memory and on disk, and no record is
// lost.
func TestR22_RebalanceMidway(t *testing.T) {
	for _, at := range moments {
		for _, to := range moves {
			t.Run(at.name+"/"+to.name, func(t *testing.T) {
				streamtest.Run(t, func(k *streamtest.Kit) { midway(k, at, to) })
			})
		}
	}
}

func midway(k *streamtest.Kit, at moment, to move) {
	k.T.Helper()
	g, disk := clicker(k.T), newSlowDisk()
	options := []processor.Option{processor.Disk(disk), processor.StopTimeout(5 * time.Second), processor.FlushInterval(time.Second)}
	k.Topic("clicks", 2)
	keys := users(12)
	var moving []string // keys of task 1
	for _, key := range keys {
		if scope.Murmur2.Partition([]byte(key), 2) == 1 {
			moving = append(moving, key)
		}
	}
	first := k.StartAs("a", g, options...)
	click(k, g, keys...)
	require.NoError(k.T, first.Stop())
	other := k.StartAs("c", g) // goes on with task 1 while a is away
	click(k, g, moving...)
	require.NoError(k.T, other.Stop())
	if at.rebuild {
		b, err := k.Broker.Bounds("clicks-count", 1)
		require.NoError(k.T, err)
		require.NoError(k.T, k.Broker.DeleteRecords("clicks-count", 1, b.End-2))
	}
	want := streamtest.FoldOf(k, counts)

	var stuck held
	var a *streamtest.Instance
	if at.starting {
		stuck = at.hold(k, disk)
		a = k.Launch("a", g, options...)
	} else {
		a = k.Start(g, options...)
		stuck = at.hold(k, disk)
		k.Send("clicks", moving[0], "x")
		want[moving[0]]++
	}
	<-stuck.Arrived()
	to.do(k, g, a, stuck.Release)
	stuck.Release()

	click(k, g, keys...)
	for _, key := range keys {
		want[key]++
	}
	rows := streamtest.Rows(k, counts)
	for key, n := range want {
		if at.exact {
			require.Equal(k.T, n, rows[key], key)
		} else {
			require.GreaterOrEqual(k.T, rows[key], n, key)
		}
	}
	k.StopAll()
	k.StartAs("a", g)
	require.Equal(k.T, rows, streamtest.Rows(k, counts), "on disk")
}

// R26: a restore that takes much longer than the session time-out costs neither the membership nor a task.
func TestR26_RestoreLongerThanTheSession(t *testing.T) {
	streamtest.Run(t, func(k *streamtest.Kit) {
		k.Topic("clicks", 2)
		g, keys, disk := clicker(k.T), users(12), newSlowDisk()
		away(k, g, keys, keys)
		synced := disk.hold("sync", ".log")
		a := k.Launch("a", g, processor.Disk(disk), processor.SessionTimeout(6*time.Second))
		<-synced.Arrived()
		k.Advance(10 * time.Second)
		before, err := k.Broker.Group("clicker")
		require.NoError(k.T, err)
		k.Advance(20 * time.Minute)
		after, err := k.Broker.Group("clicker")
		require.NoError(k.T, err)
		require.Equal(k.T, before.Generation, after.Generation, "a rebalance")
		require.Equal(k.T, before.Members, after.Members)
		require.Equal(k.T, 1, a.Running(), "the other task goes on")
		synced.Release()
		<-a.Processor.Ready()
		click(k, g, keys...)
		for key, n := range streamtest.Rows(k, counts) {
			require.EqualValues(k.T, 3, n, key)
		}
	})
}
