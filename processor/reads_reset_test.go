package processor_test

import (
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tarnstream/tarn/devbroker"
	"github.com/tarnstream/tarn/observe"
	"github.com/tarnstream/tarn/processor"
	"github.com/tarnstream/tarn/state"
	"github.com/tarnstream/tarn/streamtest"
	"github.com/tarnstream/tarn/topology"
)

// resets are the ways in which the log of customers/0 ceases to be what a follower has read of it. Before, it says "old" of
// every key; afterwards it says "new" of those that live, and nothing of the others.
var resets = map[string]func(k *streamtest.Kit, dead, live []string) (reset func()){
	"truncated":           truncated("new"),
	"truncated and grown": truncated("other", "new"), // past what was read
	"recreated": func(k *streamtest.Kit, dead, live []string) func() {
		put(k, "old", append(live, dead...)...)
		return func() {
			require.NoError(k.T, k.Broker.DeleteTopic("customers"))
			k.Topic("customers", 1, "cleanup.policy", "compact")
			apart(k)
			put(k, "other", live...)
			put(k, "new", live...)
		}
	},
	"start raised": func(k *streamtest.Kit, dead, live []string) func() {
		put(k, "old", append(live, dead...)...)
		return func() {
			held := k.Broker.Hold(devbroker.Fetch, "customers")
			<-held.Arrived()
			put(k, "newer", dead...)
			b, err := k.Broker.Bounds("customers", 0)
			require.NoError(k.T, err)
			put(k, "new", live...)
			require.NoError(k.T, k.Broker.DeleteRecords("customers", 0, b.End))
			held.Release()
		}
	},
}

// truncated cuts the log behind the rows of the living and goes on with rows of theirs.
func truncated(rows ...string) func(k *streamtest.Kit, dead, live []string) func() {
	return func(k *streamtest.Kit, dead, live []string) func() {
		folder, copied := filepath.Join("partitions", "customers-0"), filepath.Join(k.T.TempDir(), "copy")
		put(k, "old", live...)
		require.NoError(k.T, k.Broker.Reload(func(dir string) error {
			return os.CopyFS(copied, os.DirFS(filepath.Join(dir, folder)))
		}))
		put(k, "older", dead[0])
		put(k, "old", dead...)
		return func() {
			require.NoError(k.T, k.Broker.Reload(func(dir string) error {
				if err := os.RemoveAll(filepath.Join(dir, folder)); err != nil {
					return err
				}
				return os.CopyFS(filepath.Join(dir, folder), os.DirFS(copied))
			}))
			apart(k)
			require.NoError(k.T, k.Broker.MoveLeader("customers", 0, 1))
			for _, row := range rows {
				put(k, row, live...)
			}
		}
	}
}

// apart gives the sales a broker of their own: what holds an answer about customers must not hold the input.
func apart(k *streamtest.Kit) {
	require.NoError(k.T, k.Broker.MoveLeader("sales", 0, 2))
	require.NoError(k.T, k.Broker.MoveLeader("customers", 0, 0))
}

// trial is a reset of the customers under a running group, held at its two stages.
type trial struct {
	k          *streamtest.Kit
	a          *streamtest.Instance
	group      *topology.Group
	dead, live []string
	reset      func()

	noticed chan struct{}   // the log is known not to be what was read
	listing *devbroker.Held // the request for its bounds; some forms are known by them
	reading chan struct{}   // the rebuild has begun
	rebuild *devbroker.Held // its first fetch
	handled atomic.Int32    // sales
	stale   atomic.Bool     // by the events
	wrong   atomic.Int32    // sales handled while stale
	mu      sync.Mutex
	reads   []observe.StaleRead
	resets  []error
}

// try runs script for each form of reset.
func try(t *testing.T, edge topology.Edge, script func(tr *trial)) {
	for name, form := range resets {
		t.Run(name, func(t *testing.T) {
			streamtest.Run(t, func(k *streamtest.Kit) {
				k.Topic("sales", 1)
				k.Topic("customers", 1, "cleanup.policy", "compact")
				tr := &trial{k: k, dead: users(20)[:10], live: users(20)[10:], noticed: make(chan struct{}), reading: make(chan struct{})}
				apart(k)
				tr.reset = form(k, tr.dead, tr.live)
				tr.start(t, edge)
				script(tr)
			}, devbroker.Dir(t.TempDir()), devbroker.Brokers(3))
		})
	}
}

