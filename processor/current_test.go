package processor_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tarnstream/tarn/codec"
	"github.com/tarnstream/tarn/devbroker"
	"github.com/tarnstream/tarn/observe"
	"github.com/tarnstream/tarn/policy"
	"github.com/tarnstream/tarn/processor"
	"github.com/tarnstream/tarn/state"
	"github.com/tarnstream/tarn/streamtest"
	"github.com/tarnstream/tarn/topology"
)

// Tables become current one after the other, and each can be read from then on, while the task still restores the others.
func TestCurrent_OneTableAfterTheOther(t *testing.T) {
	one, two := topology.NewTable("one", codec.String), topology.NewTable("two", codec.String)
	joined, too := topology.NewReadTable("joined", codec.String), topology.NewReadTable("joined-too", codec.String)
	lookedUp := topology.NewReadTable("looked-up", codec.String)
	stranger := topology.NewReadTable("stranger", codec.String)
	g := define(t, "several", topology.Persist(one), topology.Persist(two), topology.Lookup(lookedUp), topology.Join(joined), topology.Join(too),
		topology.Input(clicks, func(ctx *topology.Context, v string) error { return nil }))
	streamtest.Run(t, func(k *streamtest.Kit) {
		k.Topic("clicks", 1)
		for i, topic := range []string{"one", "two", "joined", "joined-too", "looked-up"} {
			k.Topic(topic, 1, "cleanup.policy", "compact")
			k.Send(topic, "a", topic)
			require.NoError(k.T, k.Broker.MoveLeader(topic, 0, int32(i)))
		}
		held := map[string]*devbroker.Held{}
		tables := []topology.Handle{one, two, joined, too, lookedUp}
		for _, table := range tables {
			held[table.Name()] = k.Broker.Hold(devbroker.Fetch, table.Name())
		}
		a := k.Launch("a", g)
		p := a.Processor
		get := func(table topology.Handle) (v string, err error) {
			switch table {
			case topology.Handle(one):
				v, _, err = processor.Get(p, one, "a")
			case topology.Handle(two):
				v, _, err = processor.Get(p, two, "a")
			case topology.Handle(joined):
				v, _, err = processor.Get(p, joined, "a")
			case topology.Handle(too):
				v, _, err = processor.Get(p, too, "a")
			default:
				v, _, err = processor.Get(p, lookedUp, "a")
			}
			return v, err
		}
		ends := make(chan string, len(tables))
		for _, table := range tables {
			go func() {
				if err := p.AwaitCurrent(k.T.Context(), table); err != nil {
					ends <- err.Error()
				} else {
					ends <- table.Name()
				}
			}()
		}
		for n, next := range tables { // a held request lives for thirty seconds
			k.Advance(5 * time.Second)
			progress := p.Progress()
			require.Len(k.T, progress.Tables, 5, "the joined ones are there before they are followed")
			require.Equal(k.T, n, progress.Current)
			require.False(k.T, progress.Sum.Done)
			audits := auditsByTopic(k, p)
			require.Len(k.T, audits, len(tables))
			for i, table := range tables {
				v, err := get(table)
				if i < n {
					require.True(k.T, p.Current(table), table.Name())
					require.NoError(k.T, err)
					require.Equal(k.T, table.Name(), v)
					require.True(k.T, audits[table.Name()].Equal(), "%+v", audits[table.Name()])
				} else {
					require.ErrorIs(k.T, audits[table.Name()].Err, processor.ErrNotReady)
					require.False(k.T, p.Current(table), table.Name())
					require.ErrorIs(k.T, err, processor.ErrNotReady)
				}
			}
			held[next.Name()].Release()
			require.Equal(k.T, next.Name(), <-ends)
		}
		<-p.Ready()
		require.True(k.T, p.Progress().Sum.Done)

		require.False(k.T, p.Current(stranger))
		require.ErrorContains(k.T, p.AwaitCurrent(k.T.Context(), stranger), "neither keeps nor reads table stranger")
		require.NoError(k.T, a.Stop())
		require.False(k.T, p.Current(one))
		require.ErrorIs(k.T, p.AwaitCurrent(k.T.Context(), one), state.ErrClosed)
	}, devbroker.Brokers(6))
}

