package processor_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tarnstream/tarn/codec"
	"github.com/tarnstream/tarn/devbroker"
	"github.com/tarnstream/tarn/internal/kafka"
	"github.com/tarnstream/tarn/internal/scope"
	"github.com/tarnstream/tarn/observe"
	"github.com/tarnstream/tarn/processor"
	"github.com/tarnstream/tarn/state"
	"github.com/tarnstream/tarn/streamtest"
	"github.com/tarnstream/tarn/topology"
)

// The group that the tests of read tables run: it notes for each sale what its customer's row was.
var (
	sales     = topology.NewStream("sales", codec.String)
	customers = topology.NewReadTable("customers", codec.String)
	enriched  = topology.NewTable("enriched", codec.String)
)

// enricher reads the customers by an edge; each is told of every sale handled.
func enricher(t *testing.T, customer topology.Edge, each ...func(key string)) *topology.Group {
	return define(t, "enricher", customer, topology.Persist(enriched), topology.Input(sales,
		func(ctx *topology.Context, _ string) error {
			for _, fn := range each {
				fn(ctx.Key())
			}
			row, ok, err := customers.Get(ctx)
			if err == nil && !ok {
				row = "nobody"
			}
			if err != nil {
				return err
			}
			return enriched.Set(ctx, row)
		}))
}

func sell(k *streamtest.Kit, keys ...string) {
	k.T.Helper()
	for _, key := range keys {
		k.Send("sales", key, "x")
	}
}

// put writes the same row of each key to the customers.
func put(k *streamtest.Kit, value string, keys ...string) {
	k.T.Helper()
	for _, key := range keys {
		k.Send("customers", key, value)
	}
}

func all(value string, keys ...string) map[string]string {
	rows := map[string]string{}
	for _, key := range keys {
		rows[key] = value
	}
	return rows
}

// requireCustomer waits until an instance's reads show a row.
func requireCustomer(k *streamtest.Kit, i *streamtest.Instance, key, value string) {
	k.T.Helper()
	k.Until(key+" is "+value, func() bool {
		v, _, err := processor.Get(i.Processor, customers, key)
		require.NoError(k.T, err)
		return v == value
	})
}

// edges are both ways to read the customers.
func edges(t *testing.T, run func(t *testing.T, edge topology.Edge)) {
	t.Run("join", func(t *testing.T) { run(t, topology.Join(customers)) })
	t.Run("lookup", func(t *testing.T) { run(t, topology.Lookup(customers)) })
}

func TestReadTable_IsCurrentBeforeInputAndFollowed(t *testing.T) {
	edges(t, func(t *testing.T, edge topology.Edge) {
		streamtest.Run(t, func(k *streamtest.Kit) {
			k.Topic("sales", 3)
			k.Topic("customers", 3, "cleanup.policy", "compact")
			g, keys := enricher(t, edge), users(20)
			put(k, "old", keys...)
			put(k, "new", keys...)
			sell(k, keys...)
			held := k.Broker.Hold(devbroker.Fetch, "customers")
			a := k.Launch("a", g)
			<-held.Arrived()
			time.Sleep(30 * time.Second)
			require.Zero(k.T, a.Processor.Stats().Records, "no sale before its customers are known")
			select {
			case <-a.Processor.Ready():
				require.Fail(k.T, "ready without its tables")
			default:
			}
			_, _, err := processor.Get(a.Processor, customers, keys[0])
			require.ErrorIs(k.T, err, processor.ErrNotReady)
			held.Release()
			<-a.Processor.Ready()
			k.Settle(g)
			require.Equal(k.T, all("new", keys...), streamtest.FoldOf(k, enriched))

			put(k, "newest", keys...)
			require.NoError(k.T, k.Broker.Produce("customers", partitionOf(keys[1], 3), devbroker.Record{Key: []byte(keys[1])}))
			for _, key := range keys[2:] {
				requireCustomer(k, a, key, "newest")
			}
			requireCustomer(k, a, keys[1], "")
			sell(k, keys[1], keys[7])
			k.Settle(g)
			require.Equal(k.T, "nobody", streamtest.FoldOf(k, enriched)[keys[1]])
			require.Equal(k.T, "newest", streamtest.FoldOf(k, enriched)[keys[7]])
			require.NoError(k.T, a.Stop())

			var seen plans
			a = k.Start(g, seen.option())
			require.NotContains(k.T, seen.decided, state.Rebuild, "what was followed is on disk")
			requireCustomer(k, a, keys[7], "newest")
		})
	})
}

