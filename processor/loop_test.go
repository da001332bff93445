package processor_test

import (
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tarnstream/tarn/codec"
	"github.com/tarnstream/tarn/devbroker"
	"github.com/tarnstream/tarn/policy"
	"github.com/tarnstream/tarn/processor"
	"github.com/tarnstream/tarn/streamtest"
	"github.com/tarnstream/tarn/topology"
)

// The shop gets orders by order number and keeps, by customer, how often each order was handled.
var (
	orders     = topology.NewStream("orders", codec.String)
	byCustomer = topology.NewStream("shop-by-customer", codec.String)
	bought     = topology.NewTable("shop-bought", codec.JSON[map[string]int]())
)

func shop(t *testing.T) *topology.Group {
	return define(t, "shop", topology.Persist(bought),
		topology.Input(orders, func(ctx *topology.Context, customer string) error {
			return byCustomer.Emit(ctx, customer, ctx.Key())
		}),
		topology.Loop(byCustomer, func(ctx *topology.Context, order string) error {
			mine, _, err := bought.Get(ctx)
			if err != nil {
				return err
			}
			if mine == nil {
				mine = map[string]int{}
			}
			mine[order]++
			return bought.Set(ctx, mine)
		}))
}

// order sends orders [from, to) of the given customers in turn.
func order(k *streamtest.Kit, from, to int, customers ...string) {
	for n := from; n < to; n++ {
		k.Send("orders", fmt.Sprintf("order-%d", n), customers[n%len(customers)])
	}
}

// requireOrders requires that orders [0, n) stand at their customers, each handled at least once; it gives how many were
// handled more than once.
func requireOrders(k *streamtest.Kit, n int, customers ...string) (again int) {
	k.T.Helper()
	table := streamtest.FoldOf(k, bought)
	for i := range n {
		times := table[customers[i%len(customers)]][fmt.Sprintf("order-%d", i)]
		require.Positive(k.T, times, "order %d", i)
		if times > 1 {
			again++
		}
	}
	return again
}

// deleteRecords is Kafka's request.
var deleteRecords = devbroker.RequestOf(21)

// loopBounds gives the sums of a loop's log starts, committed offsets and ends, and requires that no record that is not
// committed has been removed.
func loopBounds(k *streamtest.Kit, group, loop string) (start, committed, end int64) {
	k.T.Helper()
	_, n, err := k.Broker.Config(loop)
	require.NoError(k.T, err)
	for p := range int32(n) {
		b, err := k.Broker.Bounds(loop, p)
		require.NoError(k.T, err)
		info, err := k.Broker.Group(group)
		require.NoError(k.T, err)
		at := info.Commits[loop][p].Offset
		require.LessOrEqual(k.T, b.Start, at, "partition %d: records were removed that are not committed", p)
		start, committed, end = start+b.Start, committed+at, end+b.End
	}
	return start, committed, end
}

// awaitTrim waits until the loop's topic is empty.
func awaitTrim(k *streamtest.Kit, group, loop string) {
	k.T.Helper()
	k.Until("trimmed", func() bool {
		start, committed, end := loopBounds(k, group, loop)
		return start == committed && committed == end
	})
}

func TestLoop_ToOtherPartitionsOverTwoInstances(t *testing.T) {
	streamtest.Run(t, func(k *streamtest.Kit) {
		k.Topic("orders", 4)
		g, customers := shop(k.T), users(7)
		a := k.StartAs("a", g)
		config, partitions, err := k.Broker.Config("shop-by-customer")
		require.NoError(k.T, err)
		require.Equal(k.T, 4, partitions)
		require.Equal(k.T, map[string]string{"cleanup.policy": "delete", "retention.ms": "-1", "retention.bytes": "-1"}, config)

		order(k, 0, 40, customers...)
		b := k.StartAs("b", g) // a rebalance under way
		order(k, 40, 80, customers...)
		k.Until("shared", func() bool { return a.Running() == 2 && b.Running() == 2 })
		order(k, 80, 120, customers...)
		k.Settle(g)
		require.Zero(k.T, requireOrders(k, 120, customers...), "nothing has failed: every order is handled once")
		for _, i := range []*streamtest.Instance{a, b} {
			require.NoError(k.T, i.Stop())
		}
	})
}

