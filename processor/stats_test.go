package processor_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tarnstream/tarn/codec"
	"github.com/tarnstream/tarn/devbroker"
	"github.com/tarnstream/tarn/observe"
	"github.com/tarnstream/tarn/processor"
	"github.com/tarnstream/tarn/streamtest"
	"github.com/tarnstream/tarn/topology"
)

// rowBytes is what a row of the counts adds to a layer that lies below the open one.
const rowBytes = 104 + 1 + 8

// placeBytes is its place in a layer's index, once some row has been looked for.
const placeBytes = 40

// teller counts clicks, and tells of some.
func teller(t *testing.T) *topology.Group {
	out := topology.NewStream("out", codec.String)
	return define(t, "clicker", topology.Persist(counts), topology.Output(out), topology.Input(clicks, func(ctx *topology.Context, v string) error {
		if err := onClick(ctx, v); err != nil || v != "tell" {
			return err
		}
		return out.Emit(ctx, ctx.Key(), "told")
	}))
}

// first gives the figures of task 0.
func first(i *streamtest.Instance) (observe.Stats, observe.InputStats, observe.TableStats) {
	s := i.Processor.Stats()
	return s, s.Tasks[0].Inputs[0], s.Tasks[0].Tables[0]
}

// handle sends a click of each key and waits until the task has handled them.
func handle(k *streamtest.Kit, i *streamtest.Instance, value string, keys ...string) {
	k.T.Helper()
	_, before, _ := first(i)
	for _, key := range keys {
		k.Send("clicks", key, value)
	}
	k.Until("handled", func() bool { _, in, _ := first(i); return in.Position == before.Position+int64(len(keys)) })
}

// Records are followed through the layers, one after the other: what Stats says of each is exact.
func TestStats_ThroughTheLayers(t *testing.T) {
	streamtest.Run(t, func(k *streamtest.Kit) {
		k.Topic("clicks", 1)
		a := k.Start(teller(k.T), processor.AtLeastOnce(), processor.CommitInterval(10*time.Second), processor.FlushInterval(31*time.Second))
		s, in, table := first(a)
		require.Equal(k.T, observe.InputStats{Topic: "clicks", End: in.End, Lag: in.Lag}, in)
		require.Equal(k.T, []observe.OutputStats{{Topic: "out"}}, s.Tasks[0].Outputs)
		require.Equal(k.T, observe.RoleKept, table.Role)
		require.Zero(k.T, table.Position)
		require.Equal(k.T, "rebuild", table.Restore.Decision, "it was new")
		require.True(k.T, table.Restore.Done)

		held := k.Broker.Hold(devbroker.Produce, "clicks-count")
		handle(k, a, "x", "a", "a")
		handle(k, a, "tell", "b")
		s, in, table = first(a)
		require.Equal(k.T, observe.InputStats{Topic: "clicks", Position: 3, End: 3, Records: 3, Bytes: 3 + 6}, in)
		require.EqualValues(k.T, 3, s.Records)
		require.EqualValues(k.T, 9, s.BytesIn)
		require.Equal(k.T, 2, table.Open.Rows)
		require.Positive(k.T, table.Open.Bytes)
		require.Zero(k.T, table.Sealed)
		require.True(k.T, s.Tasks[0].LastCommit.IsZero())

		<-held.Arrived() // in the commit
		handle(k, a, "x", "c")
		s, in, table = first(a)
		require.Zero(k.T, in.Committed)
		require.Equal(k.T, 1, table.Open.Rows)
		require.Equal(k.T, observe.LayerStats{Rows: 2, Bytes: 2 * (rowBytes + placeBytes)}, table.Sealed)
		require.Zero(k.T, table.Committed)
		require.Zero(k.T, table.Position)
		require.Zero(k.T, s.RecordsOut)
		held.Release()
		requireCommitted(k, a)
		requireFlushed(k, a)
	})
}