// A looked-up table has partitions and keys of its own, and every instance has all of it.
func TestLookup_AnyKeyOfTheWholeTable(t *testing.T) {
	var ranged []map[string]string
	g := define(t, "looker", topology.Lookup(customers), topology.Persist(enriched),
		topology.Input(sales, func(ctx *topology.Context, wanted string) error {
			row, ok, err := customers.GetKey(ctx, wanted)
			if err != nil || !ok {
				return fmt.Errorf("%q: %t, %w", wanted, ok, err)
			}
			rows := map[string]string{}
			for row, err := range customers.Range(ctx) {
				if err != nil {
					return err
				}
				rows[row.Key] = row.Value
			}
			ranged = append(ranged, rows)
			return enriched.Set(ctx, row)
		}))
	streamtest.Run(t, func(k *streamtest.Kit) {
		ranged = nil
		k.Topic("sales", 2)
		k.Topic("customers", 5, "cleanup.policy", "compact")
		keys := users(20)
		for _, key := range keys {
			put(k, "row of "+key, key)
		}
		a, b := k.StartAs("a", g), k.StartAs("b", g)
		k.Until("shared", func() bool { return a.Running() == 1 && b.Running() == 1 })
		want := map[string]string{}
		for i, key := range keys {
			want[key] = "row of " + keys[len(keys)-1-i]
			k.Send("sales", key, keys[len(keys)-1-i])
		}
		k.Settle(g)
		require.Equal(k.T, want, streamtest.FoldOf(k, enriched))
		require.Len(k.T, ranged, len(keys))
		for _, rows := range ranged {
			require.Equal(k.T, k.Fold("customers"), rows)
		}
		for _, i := range []*streamtest.Instance{a, b} {
			requireCustomer(k, i, keys[3], "row of "+keys[3])
		}
	})
}

func TestJoin_OfAnotherPartition(t *testing.T) {
	g := define(t, "joiner", topology.Join(customers), topology.Input(sales, func(ctx *topology.Context, other string) error {
		_, _, err := customers.GetKey(ctx, other)
		return err
	}))
	streamtest.Run(t, func(k *streamtest.Kit) {
		k.Topic("sales", 2)
		k.Topic("customers", 2, "cleanup.policy", "compact")
		a := k.Launch("a", g)
		k.Send("sales", "user-0", "user-0")
		k.Settle(g)
		k.Send("sales", "user-0", otherPartition("user-0", 2))
		var p *topology.PartitionError
		require.ErrorAs(k.T, a.Wait(), &p)
		require.Equal(k.T, "customers", p.Table)
	})
}

// otherPartition gives a key of another partition of n.
func otherPartition(key string, n int32) string {
	for _, other := range users(100) {
		if partitionOf(other, n) != partitionOf(key, n) {
			return other
		}
	}
	panic("murmur2 is broken")
}

// A group may read its neighbour's table by the neighbour's own handle.
func TestJoin_TableOfAnotherGroup(t *testing.T) {
	totals := topology.NewTable("totals", codec.Int64)
	read := counts.ReadOnly()
	second := define(t, "second", topology.Join(read), topology.Persist(totals), topology.Input(sales,
		func(ctx *topology.Context, _ string) error {
			n, _, err := counts.ReadOnly().Get(ctx)
			if err != nil {
				return err
			}
			return totals.Set(ctx, n)
		}))
	streamtest.Run(t, func(k *streamtest.Kit) {
		k.Topic("clicks", 2)
		k.Topic("sales", 2)
		first, keys := clicker(k.T), users(10)
		k.StartAs("first", first)
		click(k, first, keys...)
		b := k.StartAs("second", second)
		click(k, first, keys...)
		k.Until("followed", func() bool {
			n, _, err := processor.Get(b.Processor, counts, keys[4])
			require.NoError(k.T, err)
			return n == 2
		})
		sell(k, keys[4])
		k.Settle(second)
		require.EqualValues(k.T, 2, streamtest.FoldOf(k, totals)[keys[4]])
	})
}

func TestR28_ReadTablesWithNullAndEmptyKeysAndValues(t *testing.T) {
	edges(t, func(t *testing.T, edge topology.Edge) {
		streamtest.Run(t, func(k *streamtest.Kit) {
			k.Topic("sales", 1)
			k.Topic("customers", 1, "cleanup.policy", "compact")
			require.NoError(k.T, k.Broker.Produce("customers", 0,
				devbroker.Record{Key: nil, Value: []byte("no key")}, devbroker.Record{Key: []byte{}, Value: []byte("empty key")},
				devbroker.Record{Key: []byte("empty"), Value: []byte{}},
				devbroker.Record{Key: []byte("gone"), Value: []byte("x")}, devbroker.Record{Key: []byte("gone"), Value: nil}))
			g := enricher(t, edge)
			k.Start(g)
			sell(k, "", "empty", "gone")
			k.Settle(g)
			require.Equal(k.T, map[string]string{"": "empty key", "empty": "", "gone": "nobody"}, streamtest.FoldOf(k, enriched))
		})
	})
}