func auditsByTopic(k *streamtest.Kit, p *processor.Processor) map[string]*observe.Audit {
	k.T.Helper()
	audits := map[string]*observe.Audit{}
	for _, of := range verify(k, p) {
		audits[of.Topic] = &of
	}
	return audits
}

// Who waits before Run, or in vain, is told.
func TestCurrent_BeforeRun(t *testing.T) {
	streamtest.Run(t, func(k *streamtest.Kit) {
		p, err := processor.New(clicker(k.T), k.Options("a")...)
		require.NoError(k.T, err)
		v, err := processor.NewView(counts, k.Options("view")...)
		require.NoError(k.T, err)
		require.False(k.T, p.Current(counts))
		require.False(k.T, v.Current())
		require.False(k.T, p.Progress().Sum.Done)
		require.False(k.T, v.Progress().Sum.Done)
		for _, await := range []func(context.Context) error{v.AwaitCurrent, func(ctx context.Context) error { return p.AwaitCurrent(ctx, counts) }} {
			ctx, cancel := context.WithTimeout(k.T.Context(), time.Minute)
			require.ErrorIs(k.T, await(ctx), context.DeadlineExceeded)
			cancel()
		}
	})
}

// A view whose log is reset is not current until it has been rebuilt.
func TestView_Current(t *testing.T) {
	streamtest.Run(t, func(k *streamtest.Kit) {
		pagesTopic(k, 1)
		fillPages(k, 10, "x")
		v := launchView(k)
		require.NoError(k.T, v.AwaitCurrent(k.T.Context()))
		require.True(k.T, v.Current())
		require.True(k.T, v.Progress().Sum.Done)

		held := k.Broker.Hold(devbroker.Fetch, "pages")
		<-held.Arrived()
		fillPages(k, 10, "y")
		require.NoError(k.T, k.Broker.DeleteRecords("pages", 0, 15))
		rebuild := k.Broker.Hold(devbroker.Fetch, "pages")
		held.Release()
		<-rebuild.Arrived()
		require.False(k.T, v.Current())
		require.False(k.T, v.Progress().Sum.Done)
		done := make(chan error, 1)
		go func() { done <- v.AwaitCurrent(k.T.Context()) }()
		k.Advance(20 * time.Second)
		require.Empty(k.T, done)
		rebuild.Release()
		require.NoError(k.T, <-done)
		require.Len(k.T, v.rows(), 5)
		require.NoError(k.T, v.stop())
		require.False(k.T, v.Current())
		require.ErrorIs(k.T, v.AwaitCurrent(k.T.Context()), state.ErrClosed)
	})
}

// While a kept table is rebuilt a read is refused, unless it allows what was there before: that comes with its age.
func TestGet_StaleWhileAKeptTableIsRebuilt(t *testing.T) {
	streamtest.Run(t, func(k *streamtest.Kit) {
		k.Topic("clicks", 1)
		g, keys := clicker(k.T), users(10)
		away(k, g, keys, keys[:4])
		k.Advance(time.Hour)
		require.NoError(k.T, k.Broker.DeleteRecords("clicks-count", 0, 12)) // a's checkpoint is 10, the end 14

		held := k.Broker.Hold(devbroker.Fetch, "clicks-count")
		var seen diary
		a := k.Launch("a", g, processor.AtLeastOnce(), seen.option())
		<-held.Arrived()
		_, _, err := processor.Get(a.Processor, counts, "user-7")
		require.ErrorIs(k.T, err, processor.ErrNotReady)
		var stale *policy.StaleError
		require.ErrorAs(k.T, err, &stale)
		require.Equal(k.T, "clicks-count", stale.Table)
		require.Equal(k.T, "checkpoint 10 is below the log start 12", stale.Cause)
		require.InDelta(k.T, time.Hour, stale.Age, float64(time.Minute))
		require.Empty(k.T, of(&seen, &seen.stale))

		for range 3 {
			var worth policy.Staleness
			n, ok, err := processor.Get(a.Processor, counts, "user-7", policy.AllowStale(&worth))
			require.NoError(k.T, err)
			require.True(k.T, ok, "of the old generation")
			require.EqualValues(k.T, 1, n)
			require.Equal(k.T, stale.Cause, worth.Cause)
			require.GreaterOrEqual(k.T, worth.Age, stale.Age)
			k.Advance(time.Second)
		}
		_, _, err = processor.Get(a.Processor, counts, "user-7", policy.AllowStale(nil), policy.MaxAge(time.Minute))
		require.ErrorAs(k.T, err, &stale)
		require.Equal(k.T, []observe.StaleRead{{Place: observe.Place{Group: "clicker", Topic: "clicks-count"}, Cause: stale.Cause}},
			of(&seen, &seen.stale), "told of once")

		held.Release()
		<-a.Processor.Ready()
		worth := policy.Staleness{Cause: "from before"}
		_, ok, err := processor.Get(a.Processor, counts, "user-7", policy.AllowStale(&worth), policy.MaxAge(0))
		require.NoError(k.T, err)
		require.False(k.T, ok, "its record is gone")
		require.Zero(k.T, worth, "who writes the table knows it")
	})
}