// requireCommitted goes on where two rows are in the first commit, and one in the open layer.
func requireCommitted(k *streamtest.Kit, a *streamtest.Instance) {
	k.T.Helper()
	k.Until("committed", func() bool { return a.Processor.Stats().Commits == 1 })
	s, in, table := first(a)
	require.EqualValues(k.T, 3, in.Committed)
	require.Zero(k.T, table.Sealed)
	require.Equal(k.T, observe.LayerStats{Rows: 2, Bytes: 2 * rowBytes}, table.Committed)
	require.EqualValues(k.T, 2, table.Position)
	require.EqualValues(k.T, 2, table.End)
	require.Zero(k.T, table.Lag)
	require.Zero(k.T, table.Flushed)
	require.EqualValues(k.T, 2, table.Records)
	require.EqualValues(k.T, 2*9, table.Bytes)
	require.Equal(k.T, []observe.OutputStats{{Topic: "out", Records: 1, Bytes: 5}}, s.Tasks[0].Outputs)
	require.EqualValues(k.T, 3, s.RecordsOut)
	require.EqualValues(k.T, 2*9+5, s.BytesOut)
	require.WithinDuration(k.T, time.Now(), table.LastCommit, time.Second)
	require.WithinDuration(k.T, time.Now(), s.Tasks[0].LastCommit, time.Second)

	k.Send("clicks", "a", "x") // a row that the layer has already
	k.Until("committed", func() bool { return a.Processor.Stats().Commits == 2 })
	_, in, table = first(a)
	require.EqualValues(k.T, 5, in.Committed)
	require.Equal(k.T, observe.LayerStats{Rows: 3, Bytes: 3 * rowBytes}, table.Committed)
	require.Zero(k.T, table.Open.Rows)
	require.True(k.T, table.LastFlush.IsZero())
}

// requireFlushed goes on where four records are committed.
func requireFlushed(k *streamtest.Kit, a *streamtest.Instance) {
	k.T.Helper()
	k.Until("flushed", func() bool { return a.Processor.Stats().Flushes == 1 })
	_, _, table := first(a)
	require.Zero(k.T, table.Committed)
	require.Zero(k.T, table.Frozen)
	require.EqualValues(k.T, 4, table.Position)
	require.EqualValues(k.T, 4, table.Flushed)
	require.WithinDuration(k.T, time.Now(), table.LastFlush, time.Second)

	require.NoError(k.T, a.Stop())
	s := a.Processor.Stats()
	require.Empty(k.T, s.Tasks)
	require.EqualValues(k.T, 5, s.Records, "totals stay")
}

// What waits before a callback that does not come on is the lag, and it asks nobody.
func TestStats_LagOfInputs(t *testing.T) {
	streamtest.Run(t, func(k *streamtest.Kit) {
		inside, release := make(chan struct{}, 1), make(chan struct{})
		g := blocked(k.T, inside, release)
		k.Topic("clicks", 1)
		a := k.Start(g)
		_, known := a.Processor.Lag()
		require.False(k.T, known, "no answer has told the end yet")
		k.Until("idle", func() bool { lag, known := a.Processor.Lag(); return known && lag == 0 })
		require.NoError(k.T, k.Broker.Produce("clicks", 0, devbroker.Record{Key: []byte("a"), Value: []byte("block")}))
		<-inside
		require.NoError(k.T, k.Broker.Produce("clicks", 0, batch(5)...))
		k.Until("heard of", func() bool { lag, _ := a.Processor.Lag(); return lag == 6 })
		in := a.Processor.Stats().Tasks[0].Inputs[0]
		require.Zero(k.T, in.Position)
		require.EqualValues(k.T, 6, in.End)
		lists := k.Broker.Hold(devbroker.ListOffsets, "clicks") // no request is made for it
		lag, known := a.Processor.Lag()
		require.True(k.T, known)
		require.EqualValues(k.T, 6, lag)
		lists.Release()
		close(release)
		k.Settle(g)
		lag, known = a.Processor.Lag()
		require.True(k.T, known)
		require.Zero(k.T, lag)
	})
}