func TestR36_ReadTablesThatDoNotFit(t *testing.T) {
	ignore := func(*topology.Context, string) error { return nil }
	g := define(t, "unfit", topology.Input(sales, ignore),
		topology.Join(customers), topology.Lookup(topology.NewReadTable("rates", codec.String)),
		topology.Join(topology.NewReadTable("deleting", codec.String)),
		topology.Lookup(topology.NewReadTable("said", codec.String, topology.Partitions(7))),
		topology.Lookup(topology.NewReadTable("fits", codec.String)))
	streamtest.Run(t, func(k *streamtest.Kit) {
		k.Topic("sales", 4)
		k.Topic("customers", 3, "cleanup.policy", "compact")
		k.Topic("deleting", 4, "cleanup.policy", "delete")
		k.Topic("said", 2, "cleanup.policy", "compact")
		k.Topic("fits", 9, "cleanup.policy", "compact")
		err := k.Launch("a", g).Wait()
		var faults *processor.TopicsError
		require.ErrorAs(k.T, err, &faults)
		require.Len(k.T, faults.Causes, 4)
		for _, part := range []string{"joined table customers has 3 partitions, the inputs have 4", "topic rates does not exist",
			"deleting has cleanup.policy=delete", "said has 2 partitions, its handle says 7"} {
			require.ErrorContains(k.T, err, part)
		}
		require.Zero(k.T, k.Broker.TopicID("rates"), "others make it")
	})
}

func TestAwaitTopics(t *testing.T) {
	streamtest.Run(t, func(k *streamtest.Kit) {
		g := enricher(t, topology.Join(customers))
		a := k.Launch("a", g, processor.AwaitTopics(), processor.StartTimeout(10*time.Second))
		time.Sleep(time.Minute)
		k.Topic("sales", 2)
		time.Sleep(time.Minute)
		require.Zero(k.T, k.Broker.TopicID("enriched"), "nothing is created before all is there")
		k.Topic("customers", 2, "cleanup.policy", "compact")
		<-a.Processor.Ready()
		put(k, "row", "a")
		requireCustomer(k, a, "a", "row")
		require.NoError(k.T, a.Stop())

		b := k.Launch("b", define(t, "other", topology.Input(topology.NewStream("never", codec.String), onClick)), processor.AwaitTopics())
		time.Sleep(time.Minute)
		start := time.Now()
		require.NoError(k.T, b.Stop(), "a stop ends the waiting")
		require.Less(k.T, time.Since(start), time.Second)
	})
}

func TestR24_ReadTableGetsMorePartitions(t *testing.T) {
	edges(t, func(t *testing.T, edge topology.Edge) {
		streamtest.Run(t, func(k *streamtest.Kit) {
			k.Topic("sales", 2)
			k.Topic("customers", 2, "cleanup.policy", "compact")
			a := k.Start(enricher(t, edge))
			require.NoError(k.T, k.Broker.AddPartitions("customers", 3))
			var changed *kafka.PartitionCountError
			require.ErrorAs(k.T, a.Wait(), &changed)
			require.Equal(k.T, kafka.PartitionCountError{Topic: "customers", Was: 2, Is: 3}, *changed)
		})
	})
}

// Rows that the handle's hash would look for elsewhere are told of, once a partition.
func TestR69_ReadTableHashedOtherwise(t *testing.T) {
	edges(t, func(t *testing.T, edge topology.Edge) {
		streamtest.Run(t, func(k *streamtest.Kit) {
			k.Topic("sales", 2)
			k.Topic("customers", 2, "cleanup.policy", "compact")
			keys := users(20)
			put(k, "row", keys...)
			var told mismatches
			a := k.Start(enricher(t, edge), told.option())
			require.Zero(k.T, told.count())
			for _, key := range keys {
				require.NoError(k.T, k.Broker.Produce("customers", wrong(scope.Murmur2)([]byte(key)), devbroker.Record{Key: []byte(key), Value: []byte("x")}))
			}
			k.Until("told of both", func() bool { return told.count() == 2 })
			require.NoError(k.T, a.Stop())
			require.Equal(k.T, 2, told.count())
			for _, m := range told.told {
				require.Equal(k.T, "customers", m.Topic)
				require.Equal(k.T, 1-m.Partition, m.Belongs)
			}
		})
	})
}