// Where there is nothing from before there is nothing to allow, and a tail that is read is from before as well.
func TestGet_StaleWhileAKeptTableIsRestored(t *testing.T) {
	streamtest.Run(t, func(k *streamtest.Kit) {
		k.Topic("clicks", 1)
		g, keys := clicker(k.T), users(10)
		away(k, g, keys, keys[:4])
		for name, there := range map[string]bool{"new": false, "a": true} {
			held := k.Broker.Hold(devbroker.Fetch, "clicks-count")
			a := k.Launch(name, g)
			<-held.Arrived()
			var worth policy.Staleness
			n, _, err := processor.Get(a.Processor, counts, "user-0", policy.AllowStale(&worth))
			if there {
				require.NoError(k.T, err)
				require.EqualValues(k.T, 1, n)
				require.Equal(k.T, "it is being read since the start", worth.Cause)
			} else {
				require.Equal(k.T, processor.ErrNotReady, err)
			}
			held.Release()
			<-a.Processor.Ready()
			n, _, err = processor.Get(a.Processor, counts, "user-0")
			require.NoError(k.T, err)
			require.EqualValues(k.T, 2, n)
			require.NoError(k.T, a.Stop())
		}
	})
}

// A table that is only read answers from before a reset, and says what that is worth to who asks.
func TestR70_ReadTableResets_OutsideReads(t *testing.T) {
	edges(t, func(t *testing.T, edge topology.Edge) {
		try(t, edge, func(tr *trial) {
			k, p := tr.k, tr.a.Processor
			require.True(k.T, p.Current(customers))
			k.Advance(10 * time.Second)
			var worth policy.Staleness
			_, _, err := processor.Get(p, customers, tr.dead[0], policy.AllowStale(&worth), policy.MaxAge(5*time.Second))
			require.NoError(k.T, err)
			require.Empty(k.T, worth.Cause)
			tr.reset()
			<-tr.noticed
			require.False(k.T, p.Current(customers))
			k.Advance(20 * time.Second)
			v, _, err := processor.Get(p, customers, tr.dead[0])
			require.NoError(k.T, err)
			require.Equal(k.T, "old", v)
			_, _, err = processor.Get(p, customers, tr.dead[0], policy.AllowStale(&worth))
			require.NoError(k.T, err)
			require.NotEmpty(k.T, worth.Cause)
			require.InDelta(k.T, 20*time.Second, worth.Age, float64(5*time.Second))
			var stale *policy.StaleError
			_, _, err = processor.Get(p, customers, tr.dead[0], policy.MaxAge(10*time.Second))
			require.ErrorAs(k.T, err, &stale)
			require.NotErrorIs(k.T, err, processor.ErrNotReady)
			tr.mu.Lock()
			require.Len(k.T, tr.reads, 1, "once an episode")
			tr.mu.Unlock()
			tr.listing.Release()
			<-tr.reading
			tr.rebuild.Release()
			require.NoError(k.T, p.AwaitCurrent(k.T.Context(), customers))
			tr.requireNew()
		})
	})
}