// A log that retention has emptied holds nothing to be behind of: for an input without committed offset, a table and a view.
func TestR33_LogEmptiedByRetentionHasNoLag(t *testing.T) {
	streamtest.Run(t, func(k *streamtest.Kit) {
		k.Topic("clicks", 1)
		k.Topic("clicks-count", 1, "cleanup.policy", "compact")
		for _, topic := range []string{"clicks", "clicks-count"} {
			require.NoError(k.T, k.Broker.Produce(topic, 0, batch(10)...))
			require.NoError(k.T, k.Broker.DeleteRecords(topic, 0, -1)) // start = end = 10
		}
		g := clicker(k.T)
		lag, err := processor.Lag(k.T.Context(), g, k.Options("x")...)
		require.NoError(k.T, err)
		require.Zero(k.T, lag)
		a := k.Start(g)
		k.Until("the lag is known", func() bool { _, known := a.Processor.Lag(); return known })
		lag, _ = a.Processor.Lag()
		require.Zero(k.T, lag)
		task := a.Processor.Stats().Tasks[0]
		require.Equal(k.T, observe.InputStats{Topic: "clicks", Position: 10, Committed: 10, End: 10}, task.Inputs[0])
		require.EqualValues(k.T, 10, task.Tables[0].Position)
		require.EqualValues(k.T, 10, task.Tables[0].End)
		require.Zero(k.T, task.Tables[0].Lag)

		v, stop := startView(k)
		k.Until("the view's lag is known", func() bool { _, known := v.Lag(); return known })
		lag, _ = v.Lag()
		require.Zero(k.T, lag)
		require.EqualValues(k.T, 10, v.Stats().Tasks[0].Tables[0].Position)
		require.NoError(k.T, stop())
	})
}

func TestStats_RestoreProgress(t *testing.T) {
	blobs := topology.NewTable("blobs", codec.Bytes)
	g := define(t, "keeper", topology.Persist(blobs), topology.Input(clicks, func(ctx *topology.Context, v string) error {
		return blobs.Set(ctx, make([]byte, 400<<10))
	}))
	streamtest.Run(t, func(k *streamtest.Kit) {
		k.Topic("clicks", 1)
		a := k.StartAs("a", g, processor.AtLeastOnce())
		require.NoError(k.T, k.Broker.Produce("clicks", 0, batch(10)...))
		k.Settle(g)
		require.NoError(k.T, a.Stop())

		first := k.Broker.Hold(devbroker.Fetch, "blobs")
		b := k.Launch("b", g, processor.AtLeastOnce())
		<-first.Arrived()
		second := k.Broker.Hold(devbroker.Fetch, "blobs")
		time.Sleep(3 * time.Second)
		first.Release()
		<-second.Arrived()
		time.Sleep(time.Second)
		s := b.Processor.Stats()
		require.Equal(k.T, "restoring", s.Tasks[0].State)
		require.Empty(k.T, s.Tasks[0].Inputs)
		r := s.Tasks[0].Tables[0].Restore
		require.Equal(k.T, "rebuild", r.Decision)
		require.Equal(k.T, "no checkpoint", r.Cause)
		require.EqualValues(k.T, 10, r.End)
		require.Zero(k.T, r.From)
		require.Positive(k.T, r.Position)
		require.Less(k.T, r.Position, r.End)
		require.Equal(k.T, r.Position, r.Records)
		require.EqualValues(k.T, r.Records*int64(len("user-0")+400<<10), r.Bytes)
		require.InDelta(k.T, 4, r.Took.Seconds(), 1)
		require.False(k.T, r.Done)
		left, known := r.Remaining()
		require.True(k.T, known)
		require.Positive(k.T, left)
		require.Equal(k.T, 10-r.Position, s.Tasks[0].Tables[0].Lag)
		require.False(k.T, s.Tasks[0].Tables[0].Stale, "nobody reads it yet")
		require.Contains(k.T, s.String(), "restoring blobs ")

		second.Release()
		<-b.Processor.Ready()
		table := b.Processor.Stats().Tasks[0].Tables[0]
		require.True(k.T, table.Restore.Done)
		require.EqualValues(k.T, 10, table.Restore.Records)
		require.Equal(k.T, table.Restore.Took, b.Processor.Stats().Tasks[0].Tables[0].Restore.Took, "it stands still")
		require.False(k.T, table.Stale)
		require.EqualValues(k.T, 10, b.Processor.Stats().Restored)
	})
}

