package processor_test

import (
	"context"
	"encoding/binary"
	"path/filepath"
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

// spoil writes rows of counts into a store on disk that the topic knows nothing of, behind everybody's back.
func spoil(k *streamtest.Kit, dir string, rows map[string]int64, removed ...string) {
	k.T.Helper()
	s, err := state.Open(dir, state.Options{})
	require.NoError(k.T, err)
	cp, ok := s.Checkpoint()
	require.True(k.T, ok)
	var b state.Batch
	for key, n := range rows {
		row, _, err := s.Get([]byte(key))
		require.NoError(k.T, err)
		b.Put([]byte(key), binary.BigEndian.AppendUint64(nil, uint64(n)), row.Offset, row.Timestamp)
	}
	for _, key := range removed {
		b.Delete([]byte(key))
	}
	b.SetCheckpoint(cp)
	require.NoError(k.T, s.Write(&b))
	require.NoError(k.T, s.Close())
}

func verify(k *streamtest.Kit, v interface {
	Verify(context.Context) ([]observe.Audit, error)
}) []observe.Audit {
	k.T.Helper()
	all, err := v.Verify(k.T.Context())
	require.NoError(k.T, err)
	return all
}

// requireEqual requires that all was compared and nothing found, and gives the sum of the rows.
func requireEqual(k *streamtest.Kit, all []observe.Audit) (rows int64) {
	k.T.Helper()
	for _, a := range all {
		require.True(k.T, a.Equal(), "%+v", a)
		rows += a.Rows
	}
	return rows
}

// What is compared is what Kafka has, be it on disk or not.
func TestVerify_FollowsTheCommits(t *testing.T) {
	streamtest.Run(t, func(k *streamtest.Kit) {
		k.Topic("clicks", 2)
		g, keys := clicker(k.T), users(50)
		a := k.Start(g, processor.FlushInterval(time.Hour))
		all := verify(k, a.Processor)
		require.Len(k.T, all, 2)
		require.Zero(k.T, requireEqual(k, all))
		click(k, g, keys...)
		all = verify(k, a.Processor)
		require.EqualValues(k.T, 50, requireEqual(k, all))
		require.EqualValues(k.T, 50, all[0].Position+all[1].Position)
		require.Equal(k.T, "clicker", all[0].Group)
		require.Equal(k.T, "clicks-count", all[0].Topic)
		require.EqualValues(k.T, []int32{0, 1}, []int32{all[0].Partition, all[1].Partition})
	})
}

// Commits, flushes and the cleaner go on while it compares; each audit is right for its own position.
func TestVerify_WhileCommitsGoOn(t *testing.T) {
	streamtest.Run(t, func(k *streamtest.Kit) {
		k.Topic("clicks", 1)
		k.Topic("clicks-count", 1, "cleanup.policy", "compact")
		g, keys := clicker(k.T), users(40)
		a := k.Start(g, processor.FlushInterval(300*time.Millisecond), processor.CommitInterval(50*time.Millisecond))
		click(k, g, keys...)
		stop, done := make(chan struct{}), make(chan struct{})
		go func() {
			defer close(done)
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				case <-time.After(10 * time.Millisecond):
					k.Send("clicks", keys[n*7%len(keys)], "x")
				}
				if n%20 == 0 {
					require.NoError(k.T, k.Broker.Compact())
				}
			}
		}()
		last, changed := int64(0), int64(0)
		for range 50 {
			k.Advance(70 * time.Millisecond)
			out := verify(k, a.Processor)[0]
			require.True(k.T, out.Equal(), "%+v", out)
			require.EqualValues(k.T, 40, out.Rows)
			require.GreaterOrEqual(k.T, out.Position, last)
			last, changed = out.Position, changed+out.Changed
		}
		close(stop)
		<-done
		require.Greater(k.T, last, int64(40), "commits went on")
		require.Less(k.T, changed, int64(50*40), "most was compared")
		k.Settle(g)
		require.EqualValues(k.T, 40, requireEqual(k, verify(k, a.Processor)))
	})
}