func (tr *trial) start(t *testing.T, edge topology.Edge) {
	tr.group = enricher(t, edge, func(string) {
		tr.handled.Add(1)
		if tr.stale.Load() {
			tr.wrong.Add(1)
		}
	})
	tr.a = tr.k.Start(tr.group, processor.CommitInterval(2*time.Second), processor.Observe(tr.observer()))
	tr.sell(append(tr.live, tr.dead...)...)
	require.Equal(tr.k.T, all("old", append(tr.live, tr.dead...)...), streamtest.FoldOf(tr.k, enriched))
}

func (tr *trial) sell(keys ...string) {
	sell(tr.k, keys...)
	tr.k.Settle(tr.group)
}

// observer holds the reset: at the request for bounds, and at the first fetch of the rebuild.
func (tr *trial) observer() observe.Observer {
	ours := func(at observe.Place) bool { return at.Topic == "customers" && tr.handled.Load() > 0 }
	return observe.Observer{
		Reset: func(r observe.Reset) {
			if !ours(r.Place) {
				return
			}
			tr.mu.Lock()
			defer tr.mu.Unlock()
			if tr.resets = append(tr.resets, r.Cause); len(tr.resets) == 1 {
				tr.stale.Store(true)
				tr.listing = tr.k.Broker.Hold(devbroker.ListOffsets, "customers")
				close(tr.noticed)
			}
		},
		RestorePlanned: func(r observe.Restore) {
			if ours(r.Place) && r.Plan.Decision == state.Rebuild {
				tr.rebuild = tr.k.Broker.Hold(devbroker.Fetch, "customers")
				close(tr.reading)
			}
		},
		RestoreDone: func(r observe.Restore) {
			if ours(r.Place) {
				tr.stale.Store(false)
			}
		},
		StaleRead: func(s observe.StaleRead) {
			tr.mu.Lock()
			defer tr.mu.Unlock()
			tr.reads = append(tr.reads, s)
		},
	}
}

// requireNew requires that the instance shows the log as it is now, and nothing of before.
func (tr *trial) requireNew() {
	tr.k.T.Helper()
	require.Equal(tr.k.T, all("new", tr.live...), tr.k.Fold("customers"), "the reset is what it should be")
	tr.k.Until("current again", func() bool { return !tr.stale.Load() })
	tr.sell(append(tr.live, tr.dead...)...)
	want := all("new", tr.live...)
	for _, key := range tr.dead {
		want[key] = "nobody"
		_, ok, err := processor.Get(tr.a.Processor, customers, key)
		require.NoError(tr.k.T, err)
		require.False(tr.k.T, ok, "a dead key is served: %s", key)
	}
	require.Equal(tr.k.T, want, streamtest.FoldOf(tr.k, enriched))
}

func TestR70_JoinedTableResets_TheTaskPauses(t *testing.T) {
	try(t, topology.Join(customers), func(tr *trial) {
		k := tr.k
		before := tr.handled.Load()
		tr.reset()
		<-tr.noticed
		sell(k, append(tr.live, tr.dead...)...)
		time.Sleep(10 * time.Second)
		require.Equal(k.T, before, tr.handled.Load(), "nothing is handled once the log is in doubt")
		tr.listing.Release()
		<-tr.reading
		<-tr.rebuild.Arrived()
		time.Sleep(10 * time.Second)
		require.Equal(k.T, before, tr.handled.Load(), "nothing is handled while the table is rebuilt")
		tr.rebuild.Release()
		k.Settle(tr.group)
		require.Equal(k.T, before+20, tr.handled.Load())
		require.Zero(k.T, tr.wrong.Load())
		require.Empty(k.T, tr.reads)
		tr.requireNew()
	})
}

func TestR70_JoinedTableResets_AllowStale(t *testing.T) {
	try(t, topology.Join(customers, topology.AllowStale()), requireGoesOnStale)
}

func TestR70_LookedUpTableResets(t *testing.T) {
	try(t, topology.Lookup(customers), requireGoesOnStale)
}