func TestStats_StatesOfAProcessor(t *testing.T) {
	streamtest.Run(t, func(k *streamtest.Kit) {
		g := clicker(k.T)
		p, err := processor.New(g, k.Options("x")...)
		require.NoError(k.T, err)
		require.Equal(k.T, "new", p.Stats().State)

		k.Topic("clicks", 2)
		k.Broker.Stop()
		a := k.Launch("a", g)
		time.Sleep(5 * time.Second)
		require.Equal(k.T, "starting", a.Processor.Stats().State)
		require.NoError(k.T, k.Broker.Resume())
		held := k.Broker.Hold(devbroker.JoinGroup, "clicker")
		<-held.Arrived()
		require.Equal(k.T, "joining", a.Processor.Stats().State)
		held.Release()
		<-a.Processor.Ready()
		require.Equal(k.T, "running", a.Processor.Stats().State)
		click(k, g, users(5)...)
		require.EqualValues(k.T, 5, a.Processor.Stats().Records)
		a.Disconnect()
		k.Until("lost", func() bool { return a.Processor.Stats().State == "joining" })
		require.Empty(k.T, a.Processor.Stats().Tasks)
		require.EqualValues(k.T, 5, a.Processor.Stats().Records)
		a.Connect()
		k.Until("back", func() bool { return a.Running() == 2 })
		task := a.Processor.Stats().Tasks[0]
		require.Zero(k.T, task.Inputs[0].Records, "a task counts from its assignment")
		require.NoError(k.T, k.Broker.Produce("clicks", 0, devbroker.Record{Value: []byte("x")}))
		require.Error(k.T, a.Wait())
		s := a.Processor.Stats()
		require.Equal(k.T, "stopped", s.State)
		require.ErrorIs(k.T, s.Err, topology.ErrNullKey)
	})
}

