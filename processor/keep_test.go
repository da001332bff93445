package processor_test

import (
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tarnstream/tarn/devbroker"
	"github.com/tarnstream/tarn/observe"
	"github.com/tarnstream/tarn/policy"
	"github.com/tarnstream/tarn/processor"
	"github.com/tarnstream/tarn/state"
	"github.com/tarnstream/tarn/streamtest"
	"github.com/tarnstream/tarn/topology"
)

// storesOf lists the partitions of clicks-count that an instance has on disk.
func storesOf(k *streamtest.Kit, name string) (list []int) {
	entries, err := os.ReadDir(filepath.Join(k.Dir, name, "groups", "clicker", "clicks-count"))
	require.NoError(k.T, err)
	for _, e := range entries {
		p, err := strconv.Atoi(e.Name())
		require.NoError(k.T, err)
		list = append(list, p)
	}
	return list
}

// keeping is an instance's state directory with a choice.
func keeping(k *streamtest.Kit, name string, d time.Duration) processor.Option {
	return processor.StateDir(filepath.Join(k.Dir, name), policy.KeepStores(d))
}

// movedAway makes instance a, which has had four tasks and has two, and b, which has the others. The topic's
// delete.retention.ms is half an hour.
func movedAway(k *streamtest.Kit, g *topology.Group, forA ...processor.Option) (a, b *streamtest.Instance, gone []int) {
	k.T.Helper()
	k.Topic("clicks", 4)
	k.Topic("clicks-count", 4, "cleanup.policy", "compact", "delete.retention.ms", "1800000")
	a = k.StartAs("a", g, forA...)
	click(k, g, users(20)...)
	b = k.StartAs("b", g)
	k.Until("shared", func() bool { return a.Running() == 2 && b.Running() == 2 })
	for p := range 4 {
		if _, here := a.Processor.Stats().Tasks[int32(p)]; !here {
			gone = append(gone, p)
		}
	}
	return a, b, gone
}

func here(a *streamtest.Instance) (list []int) {
	for _, p := range tasksOf(a) {
		list = append(list, int(p))
	}
	return list
}

// Stores of partitions that moved away are kept as long as they are of use, then removed; those of live tasks stay.
func TestKeepStores(t *testing.T) {
	for name, c := range map[string]struct{ own, kept time.Duration }{
		"by default": {0, 30 * time.Minute}, "shorter": {10 * time.Minute, 10 * time.Minute}, "no longer than the topic says": {time.Hour, 30 * time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			streamtest.Run(t, func(k *streamtest.Kit) {
				g := clicker(k.T)
				var log logged
				var removed []observe.StoreRemoved
				options := []processor.Option{log.option(), processor.Observe(observe.Observer{StoreRemoved: func(e observe.StoreRemoved) { removed = append(removed, e) }})}
				if c.own > 0 {
					options = append(options, keeping(k, "a", c.own))
				}
				a, _, gone := movedAway(k, g, options...)
				left := time.Now()
				time.Sleep(c.kept - 2*time.Minute)
				require.Equal(k.T, []int{0, 1, 2, 3}, storesOf(k, "a"), "before its time")
				time.Sleep(5 * time.Minute)
				require.Equal(k.T, here(a), storesOf(k, "a"))
				require.Len(k.T, removed, 2)
				require.EqualValues(k.T, 2, a.Processor.Stats().StoresRemoved)
				require.Equal(k.T, 2, log.count("store of a partition that moved away removed"))
				for i, e := range removed {
					require.Equal(k.T, observe.Place{Group: "clicker", Topic: "clicks-count", Partition: int32(gone[i])}, e.Place)
					require.WithinDuration(k.T, left, e.KnownCurrent, 2*time.Minute)
				}
			})
		})
	}
}

// A partition that comes back in time reads what was written since, no more; and its age begins anew.
func TestKeepStores_ComesBackInTime(t *testing.T) {
	streamtest.Run(t, func(k *streamtest.Kit) {
		g, keys := clicker(k.T), users(20)
		var seen plans
		a, b, _ := movedAway(k, g, seen.option())
		time.Sleep(25 * time.Minute)
		click(k, g, keys...)
		n := len(seen.decided)
		require.NoError(k.T, b.Stop())
		k.Until("a has all", func() bool { return a.Running() == 4 })
		require.Equal(k.T, []state.Decision{state.Resume, state.Resume}, seen.decided[n:])
		requireFold(k, a, keys...)

		k.StartAs("b", g)
		k.Until("shared", func() bool { return a.Running() == 2 })
		time.Sleep(25 * time.Minute)
		require.Len(k.T, storesOf(k, "a"), 4)
		time.Sleep(10 * time.Minute)
		require.Len(k.T, storesOf(k, "a"), 2)
	})
}