// requireGoesOnStale: records are handled with the rows from before, which is told once.
func requireGoesOnStale(tr *trial) {
	k := tr.k
	tr.reset()
	<-tr.noticed
	tr.sell(tr.dead...)
	tr.listing.Release()
	<-tr.reading
	tr.sell(tr.live...)
	require.Equal(k.T, all("old", append(tr.live, tr.dead...)...), streamtest.FoldOf(k, enriched))
	require.EqualValues(k.T, 20, tr.wrong.Load())
	require.Len(k.T, tr.reads, 1, "once an episode")
	require.Equal(k.T, observe.Place{Group: "enricher", Topic: "customers", Partition: 0}, tr.reads[0].Place)
	require.NotEmpty(k.T, tr.reads[0].Cause)
	tr.rebuild.Release()
	tr.requireNew()
	require.Len(k.T, tr.reads, 1)
}

// What was handled before a pause is committed in it, and a stop does not wait for its end.
func TestPause_CommitsAndStops(t *testing.T) {
	try(t, topology.Join(customers), func(tr *trial) {
		k := tr.k
		sell(k, tr.live...)
		k.Until("handled", func() bool { return tr.handled.Load() == 30 })
		tr.reset()
		<-tr.noticed
		k.Settle(tr.group)
		sell(k, tr.dead...)
		start := time.Now()
		require.NoError(k.T, tr.a.Stop())
		require.Less(k.T, time.Since(start), time.Second)
		require.EqualValues(k.T, 30, tr.handled.Load())
		tr.listing.Release()
	})
}

// R22: a partition is given away while its joined table is being rebuilt, and comes back.
func TestR22_JoinedTableMovesInMidReset(t *testing.T) {
	try(t, topology.Join(customers), func(tr *trial) {
		k := tr.k
		tr.reset()
		<-tr.noticed
		tr.listing.Release()
		<-tr.reading
		<-tr.rebuild.Arrived()
		sell(k, tr.dead...)
		require.NoError(k.T, tr.a.Stop())
		tr.rebuild.Release()
		b := k.StartAs("b", tr.group)
		k.Settle(tr.group)
		require.NoError(k.T, b.Stop())
		require.EqualValues(k.T, 30, tr.handled.Load())
		tr.a = k.StartAs("a", tr.group)
		tr.stale.Store(false)
		tr.requireNew()
	})
}

// A log that was in doubt and turns out to be in order is gone on with; nothing is rebuilt.
func TestR70_JoinedTableInDoubtForNothing(t *testing.T) {
	streamtest.Run(t, func(k *streamtest.Kit) {
		k.Topic("sales", 1)
		k.Topic("customers", 1, "cleanup.policy", "compact")
		g, keys := enricher(t, topology.Join(customers)), users(10)
		put(k, "row", keys...)
		var seen plans
		var doubts atomic.Int32
		a := k.Start(g, seen.option(), processor.Observe(observe.Observer{Reset: func(observe.Reset) { doubts.Add(1) }}))
		decided := len(seen.decided)
		k.Broker.Fail(devbroker.Fault{Request: devbroker.Fetch, Topic: "customers", Err: devbroker.OutOfRange})
		k.Until("in doubt", func() bool { return doubts.Load() == 1 })
		put(k, "newest", keys...)
		requireCustomer(k, a, keys[9], "newest")
		sell(k, keys...)
		k.Settle(g)
		require.Equal(k.T, all("newest", keys...), streamtest.FoldOf(k, enriched))
		require.Len(k.T, seen.decided, decided)
	})
}

// Rows whose records are deleted go, without a rebuild and without a pause.
func TestR59_StartOfAReadTableRises(t *testing.T) {
	edges(t, func(t *testing.T, edge topology.Edge) {
		streamtest.Run(t, func(k *streamtest.Kit) {
			k.Topic("sales", 1)
			k.Topic("customers", 1, "cleanup.policy", "compact,delete")
			g, keys := enricher(t, edge), users(10)
			put(k, "row", keys...)
			var swept atomic.Int32
			var seen plans
			a := k.Start(g, seen.option(), processor.Observe(observe.Observer{Swept: func(s observe.Swept) { swept.Add(int32(s.Rows)) }}))
			decided := len(seen.decided)
			require.NoError(k.T, k.Broker.DeleteRecords("customers", 0, 4))
			k.Until("swept", func() bool { return swept.Load() == 4 })
			require.Len(k.T, seen.decided, decided)
			sell(k, keys...)
			k.Settle(g)
			for i, key := range keys {
				_, ok, err := processor.Get(a.Processor, customers, key)
				require.NoError(k.T, err)
				require.Equal(k.T, i >= 4, ok, key)
				require.Equal(k.T, map[bool]string{true: "row", false: "nobody"}[ok], streamtest.FoldOf(k, enriched)[key])
			}
		})
	})
}