// A joined or looked-up table answers from the last run before it is current, where the read allows it.
func TestGet_StaleWhileAReadTableIsRestored(t *testing.T) {
	edges(t, func(t *testing.T, edge topology.Edge) {
		streamtest.Run(t, func(k *streamtest.Kit) {
			k.Topic("sales", 1)
			k.Topic("customers", 1, "cleanup.policy", "compact")
			g, keys := enricher(t, edge), users(3)
			put(k, "old", keys...)
			require.NoError(k.T, k.StartAs("a", g).Stop())
			put(k, "new", keys...)
			k.Advance(time.Hour)

			held := k.Broker.Hold(devbroker.Fetch, "customers")
			var seen diary
			p := k.Launch("a", g, seen.option()).Processor
			<-held.Arrived()
			require.False(k.T, p.Current(customers))
			_, _, err := processor.Get(p, customers, keys[0])
			require.ErrorIs(k.T, err, processor.ErrNotReady)
			var worth policy.Staleness
			v, ok, err := processor.Get(p, customers, keys[0], policy.AllowStale(&worth))
			require.NoError(k.T, err)
			require.True(k.T, ok)
			require.Equal(k.T, "old", v)
			require.Equal(k.T, "it is being read since the start", worth.Cause)
			require.InDelta(k.T, time.Hour, worth.Age, float64(time.Minute))
			require.Len(k.T, of(&seen, &seen.stale), 1)
			held.Release()
			require.NoError(k.T, p.AwaitCurrent(k.T.Context(), customers))
			v, _, err = processor.Get(p, customers, keys[0], policy.AllowStale(&worth))
			require.NoError(k.T, err)
			require.Equal(k.T, "new", v)
			require.Empty(k.T, worth.Cause)
		})
	})
}

// A process that has lost all it had is back in its group before it is given anything: nothing is current there.
func TestCurrent_BackInTheGroupWithoutTasks(t *testing.T) {
	streamtest.Run(t, func(k *streamtest.Kit) {
		inside, release := make(chan struct{}, 1), make(chan struct{})
		g := blocked(k.T, inside, release)
		k.Topic("clicks", 1)
		a := k.Start(g, processor.StopTimeout(20*time.Second))
		require.True(k.T, a.Processor.Current(counts))
		k.Send("clicks", "a", "block")
		<-inside
		a.Disconnect()
		k.Until("lost", func() bool { return len(a.Processor.Stats().Tasks) == 0 })
		a.Connect()
		for len(a.Processor.Stats().Tasks) == 0 { // its store cannot be closed yet
			require.False(k.T, a.Processor.Current(counts))
			require.Equal(k.T, observe.StateJoining, a.Processor.Stats().State)
			require.False(k.T, a.Processor.Progress().Sum.Done)
			time.Sleep(10 * time.Millisecond)
		}
		close(release)
		require.NoError(k.T, a.Processor.AwaitCurrent(k.T.Context(), counts))
		k.Settle(g)
	})
}

// A view whose log is in doubt refuses reads: there is no lag to tell.
func TestView_NoLagInDoubt(t *testing.T) {
	streamtest.Run(t, func(k *streamtest.Kit) {
		pagesTopic(k, 1)
		fillPages(k, 10, "x")
		v := launchView(k)
		require.NoError(k.T, v.AwaitCurrent(k.T.Context()))
		require.NoError(k.T, v.Sync(k.T.Context()))
		lag, known := v.Lag()
		require.True(k.T, known)
		require.Zero(k.T, lag)
		listing := k.Broker.Hold(devbroker.ListOffsets, "pages")
		k.OutOfRangeOnce("pages")
		<-listing.Arrived()
		require.False(k.T, v.Current())
		_, known = v.Lag()
		require.False(k.T, known)
		listing.Release()
		require.NoError(k.T, v.AwaitCurrent(k.T.Context()))
		require.NoError(k.T, v.stop())
	})
}