func TestLoop_CrashBetweenProduceAndCommit(t *testing.T) {
	streamtest.Run(t, func(k *streamtest.Kit) {
		k.Topic("orders", 2)
		g, customers := shop(k.T), users(5)
		a := k.Start(g, processor.AtLeastOnce())
		held := k.Broker.Hold(devbroker.OffsetCommit, "shop")
		order(k, 0, 20, customers...)
		<-held.Arrived() // the loop has the records, the group not the offsets
		a.Crash()
		held.Drop()
		k.Start(g, processor.AtLeastOnce())
		k.Settle(g)
		require.Positive(k.T, requireOrders(k, 20, customers...), "what was not committed is handled again")
		awaitTrim(k, "shop", "shop-by-customer")
	})
}

// What the group has committed goes, what it has not stays, also over a restart.
func TestLoop_TrimsUpToTheCommittedOffset(t *testing.T) {
	streamtest.Run(t, func(k *streamtest.Kit) {
		k.Topic("orders", 2)
		g, customers := shop(k.T), users(5)
		a := k.Start(g, processor.AtLeastOnce())
		order(k, 0, 20, customers...)
		k.Settle(g)
		awaitTrim(k, "shop", "shop-by-customer")

		away := k.Broker.Fail(devbroker.Fault{Request: devbroker.OffsetCommit, Err: devbroker.CoordinatorLoading, Count: -1})
		order(k, 20, 40, customers...)
		time.Sleep(10 * time.Minute)
		start, committed, end := loopBounds(k, "shop", "shop-by-customer")
		require.EqualValues(k.T, []int64{20, 20, 40}, []int64{start, committed, end})
		a.Crash()
		away.Remove()

		a = k.Start(g, processor.AtLeastOnce())
		k.Settle(g)
		awaitTrim(k, "shop", "shop-by-customer")
		require.NoError(k.T, a.Stop())
		k.Start(g, processor.AtLeastOnce()) // on a loop whose records are all gone
		order(k, 40, 60, customers...)
		k.Settle(g)
		requireOrders(k, 60, customers...)
	})
}

// What the group has handled and not committed stays, though what it has committed is due to go: after a crash it is read again.
func TestLoop_TrimsNothingThatIsOnlyHandled(t *testing.T) {
	streamtest.Run(t, func(k *streamtest.Kit) {
		k.Topic("orders", 1)
		g := shop(k.T)
		a := k.Start(g, processor.AtLeastOnce())
		order(k, 0, 20, "ann")
		k.Settle(g)
		start, committed, end := loopBounds(k, "shop", "shop-by-customer")
		require.EqualValues(k.T, []int64{0, 20, 20}, []int64{start, committed, end}, "not trimmed yet")
		away := k.Broker.Fail(devbroker.Fault{Request: devbroker.OffsetCommit, Err: devbroker.CoordinatorLoading, Count: -1})
		order(k, 20, 40, "ann")
		k.Until("handled", func() bool { return a.Processor.Stats().Records == 80 })
		time.Sleep(time.Minute)
		start, committed, end = loopBounds(k, "shop", "shop-by-customer")
		require.EqualValues(k.T, []int64{20, 20, 40}, []int64{start, committed, end})
		a.Crash()
		away.Remove()
		k.Start(g, processor.AtLeastOnce())
		k.Settle(g)
		requireOrders(k, 40, "ann")
	})
}

// A request to remove records that arrives when its sender is long dead removes nothing that is not committed.
func TestLoop_ADelayedTrimOfAZombie(t *testing.T) {
	streamtest.Run(t, func(k *streamtest.Kit) {
		k.Topic("orders", 1)
		g, customers := shop(k.T), users(5)
		a := k.StartAs("a", g, processor.AtLeastOnce())
		order(k, 0, 20, customers...)
		k.Settle(g)
		held := k.Broker.Hold(deleteRecords, "")
		<-held.Arrived()
		a.Crash()
		inCommit := k.Broker.Hold(devbroker.OffsetCommit, "shop")
		order(k, 20, 40, customers...)
		k.StartAs("b", g, processor.AtLeastOnce())
		<-inCommit.Arrived()
		held.Release()
		k.Until("the zombie's request is done", func() bool {
			start, _, _ := loopBounds(k, "shop", "shop-by-customer")
			return start == 20
		})
		inCommit.Release()
		k.Settle(g)
		requireOrders(k, 40, customers...)
	})
}