func TestStats_OfAView(t *testing.T) {
	streamtest.Run(t, func(k *streamtest.Kit) {
		k.Topic("clicks", 1)
		g, keys := clicker(k.T), users(10)
		k.Start(g, processor.AtLeastOnce())
		click(k, g, keys...)
		v, stop := startView(k, processor.ViewName("watch"))
		s := v.Stats()
		require.Equal(k.T, "view", s.Kind)
		require.Equal(k.T, "watch", s.Group)
		require.Equal(k.T, "running", s.State)
		require.EqualValues(k.T, 10, s.Restored)
		require.Equal(k.T, "running", s.Tasks[0].State)
		table := s.Tasks[0].Tables[0]
		require.EqualValues(k.T, 10, table.Position)
		require.EqualValues(k.T, 10, table.Restore.Records)

		click(k, g, keys[:3]...)
		require.NoError(k.T, v.Sync(k.T.Context()))
		table = v.Stats().Tasks[0].Tables[0]
		require.EqualValues(k.T, 13, table.Position)
		require.EqualValues(k.T, 13, table.End)
		require.EqualValues(k.T, 13, table.Flushed)
		require.EqualValues(k.T, 10, table.Restore.Records, "what is followed is no restore")

		// behind an open transaction the view is behind, and known to be
		tx, err := k.Broker.Begin("other", 10*time.Minute)
		require.NoError(k.T, err)
		require.NoError(k.T, tx.Produce("clicks-count", 0, devbroker.Record{Key: []byte("z"), Value: []byte("\x00\x00\x00\x00\x00\x00\x00\x07")}))
		k.Until("behind", func() bool { lag, known := v.Lag(); return known && lag == 1 })
		require.NoError(k.T, tx.Commit())
		k.Until("current", func() bool { lag, known := v.Lag(); return known && lag == 0 })

		held := k.Broker.Hold(devbroker.Fetch, "clicks-count")
		<-held.Arrived()
		click(k, g, keys...)
		b, err := k.Broker.Bounds("clicks-count", 0)
		require.NoError(k.T, err)
		require.NoError(k.T, k.Broker.DeleteRecords("clicks-count", 0, b.End-4))
		rebuild := k.Broker.Hold(devbroker.Fetch, "clicks-count")
		held.Release()
		<-rebuild.Arrived()
		k.Until("stale", func() bool { return v.Stats().Tasks[0].Tables[0].Stale })
		table = v.Stats().Tasks[0].Tables[0]
		require.Contains(k.T, table.Cause, "below the log start")
		require.Equal(k.T, "rebuild", table.Restore.Decision)
		require.False(k.T, table.Restore.Done)
		require.EqualValues(k.T, 4, table.Lag)
		require.Contains(k.T, v.Stats().String(), "stale")
		rebuild.Release()
		require.NoError(k.T, v.Sync(k.T.Context()))
		table = v.Stats().Tasks[0].Tables[0]
		require.False(k.T, table.Stale)
		require.EqualValues(k.T, 4, table.Restore.Records)
		require.NoError(k.T, stop())
		require.Equal(k.T, "stopped", v.Stats().State)
	})
}

// A task that runs and yet handles nothing says why.
func TestStats_HeldByARetry(t *testing.T) {
	streamtest.Run(t, func(k *streamtest.Kit) {
		k.Topic("jobs", 1)
		a := k.Start(worker(k.T, doJob, forever))
		require.NoError(k.T, k.Broker.Produce("jobs", 0, job("a", "before"), job("a", "callback"), job("a", "after")))
		k.Until("held", func() bool { return a.Processor.Stats().Tasks[0].Held != "" })
		s := a.Processor.Stats()
		require.Equal(k.T, "running", s.Tasks[0].State)
		require.Contains(k.T, s.Tasks[0].Held, "another attempt")
		require.EqualValues(k.T, 1, s.Retries)
		require.EqualValues(k.T, 1, s.Records)
		lag, known := s.Lag()
		require.True(k.T, known)
		require.EqualValues(k.T, 2, lag)
	})
}

func TestStats_OfTablesThatAreOnlyRead(t *testing.T) {
	for role, edge := range map[string]topology.Edge{observe.RoleJoined: topology.Join(customers), observe.RoleLookedUp: topology.Lookup(customers)} {
		t.Run(role, func(t *testing.T) {
			try(t, edge, func(tr *trial) {
				table := func() observe.TableStats {
					s := tr.a.Processor.Stats()
					return append(s.Tasks[0].Tables[1:], s.Lookups...)[0]
				}
				now := table()
				require.Equal(tr.k.T, role, now.Role)
				require.Equal(tr.k.T, "customers", now.Topic)
				require.False(tr.k.T, now.Stale)
				require.Zero(tr.k.T, now.Lag)
				tr.reset()
				<-tr.noticed
				require.True(tr.k.T, table().Stale)
				require.NotEmpty(tr.k.T, table().Cause)
				require.Equal(tr.k.T, role == observe.RoleJoined, tr.a.Processor.Stats().Tasks[0].Held == "joined table customers is not current")
				tr.listing.Release()
				<-tr.reading
				tr.rebuild.Release()
				tr.k.Until("current", func() bool { return !table().Stale })
				require.Empty(tr.k.T, tr.a.Processor.Stats().Tasks[0].Held)
				require.Equal(tr.k.T, "rebuild", table().Restore.Decision)
				tr.requireNew()
			})
		})
	}
}