// A process that was away for long has old stores that the group is about to give it: they are brought current.
func TestKeepStores_NotBeforeTheGroupHasSpoken(t *testing.T) {
	streamtest.Run(t, func(k *streamtest.Kit) {
		g, keys := clicker(k.T), users(20)
		k.Topic("clicks", 4)
		k.Topic("clicks-count", 4, "cleanup.policy", "compact", "delete.retention.ms", "1800000")
		a := k.StartAs("a", g)
		click(k, g, keys...)
		require.NoError(k.T, a.Stop())
		time.Sleep(100 * time.Hour)
		var seen plans
		held := k.Broker.Hold(devbroker.JoinGroup, "clicker")
		a = k.Launch("a", g, seen.option())
		<-held.Arrived()
		time.Sleep(20 * time.Second)
		held.Release()
		k.Until("a runs", func() bool { return a.Running() == 4 })
		require.Equal(k.T, []state.Decision{state.Ready, state.Ready, state.Ready, state.Ready}, seen.decided)

		a.Disconnect() // nobody knows whose the partitions are
		time.Sleep(time.Hour)
		require.Len(k.T, storesOf(k, "a"), 4)
		a.Connect()
		k.Until("a runs", func() bool { return a.Running() == 4 })
		requireFold(k, a, keys...)
	})
}

// R40: a state directory put back from a backup has files of today and stores of long ago. The stores' own time counts.
func TestR40_KeepStoresGoesByTheCheckpoint(t *testing.T) {
	streamtest.Run(t, func(k *streamtest.Kit) {
		g := clicker(k.T)
		a, b, _ := movedAway(k, g)
		require.NoError(k.T, a.Stop())
		k.Until("b has all", func() bool { return b.Running() == 4 })
		backup := filepath.Join(k.Dir, "backup")
		require.NoError(k.T, os.CopyFS(backup, os.DirFS(filepath.Join(k.Dir, "a"))))
		time.Sleep(40 * time.Minute)
		require.NoError(k.T, os.RemoveAll(filepath.Join(k.Dir, "a")))
		require.NoError(k.T, os.CopyFS(filepath.Join(k.Dir, "a"), os.DirFS(backup)))
		a = k.StartAs("a", g)
		k.Until("shared", func() bool { return a.Running() == 2 && b.Running() == 2 })
		time.Sleep(3 * time.Minute)
		require.Len(k.T, storesOf(k, "a"), 4, "in the first minutes nothing is removed, however old")
		time.Sleep(5 * time.Minute)
		require.Equal(k.T, here(a), storesOf(k, "a"))
	})
}

// A crash in the middle of a removal leaves an empty store, which the next start or the next look removes.
func TestR43_KeepStoresAfterACrashInMidRemoval(t *testing.T) {
	streamtest.Run(t, func(k *streamtest.Kit) {
		g, keys := clicker(k.T), users(20)
		a, b, gone := movedAway(k, g)
		require.NoError(k.T, a.Stop())
		k.Until("b has all", func() bool { return b.Running() == 4 })
		for _, p := range gone { // as it is after the first step: the store is empty, and its files are there
			store := filepath.Join(k.Dir, "a", "groups", "clicker", "clicks-count", strconv.Itoa(p))
			line := "tarn-current 1 none"
			sum := crc32.Checksum([]byte(line), crc32.MakeTable(crc32.Castagnoli))
			require.NoError(k.T, os.WriteFile(filepath.Join(store, "CURRENT"), fmt.Appendf(nil, "%s %08x\n", line, sum), 0o644))
		}
		a = k.StartAs("a", g)
		k.Until("shared", func() bool { return a.Running() == 2 && b.Running() == 2 })
		time.Sleep(10 * time.Minute)
		require.Equal(k.T, here(a), storesOf(k, "a"))
		require.Zero(k.T, a.Processor.Stats().StoresRemoved, "there was nothing in them")
		click(k, g, keys...)
		require.NoError(k.T, b.Stop())
		k.Until("a has all", func() bool { return a.Running() == 4 })
		requireFold(k, a, keys...)
	})
}

func TestNew_KeepStoresNeedsATime(t *testing.T) {
	_, err := processor.New(clicker(t), processor.Brokers("b:1"), processor.StateDir(t.TempDir(), policy.KeepStores(-time.Second)))
	require.ErrorContains(t, err, "StateDir: KeepStores: -1s is not positive")
}