// Instances come, go, are cut off and die; records that are not committed are never removed, and no order is lost.
func TestLoop_TrimUnderChaos(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	streamtest.Run(t, func(k *streamtest.Kit) {
		k.Topic("orders", 4)
		g, customers := shop(k.T), users(9)
		live := map[string]*streamtest.Instance{}
		n := 0
		for range 40 {
			order(k, n, n+10, customers...)
			n += 10
			name := string(rune('a' + r.IntN(3)))
			switch i := live[name]; {
			case i == nil:
				live[name] = k.Launch(name, g,
					processor.StopTimeout(10*time.Second), processor.StartTimeout(0)) // cut off while it starts, it waits
			case r.IntN(3) == 0:
				i.Crash()
				delete(live, name)
			case r.IntN(2) == 0:
				i.Disconnect()
				time.Sleep(time.Duration(r.IntN(60)) * time.Second)
				i.Connect()
			default:
				require.NoError(k.T, i.Stop())
				delete(live, name)
			}
			for range r.IntN(60) {
				time.Sleep(time.Second)
				if k.Broker.TopicID("shop-by-customer") != [16]byte{} {
					loopBounds(k, "shop", "shop-by-customer")
				}
			}
		}
		for _, i := range live {
			require.NoError(k.T, i.Stop())
		}
		k.StartAs("last", g)
		k.Settle(g)
		requireOrders(k, n, customers...)
		awaitTrim(k, "shop", "shop-by-customer")
	})
}

// logged collects what an instance logs.
type logged struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *logged) option() processor.Option {
	return processor.Logger(slog.New(slog.NewTextHandler(l, nil)))
}

func (l *logged) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *logged) count(part string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.text.String(), part)
}

func TestLoop_BrokerRefusesToRemove(t *testing.T) {
	for name, c := range map[string]struct {
		code devbroker.Code
		says string
		min  int
		max  int
	}{
		"for good":      {44, "refuses to remove", 1, 1}, // POLICY_VIOLATION
		"for some time": {devbroker.NotLeader, "not removed now, but later", 2, 30},
	} {
		t.Run(name, func(t *testing.T) {
			streamtest.Run(t, func(k *streamtest.Kit) {
				k.Topic("orders", 1)
				var log logged
				g := shop(k.T)
				a := k.Start(g, processor.AtLeastOnce(), log.option())
				fault := k.Broker.Fail(devbroker.Fault{Request: deleteRecords, Err: c.code, Count: -1})
				order(k, 0, 10, "ann")
				k.Settle(g)
				time.Sleep(5 * time.Minute)
				require.GreaterOrEqual(k.T, fault.Hits(), 2, "asked again")
				require.GreaterOrEqual(k.T, log.count(c.says), c.min)
				require.LessOrEqual(k.T, log.count(c.says), c.max)
				start, _, end := loopBounds(k, "shop", "shop-by-customer")
				require.Equal(k.T, []int64{0, 10}, []int64{start, end})
				fault.Remove()
				awaitTrim(k, "shop", "shop-by-customer")
				require.NoError(k.T, a.Stop())
			})
		})
	}
}

func TestLoop_TopicThatLosesRecordsIsNamed(t *testing.T) {
	streamtest.Run(t, func(k *streamtest.Kit) {
		k.Topic("orders", 2)
		k.Topic("shop-by-customer", 3, "cleanup.policy", "compact,delete")
		err := k.Launch("a", shop(k.T)).Wait()
		var faults *processor.TopicsError
		require.ErrorAs(k.T, err, &faults)
		require.ErrorContains(k.T, err, "loop shop-by-customer has 3 partitions, the inputs have 2")
		require.ErrorContains(k.T, err, "loop shop-by-customer has cleanup.policy=compact,delete")

		require.NoError(k.T, k.Broker.DeleteTopic("shop-by-customer"))
		k.Topic("shop-by-customer", 2, "retention.ms", "3600000", "retention.bytes", "-1")
		var log logged
		k.StartAs("b", shop(k.T), log.option())
		require.Equal(k.T, 1, log.count("the loop's topic has a limit"))
		require.Equal(k.T, 1, log.count("retention.ms=3600000"))
	})
}

