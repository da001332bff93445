package processor_test

import (
	"slices"
	"strings"
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

// restarts notes the tasks that start again.
func restarts(told *[]string) processor.Option {
	return processor.Observe(observe.Observer{Rebalance: func(r observe.Rebalance) {
		if r.Kind == observe.Restarted {
			*told = append(*told, r.Cause.Error())
		}
	}})
}

// What becomes of a table's topic under a running owner is seen by it, also where it has nothing to write: in the end its
// rows are those that a new reader would have.
func TestR04_R05_R59_RunningOwnerSeesWhatBecameOfItsLog(t *testing.T) {
	for name, c := range map[string]struct {
		disturb func(k *streamtest.Kit, n int64) // n: offsets that a commit of one record takes
		left    int                              // keys
		cause   []string
	}{
		"some records expire": {func(k *streamtest.Kit, n int64) { k.Expire("clicks-count", 0, 4*n) }, 6, nil},
		"all records expire":  {func(k *streamtest.Kit, _ int64) { k.Expire("clicks-count", 0, -1) }, 0, nil},
		"made again": {func(k *streamtest.Kit, _ int64) { k.Recreate("clicks-count") }, 0,
			[]string{"processor: a table's topic was deleted and created again"}},
		"truncated": {func(k *streamtest.Kit, n int64) { k.Truncate("clicks-count", 0, 7*n) }, 7,
			[]string{"processor: a table's topic ends before what was read and written"}},
		"another writer": {func(k *streamtest.Kit, _ int64) {
			streamtest.Send(k, counts, streamtest.Tombstone[int64]("user-0"), streamtest.KV[int64]("user-1", 7))
		}, 9, []string{"processor: a table's topic has records of another writer"}},
	} {
		run := func(t *testing.T, n int64, options ...processor.Option) {
			left, cause := c.left, c.cause
			if name == "another writer" && n == 1 { // the owner writes its rows behind that
				left, cause = 10, nil
			}
			streamtest.Run(t, func(k *streamtest.Kit) {
				k.Topic("clicks", 1)
				var told []string
				g := clicker(k.T)
				a := k.Start(g, append(options, restarts(&told))...)
				for _, user := range users(10) {
					click(k, g, user)
				}
				k.Advance(10 * time.Minute)
				require.Empty(k.T, told)
				c.disturb(k, n)
				k.Advance(2 * time.Minute)
				k.Check()
				require.Len(k.T, streamtest.Rows(k, counts), left)
				require.Equal(k.T, cause, told)
				click(k, g, users(10)...)
				require.Len(k.T, requireFold(k, a, users(10)...), 10)
				k.Advance(10 * time.Minute)
				if n == 2 { // a topic that was made again does not know the transaction's producer
					told = slices.DeleteFunc(told, func(cause string) bool { return strings.Contains(cause, "a commit was aborted") })
				}
				require.Equal(k.T, cause, told, "it is current again")
			}, devbroker.Dir(t.TempDir()), devbroker.Relaxed())
		}
		t.Run(name+", at least once", func(t *testing.T) { run(t, 1, processor.AtLeastOnce()) })
		t.Run(name+", exactly once", func(t *testing.T) { run(t, 2) })
	}
}

// A table that is written all the time is seen, too.
func TestR59_StartRisesUnderABusyOwner(t *testing.T) {
	streamtest.Run(t, func(k *streamtest.Kit) {
		k.Topic("clicks", 1)
		g := clicker(k.T)
		k.Start(g)
		click(k, g, users(10)...)
		b, err := k.Broker.Bounds("clicks-count", 0)
		require.NoError(k.T, err)
		k.Expire("clicks-count", 0, b.End)
		for range 120 {
			click(k, g, "busy")
			k.Advance(time.Second)
		}
		require.Equal(k.T, map[string]int64{"busy": 120}, streamtest.Rows(k, counts))
		k.Check()
	})
}

// A transaction of somebody else that is open in the table's topic is none of its records yet: the group goes on.
func TestR13_OwnerGoesOnBesideAnOpenTransaction(t *testing.T) {
	streamtest.Run(t, func(k *streamtest.Kit) {
		totals := topology.NewStream("totals", codec.Int64)
		k.Topic("clicks", 1)
		var told []string
		g := define(k.T, "clicker", topology.Persist(counts), topology.Output(totals), topology.Input(clicks, func(ctx *topology.Context, v string) error {
			if err := onClick(ctx, v); err != nil {
				return err
			}
			return totals.Emit(ctx, "all", 1)
		}))
		k.Start(g, restarts(&told))
		click(k, g, "alice")
		k.Advance(10 * time.Minute)
		txn := k.HangTransaction("clicks-count", 0, 15*time.Minute)
		k.Advance(5 * time.Minute)
		require.Empty(k.T, told)
		require.NoError(k.T, txn.Abort())
		k.Advance(5 * time.Minute)
		k.Check()
	})
}