func TestVerify_FindsWhatDiffers(t *testing.T) {
	streamtest.Run(t, func(k *streamtest.Kit) {
		k.Topic("clicks", 1)
		g, keys := clicker(k.T), users(5)
		a := k.Start(g, processor.AtLeastOnce())
		click(k, g, keys...)
		click(k, g, "user-1")
		require.NoError(k.T, a.Stop())
		spoil(k, filepath.Join(k.Dir, "a", "groups", "clicker", "clicks-count", "0"), map[string]int64{"user-1": 9, "nobody": 7}, "user-3")

		out := verify(k, k.Start(g, processor.AtLeastOnce()).Processor)[0]
		require.NoError(k.T, out.Err)
		require.False(k.T, out.Equal())
		require.EqualValues(k.T, 3, out.Different)
		var keysFound []string
		for _, d := range out.Differences {
			keysFound = append(keysFound, string(d.Key))
		}
		require.Equal(k.T, []string{"nobody", "user-1", "user-3"}, keysFound)
		require.Nil(k.T, out.Differences[0].Topic)
		d := out.Differences[1]
		require.EqualValues(k.T, 9, binary.BigEndian.Uint64(d.Table.Value))
		require.EqualValues(k.T, 2, binary.BigEndian.Uint64(d.Topic.Value))
		require.EqualValues(k.T, 5, d.Topic.Offset)
		require.Nil(k.T, out.Differences[2].Table)
	})
}

func TestVerify_ViewWhileItFollows(t *testing.T) {
	streamtest.Run(t, func(k *streamtest.Kit) {
		k.Topic("clicks", 2)
		g, keys := clicker(k.T), users(20)
		k.Start(g, processor.AtLeastOnce())
		click(k, g, keys...)
		v, stop := startView(k)
		require.EqualValues(k.T, 20, requireEqual(k, verify(k, v)))
		click(k, g, keys[:7]...)
		require.EqualValues(k.T, 20, requireEqual(k, verify(k, v)))
		require.NoError(k.T, v.Sync(k.T.Context()))
		all := verify(k, v)
		require.EqualValues(k.T, 20, requireEqual(k, all))
		require.EqualValues(k.T, 27, all[0].Position+all[1].Position)
		require.NoError(k.T, stop())
		_, err := v.Verify(k.T.Context())
		require.ErrorIs(k.T, err, processor.ErrNotReady)

		p := partitionOf("user-0", 2)
		spoil(k, filepath.Join(k.Dir, "view", "views", "clicks-count", "clicks-count", string('0'+p)), map[string]int64{"user-0": 100})
		v, stop = startView(k)
		out := verify(k, v)[p]
		require.EqualValues(k.T, 1, out.Different)
		require.Equal(k.T, "user-0", string(out.Differences[0].Key))
		require.NoError(k.T, stop())
	})
}

// Tables that are only read are compared as well.
func TestVerify_JoinedAndLookedUp(t *testing.T) {
	streamtest.Run(t, func(k *streamtest.Kit) {
		k.Topic("clicks", 1)
		k.Topic("orders", 1)
		g := clicker(k.T)
		k.StartAs("a", g)
		click(k, g, users(6)...)
		orders := topology.NewStream("orders", clicks.Codec())
		ignore := func(*topology.Context, string) error { return nil }
		for _, read := range []topology.Edge{topology.Join(counts.ReadOnly()), topology.Lookup(counts.ReadOnly())} {
			b := k.StartAs("b", define(k.T, "reader", topology.Input(orders, ignore), read))
			all := verify(k, b.Processor)
			require.Len(k.T, all, 1)
			require.Equal(k.T, "clicks-count", all[0].Topic)
			require.EqualValues(k.T, 6, requireEqual(k, all))
			require.NoError(k.T, b.Stop())
		}
	})
}

// A run that ends ends it, and so does its own context.
func TestVerify_Ends(t *testing.T) {
	streamtest.Run(t, func(k *streamtest.Kit) {
		k.Topic("clicks", 1)
		g := clicker(k.T)
		p, err := processor.New(g, k.Options("a")...)
		require.NoError(k.T, err)
		_, err = p.Verify(k.T.Context())
		require.ErrorIs(k.T, err, processor.ErrNotReady)

		a := k.Start(g)
		click(k, g, users(6)...)
		for _, end := range []func(cancel func()){func(cancel func()) { cancel() }, func(func()) { require.NoError(k.T, a.Stop()) }} {
			held := k.Broker.Hold(devbroker.Fetch, "clicks-count")
			ctx, cancel := context.WithCancel(k.T.Context())
			var all []observe.Audit
			done := make(chan error, 1)
			go func() {
				var err error
				all, err = a.Processor.Verify(ctx)
				done <- err
			}()
			<-held.Arrived()
			end(cancel)
			err := <-done
			require.Equal(k.T, ctx.Err(), err)
			require.Len(k.T, all, 1)
			require.Error(k.T, all[0].Err)
			require.False(k.T, all[0].Equal())
			cancel()
			held.Release()
		}
		_, err = a.Processor.Verify(k.T.Context())
		require.ErrorIs(k.T, err, processor.ErrNotReady)
	})
}