// A loop begins with its first record, whatever the inputs do: what is in it is the group's own.
func TestLoop_FromLatestSkipsNothingOfTheGroupsOwn(t *testing.T) {
	streamtest.Run(t, func(k *streamtest.Kit) {
		k.Topic("orders", 4)
		k.Topic("shop-by-customer", 4, "retention.ms", "-1", "retention.bytes", "-1")
		k.Send("shop-by-customer", "user-1", "order-0")
		order(k, 1, 20, users(5)...)
		g := shop(k.T)
		k.Start(g, processor.Inputs(policy.FromLatest()))
		k.Settle(g)
		require.Equal(k.T, map[string]map[string]int{"user-1": {"order-0": 1}}, streamtest.FoldOf(k, bought))
	})
}

// Each record of this loop makes two: what a task keeps in memory is bounded all the same.
func TestLoop_ThatMultipliesIsHeldBack(t *testing.T) {
	const depth, size, layer = 12, 1 << 10, 256 << 10
	loop := topology.NewStream("fission-loop", codec.Bytes)
	g := define(t, "fission",
		topology.Input(clicks, func(ctx *topology.Context, _ string) error {
			return loop.Emit(ctx, "n", make([]byte, size))
		}),
		topology.Loop(loop, func(ctx *topology.Context, v []byte) error {
			if v[0]++; v[0] == depth {
				return nil
			}
			for range 2 {
				if err := loop.Emit(ctx, ctx.Key(), v); err != nil {
					return err
				}
			}
			return nil
		}))
	streamtest.Run(t, func(k *streamtest.Kit) {
		k.Topic("clicks", 1)
		i := k.Start(g, processor.AtLeastOnce(), processor.MemoryBytes(smallMemory), processor.CommitInterval(10*time.Second))
		k.Send("clicks", "n", "x")
		k.Settle(g)
		b, err := k.Broker.Bounds("fission-loop", 0)
		require.NoError(k.T, err)
		require.EqualValues(k.T, 1<<depth-1, b.End)
		require.GreaterOrEqual(k.T, i.Processor.Stats().Commits, int64(size<<depth/(layer+2*size)), "a layer for each commit at most")
	})
}

// The lag counts what is in a loop, and a loop that is not there yet for nothing.
func TestLag_CountsLoops(t *testing.T) {
	streamtest.Run(t, func(k *streamtest.Kit) {
		k.Topic("orders", 2)
		g := shop(k.T)
		lag := func() int64 {
			n, err := processor.Lag(k.T.Context(), g, k.Options("lag")...)
			require.NoError(k.T, err)
			return n
		}
		require.Zero(k.T, lag())
		k.Start(g, processor.AtLeastOnce())
		held := k.Broker.Hold(devbroker.Produce, "shop-bought")
		order(k, 0, 10, users(3)...)
		<-held.Arrived()
		require.EqualValues(k.T, 10, lag(), "in the loop, handled and not committed")
		held.Release()
		k.Settle(g)
		require.Zero(k.T, lag())
	})
}

// The log start that the group itself has raised is no loss; a loop that was deleted and made again is one, and told.
func TestR58_LoopDeletedAndMadeAgainIsTold(t *testing.T) {
	streamtest.Run(t, func(k *streamtest.Kit) {
		k.Topic("orders", 2)
		g := shop(k.T)
		a := k.Start(g)
		order(k, 0, 20, users(5)...)
		k.Settle(g)
		awaitTrim(k, "shop", "shop-by-customer")
		require.NoError(k.T, a.Stop())

		var told losses
		a = k.Start(g, told.option())
		order(k, 20, 40, users(5)...)
		k.Settle(g)
		awaitTrim(k, "shop", "shop-by-customer")
		require.NoError(k.T, a.Stop())
		require.Empty(k.T, told.told)

		require.NoError(k.T, k.Broker.DeleteTopic("shop-by-customer"))
		k.Start(g, told.option())
		order(k, 40, 60, users(5)...)
		k.Settle(g)
		told.mu.Lock()
		defer told.mu.Unlock()
		require.NotEmpty(k.T, told.told)
		for _, r := range told.told {
			require.Equal(k.T, "shop-by-customer", r.Topic)
			e, _ := errors.AsType[*policy.InputError](r.Cause)
			require.NotEqual(k.T, e.Was, e.Is)
		}
		require.Zero(k.T, requireOrders(k, 60, users(5)...))
	})
}
