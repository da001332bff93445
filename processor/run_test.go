package processor_test

import (
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tarnstream/tarn/codec"
	"github.com/tarnstream/tarn/processor"
	"github.com/tarnstream/tarn/streamtest"
	"github.com/tarnstream/tarn/topology"
)

func TestRun_CountsAndStops(t *testing.T) {
	streamtest.Run(t, func(k *streamtest.Kit) {
		k.Topic("clicks", 4)
		g, keys := clicker(k.T), users(20)
		i := k.Start(g)
		click(k, g, keys...)
		click(k, g, keys[:5]...)
		rows := requireFold(k, i, keys...)
		require.EqualValues(k.T, 2, rows["user-0"])
		require.EqualValues(k.T, 1, rows["user-19"])
		require.NoError(k.T, i.Stop())
	})
}

func TestRun_RestartWithIntactStateAppliesNothing(t *testing.T) {
	streamtest.Run(t, func(k *streamtest.Kit) {
		k.Topic("clicks", 4)
		g, keys := clicker(k.T), users(50)
		first := k.Start(g)
		click(k, g, keys...)
		require.NoError(k.T, first.Stop())

		again := k.Start(g)
		require.Zero(k.T, again.Processor.Stats().Restored)
		click(k, g, keys...)
		require.EqualValues(k.T, 2, requireFold(k, again, keys...)["user-7"])
	})
}

func TestRun_TwoInstancesShareAndTakeOver(t *testing.T) {
	streamtest.Run(t, func(k *streamtest.Kit) {
		k.Topic("clicks", 4)
		g, keys := clicker(k.T), users(40)
		a := k.StartAs("a", g)
		click(k, g, keys...)
		b := k.StartAs("b", g)
		k.Until("both have two tasks", func() bool {
			return len(a.Processor.Stats().Tasks) == 2 && len(b.Processor.Stats().Tasks) == 2
		})
		click(k, g, keys...)
		require.NoError(k.T, b.Stop())
		k.Until("a has all tasks running", func() bool { return a.Running() == 4 })
		click(k, g, keys...)
		require.EqualValues(k.T, 3, requireFold(k, a, keys...)["user-3"])
	})
}

func TestRun_TakesOverAfterTheSessionOfAKilledInstance(t *testing.T) {
	streamtest.Run(t, func(k *streamtest.Kit) {
		k.Topic("clicks", 4)
		g, keys := clicker(k.T), users(40)
		a := k.StartAs("a", g)
		b := k.StartAs("b", g)
		k.Until("both have two tasks", func() bool { return a.Running() == 2 && b.Running() == 2 })
		click(k, g, keys...)
		killed := time.Now()
		b.Crash()
		k.Until("a has all tasks running", func() bool { return a.Running() == 4 })
		require.Less(k.T, time.Since(killed), time.Minute)
		requireFold(k, a, keys...)
	})
}

func TestRun_SeveralTablesAndOutputs(t *testing.T) {
	var (
		in    = topology.NewStream("in", codec.String)
		other = topology.NewStream("other", codec.Int64)
		out   = topology.NewStream("out", codec.String, topology.Partitions(3))
		last  = topology.NewTable("last", codec.String)
		sums  = topology.NewTable("sums", codec.Int64)
	)
	g := define(t, "several",
		topology.Input(in, func(ctx *topology.Context, v string) error {
			return errors.Join(last.Set(ctx, v), out.Emit(ctx, v, ctx.Key()))
		}),
		topology.Input(other, func(ctx *topology.Context, v int64) error {
			n, _, err := sums.Get(ctx)
			return errors.Join(err, sums.Set(ctx, n+v))
		}),
		topology.Output(out), topology.Persist(last), topology.Persist(sums))
	streamtest.Run(t, func(k *streamtest.Kit) {
		k.Topic("in", 2)
		k.Topic("other", 2)
		i := k.Start(g)
		five, err := codec.Int64.Encode(nil, 5)
		require.NoError(k.T, err)
		k.Send("in", "a", "hello")
		k.Send("other", "a", string(five))
		k.Send("other", "a", string(five))
		k.Settle(g)
		require.Equal(k.T, map[string]string{"a": "hello"}, streamtest.Read(i, last, "a"))
		require.Equal(k.T, map[string]int64{"a": 10}, streamtest.Read(i, sums, "a"))
		require.Equal(k.T, map[string]string{"hello": "a"}, k.Fold("out"))
		_, n, err := k.Broker.Config("out")
		require.NoError(k.T, err)
		require.Equal(k.T, 3, n)
		config, _, err := k.Broker.Config("last")
		require.NoError(k.T, err)
		require.Equal(k.T, "compact", config["cleanup.policy"])
	})
}

func TestRun_CallbackErrorEndsItWithTheRecord(t *testing.T) {
	bad := errors.New("no such page")
	fails := func(fail func() error) *topology.Group {
		return define(t, "clicker", topology.Persist(counts), topology.Input(clicks, func(ctx *topology.Context, v string) error {
			if err := onClick(ctx, v); err != nil || v != "bad" {
				return err
			}
			return fail()
		}))
	}
	for name, fail := range map[string]func() error{"error": func() error { return bad }, "panic": func() error { panic("boom") }} {
		t.Run(name, func(t *testing.T) {
			streamtest.Run(t, func(k *streamtest.Kit) {
				k.Topic("clicks", 1)
				g := fails(fail)
				i := k.Start(g)
				k.Send("clicks", "a", "good")
				k.Send("clicks", "a", "bad")
				var failed *processor.RecordError
				require.ErrorAs(k.T, i.Wait(), &failed)
				require.Equal(k.T, "clicks", failed.Topic)
				require.EqualValues(k.T, 1, failed.Offset)
				require.Equal(k.T, []byte("a"), failed.Key)
				if name == "error" {
					require.ErrorIs(k.T, failed, bad)
				} else {
					var p *processor.PanicError
					require.ErrorAs(k.T, failed, &p)
					require.Contains(k.T, string(p.Stack), "run_test.go")
				}
				// what came before is committed, nothing of the failed record is (R61)
				require.Equal(k.T, map[string]int64{"a": 1}, streamtest.FoldOf(k, counts))
				info, err := k.Broker.Group("clicker")
				require.NoError(k.T, err)
				require.EqualValues(k.T, 1, info.Commits["clicks"][0].Offset)
			})
		})
	}
}

// An idle table is stamped as current about once a minute, and not written at every flush interval.
func TestRun_IdleTableIsStampedSeldom(t *testing.T) {
	streamtest.Run(t, func(k *streamtest.Kit) {
		k.Topic("clicks", 1)
		g := clicker(k.T)
		i := k.Start(g)
		click(k, g, "a")
		time.Sleep(10 * time.Second) // the click is flushed
		before := i.Processor.Stats().Flushes
		time.Sleep(10 * time.Minute)
		require.InDelta(k.T, 10, i.Processor.Stats().Flushes-before, 2)
	})
}