// What a group reads is a part of its topology: a member that reads otherwise gets no task until it leads.
func TestReadTables_AreInTheFingerprint(t *testing.T) {
	streamtest.Run(t, func(k *streamtest.Kit) {
		k.Topic("sales", 2)
		k.Topic("customers", 2, "cleanup.policy", "compact")
		a := k.StartAs("a", enricher(t, topology.Join(customers)))
		var idle atomic.Int32
		b := k.Launch("b", enricher(t, topology.Lookup(customers)), processor.Observe(observe.Observer{Rebalance: func(r observe.Rebalance) {
			if r.Kind == observe.Idle {
				idle.Add(1)
			}
		}}))
		k.Until("b idles", func() bool { return idle.Load() > 0 })
		require.Equal(k.T, 2, a.Running())
		require.NoError(k.T, a.Stop())
		k.Until("b has the tasks", func() bool { return b.Running() == 2 })
	})
}

func TestReadTable_TopicDeletedWhileRunning(t *testing.T) {
	edges(t, func(t *testing.T, edge topology.Edge) {
		streamtest.Run(t, func(k *streamtest.Kit) {
			k.Topic("sales", 1)
			k.Topic("customers", 1, "cleanup.policy", "compact")
			put(k, "row", "a")
			a := k.Start(enricher(t, edge))
			require.NoError(k.T, k.Broker.DeleteTopic("customers"))
			err := a.Wait()
			var reset *state.LogResetError
			require.ErrorAs(k.T, err, &reset)
			require.ErrorContains(k.T, err, "group enricher: follow table customers/0")
		})
	})
}

// R22, R27: the partition of a joined table moves in the middle of its restore, and comes back at once.
func TestR22_R27_JoinedTableMovesInMidRestore(t *testing.T) {
	streamtest.Run(t, func(k *streamtest.Kit) {
		k.Topic("sales", 2)
		k.Topic("customers", 2, "cleanup.policy", "compact")
		g, keys := enricher(t, topology.Join(customers)), users(20)
		put(k, "row", keys...)
		sell(k, keys...)
		held := k.Broker.Hold(devbroker.Fetch, "customers")
		a := k.Launch("a", g)
		<-held.Arrived()
		for range 3 {
			b := k.Launch("b", g)
			k.Until("b has a task", func() bool { return b.Running() == 1 })
			require.NoError(k.T, b.Stop())
			k.Until("a has it back", func() bool { return len(a.Processor.Stats().Tasks) == 2 })
		}
		require.Zero(k.T, a.Running())
		held.Release()
		<-a.Processor.Ready()
		k.Settle(g)
		require.Equal(k.T, all("row", keys...), streamtest.FoldOf(k, enriched))
		put(k, "newest", keys...)
		for _, key := range keys {
			requireCustomer(k, a, key, "newest")
		}
	})
}

func TestReadTables_SurviveACrash(t *testing.T) {
	edges(t, func(t *testing.T, edge topology.Edge) {
		streamtest.Run(t, func(k *streamtest.Kit) {
			k.Topic("sales", 2)
			k.Topic("customers", 2, "cleanup.policy", "compact")
			g, keys := enricher(t, edge), users(10)
			put(k, "row", keys...)
			a := k.Start(g)
			sell(k, keys...)
			k.Settle(g)
			a.Crash()
			put(k, "newest", keys...)
			var seen plans
			k.Start(g, seen.option())
			require.NotContains(k.T, seen.decided, state.Rebuild)
			sell(k, keys...)
			k.Settle(g)
			require.Equal(k.T, all("newest", keys...), streamtest.FoldOf(k, enriched))
		})
	})
}

func TestGet_OfATableNotInTheGroup(t *testing.T) {
	streamtest.Run(t, func(k *streamtest.Kit) {
		k.Topic("clicks", 1)
		a := k.Start(clicker(t))
		_, _, err := processor.Get(a.Processor, customers, "a")
		require.ErrorContains(k.T, err, "group clicker neither keeps nor reads table customers")
	})
}

func TestView_OfAReadTable(t *testing.T) {
	streamtest.Run(t, func(k *streamtest.Kit) {
		k.Topic("customers", 2, "cleanup.policy", "compact")
		put(k, "row", users(5)...)
		v, err := processor.NewView(customers, k.Options("view")...)
		require.NoError(k.T, err)
		ctx, cancel := context.WithCancel(k.T.Context())
		done := make(chan error, 1)
		go func() { done <- v.Run(ctx) }()
		<-v.Ready()
		row, ok, err := v.Get("user-3")
		require.NoError(k.T, err)
		require.True(k.T, ok)
		require.Equal(k.T, "row", row)
		cancel()
		require.NoError(k.T, <-done)

		var none *topology.ReadTable[string]
		_, err = processor.NewView(none, k.Options("view")...)
		require.ErrorContains(k.T, err, "the table is nil")
	})
}
