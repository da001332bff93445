package processor_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tarnstream/tarn/codec"
	"github.com/tarnstream/tarn/devbroker"
	"github.com/tarnstream/tarn/policy"
	"github.com/tarnstream/tarn/processor"
	"github.com/tarnstream/tarn/state"
	"github.com/tarnstream/tarn/streamtest"
	"github.com/tarnstream/tarn/topology"
)

// tasksOf lists the tasks of an instance.
func tasksOf(i *streamtest.Instance) []int32 {
	var list []int32
	for p := range i.Processor.Stats().Tasks {
		list = append(list, p)
	}
	slices.Sort(list)
	return list
}

// pair starts instances a and b that share four tasks.
func pair(k *streamtest.Kit, g *topology.Group, forB ...processor.Option) (a, b *streamtest.Instance, seen *diary) {
	k.T.Helper()
	k.Topic("clicks", 4)
	seen = &diary{}
	a = k.StartAs("a", g, seen.option())
	b = k.StartAs("b", g, forB...)
	k.Until("shared", func() bool { return a.Running() == 2 && b.Running() == 2 })
	return a, b, seen
}

// staying is an instance's state directory, and its place is kept.
func staying(k *streamtest.Kit, name string) processor.Option {
	return processor.StateDir(filepath.Join(k.Dir, name), policy.StayOnStop())
}

// moved tells whether an instance was given tasks, or gave some up, since n events ago.
func moved(seen *diary, n int) bool {
	for _, kind := range seen.kinds()[n:] {
		if strings.HasPrefix(kind, "assigned") || strings.HasPrefix(kind, "revoked") || strings.HasPrefix(kind, "lost") {
			return true
		}
	}
	return false
}

// A process killed with -9 and started on its directory has its tasks back at once, and nobody else's move.
func TestStaticMember_KilledAndBackAtOnce(t *testing.T) {
	streamtest.Run(t, func(k *streamtest.Kit) {
		g, keys := clicker(k.T), users(20)
		options := []processor.Option{processor.SessionTimeout(time.Minute), processor.StopTimeout(time.Second), processor.FlushInterval(time.Second)}
		a, b, seen := pair(k, g, options...)
		click(k, g, keys...)
		time.Sleep(5 * time.Second)
		had, n := tasksOf(b), len(seen.kinds())
		b.Crash()
		began := time.Now()
		var restores plans
		b = k.StartAs("b", g, append(options, restores.option())...)
		require.Less(k.T, time.Since(began), 5*time.Second, "the session would have lasted a minute")
		require.Equal(k.T, had, tasksOf(b))
		require.Equal(k.T, []state.Decision{state.Ready, state.Ready}, restores.decided)
		require.False(k.T, moved(seen, n), "a: %v", seen.kinds())
		click(k, g, keys...)
		require.NoError(k.T, b.Stop())
		k.Until("a has all", func() bool { return a.Running() == 4 })
		require.EqualValues(k.T, 2, requireFold(k, a, keys...)["user-3"])
	})
}

func TestStop_LeavesOrStays(t *testing.T) {
	streamtest.Run(t, func(k *streamtest.Kit) {
		g := clicker(k.T)
		a, b, seen := pair(k, g, staying(k, "b"), processor.SessionTimeout(time.Minute))
		had, n := tasksOf(b), len(seen.kinds())
		require.NoError(k.T, b.Stop())
		time.Sleep(30 * time.Second)
		require.Equal(k.T, 2, a.Running(), "b's tasks wait for it")
		b = k.StartAs("b", g, staying(k, "b"), processor.SessionTimeout(time.Minute))
		require.Equal(k.T, had, tasksOf(b))
		require.False(k.T, moved(seen, n), "a: %v", seen.kinds())

		require.NoError(k.T, b.Stop())
		stopped := time.Now()
		k.Until("a has all", func() bool { return a.Running() == 4 })
		require.InDelta(k.T, time.Minute, time.Since(stopped), float64(10*time.Second), "it does not come back: the session ends")

		b = k.StartAs("b", g)
		k.Until("shared", func() bool { return a.Running() == 2 && b.Running() == 2 })
		require.NoError(k.T, b.Stop())
		stopped = time.Now()
		k.Until("a has all", func() bool { return a.Running() == 4 })
		require.Less(k.T, time.Since(stopped), 5*time.Second, "without the option others take over at once")
	})
}

// Without a directory there is no identity to come back with.
func TestStop_WithoutAnIdentityLeaves(t *testing.T) {
	streamtest.Run(t, func(k *streamtest.Kit) {
		k.Topic("clicks", 2)
		g := define(k.T, "clicker", topology.Input(clicks, ignore))
		a := k.StartAs("a", g, processor.StateDir("", policy.StayOnStop()))
		require.NoError(k.T, a.Stop())
		info, err := k.Broker.Group("clicker")
		require.NoError(k.T, err)
		require.Empty(k.T, info.Members)
	})
}

// The older of two live processes with one identity ends with a named error and does not come back. What it has still
// written into the tables' topics, behind the newer one, is written over by that.
func TestR68_TwoLiveProcessesWithOneInstanceID(t *testing.T) {
	for name, c := range map[string]struct{ busy, exact bool }{
		"idle": {false, false}, "in mid-commit": {true, false}, "idle, exactly once": {false, true}, "in mid-commit, exactly once": {true, true},
	} {
		t.Run(name, func(t *testing.T) {
			busy, options := c.busy, []processor.Option{processor.AtLeastOnce()}
			if c.exact {
				options = nil
			}
			streamtest.Run(t, func(k *streamtest.Kit) {
				k.Topic("clicks", 4)
				g, keys := clicker(k.T), users(20)
				a := k.StartAs("a", g, options...)
				click(k, g, keys...)
				// a cloned machine: the file has the same identity in both directories
				from, to := filepath.Join(k.Dir, "a", "groups", "clicker"), filepath.Join(k.Dir, "b", "groups", "clicker")
				require.NoError(k.T, os.MkdirAll(to, 0o755))
				require.NoError(k.T, os.Link(filepath.Join(from, "INSTANCE"), filepath.Join(to, "INSTANCE")))
				beat := k.Broker.Hold(devbroker.Heartbeat, "clicker") // of a: it does not hear of the other by it
				<-beat.Arrived()
				var commit *devbroker.Held
				if busy {
					commit = k.Broker.Hold(devbroker.Produce, counts.Name())
					for _, key := range keys {
						k.Send("clicks", key, "x")
					}
					<-commit.Arrived()
				}
				var log logged
				b := k.Launch("b", g, append(options, log.option())...)
				k.Until("b is a member", func() bool { return b.Running() == 4 })
				if busy { // a's commit comes behind two of b's; its offsets are refused, or its transaction is fenced
					k.Settle(g)
					click(k, g, keys...)
					commit.Release()
				}
				if busy && !c.exact {
					k.Until("a's rows are there", func() bool { return streamtest.FoldOf(k, counts)["user-3"] == 2 })
				}
				beat.Release()
				var fenced *processor.FencedError
				require.ErrorAs(k.T, a.Wait(), &fenced)
				require.Equal(k.T, from, fenced.Dir)
				require.NotEmpty(k.T, fenced.InstanceID)
				require.ErrorContains(k.T, fenced, "remove INSTANCE")
				time.Sleep(2 * time.Minute)
				require.Equal(k.T, 4, b.Running())
				requireFold(k, b, keys...)
				if busy && !c.exact {
					require.Equal(k.T, 4, log.count("another writer's records"))
				}
				click(k, g, keys...)
				k.Until("b runs", func() bool { return b.Running() == 4 })
				require.EqualValues(k.T, map[bool]int64{false: 2, true: 4}[busy], requireFold(k, b, keys...)["user-3"])
				if c.exact {
					require.Zero(k.T, log.count("another writer's records"))
					requireEach(k, b, map[bool]int64{false: 2, true: 4}[busy], keys...)
				}
			})
		})
	}
}

// A copied state directory makes an id of its own and says so: both processes run.
func TestR68_CopiedStateDirectory(t *testing.T) {
	streamtest.Run(t, func(k *streamtest.Kit) {
		k.Topic("clicks", 4)
		g, keys := clicker(k.T), users(20)
		a := k.StartAs("a", g)
		click(k, g, keys...)
		require.NoError(k.T, a.Stop())
		require.NoError(k.T, os.CopyFS(filepath.Join(k.Dir, "b"), os.DirFS(filepath.Join(k.Dir, "a"))))
		a = k.StartAs("a", g)
		var log logged
		b := k.StartAs("b", g, log.option())
		require.Equal(k.T, 1, log.count("new instance id"))
		require.Equal(k.T, 1, log.count("the directory was copied or moved from"))
		k.Until("shared", func() bool { return a.Running() == 2 && b.Running() == 2 })
		click(k, g, keys...)
		require.NoError(k.T, a.Stop())
		k.Until("b has all", func() bool { return b.Running() == 4 })
		require.EqualValues(k.T, 2, requireFold(k, b, keys...)["user-3"])
	})
}

// Commits that meet the window between the broker's new generation and the members' are made under the new one: nothing is
// dropped for it, and nothing is counted twice.
func TestR65_CommitsInTheWindowBetweenGenerations(t *testing.T) {
	streamtest.Run(t, func(k *streamtest.Kit) {
		k.Topic("clicks", 4)
		g, keys := clicker(k.T), users(20)
		var seen diary
		a := k.StartAs("a", g, seen.option())
		click(k, g, keys...)
		one, two := k.Broker.Hold(devbroker.SyncGroup, "clicker"), k.Broker.Hold(devbroker.SyncGroup, "clicker")
		b := k.Launch("b", g)
		<-one.Arrived()
		<-two.Arrived() // the new generation is there, and nobody knows it yet
		for _, key := range keys {
			k.Send("clicks", key, "x")
		}
		time.Sleep(2 * time.Second)
		one.Release()
		two.Release()
		k.Until("shared", func() bool { return a.Running() == 2 && b.Running() == 2 })
		click(k, g, keys...)
		longest := time.Duration(0)
		for _, c := range of(&seen, &seen.commits) {
			require.NoError(k.T, c.Err)
			longest = max(longest, c.Took)
		}
		require.Greater(k.T, longest, time.Second, "no commit has met the window")
		require.NotContains(k.T, strings.Join(seen.kinds(), " "), "lost")
		require.NotContains(k.T, strings.Join(seen.kinds(), " "), "restarted")
		require.NoError(k.T, b.Stop())
		k.Until("a has all", func() bool { return a.Running() == 4 })
		for key, n := range requireFold(k, a, keys...) {
			require.EqualValues(k.T, 3, n, key)
		}
	})
}

// An input gets more partitions under a running group: keys live elsewhere from now on, which is named.
func TestR24_R36_InputGetsMorePartitions(t *testing.T) {
	streamtest.Run(t, func(k *streamtest.Kit) {
		k.Topic("clicks", 2)
		g := clicker(k.T)
		a := k.Start(g)
		click(k, g, users(5)...)
		require.NoError(k.T, k.Broker.AddPartitions("clicks", 3))
		var faults *processor.TopicsError
		require.ErrorAs(k.T, a.Wait(), &faults)
		require.ErrorContains(k.T, faults, "topic clicks has 3 partitions, not 2")
		require.ErrorAs(k.T, k.Launch("a", g).Wait(), &faults)
		require.ErrorContains(k.T, faults, "table clicks-count has 2 partitions, the inputs have 3")
	})
}

// In a rolling deploy members with another topology than the leader's idle until all match or one of them leads. Every
// click is counted, whoever has the tasks.
func TestRollingDeploy_TwoInstances(t *testing.T) {
	streamtest.Run(t, func(k *streamtest.Kit) {
		old, keys := clicker(k.T), users(20)
		a, b, _ := pair(k, old)
		click(k, old, keys...)
		k.Topic("clicks-seen", 4, "cleanup.policy", "compact")
		require.NoError(k.T, b.Stop())
		var seen diary
		renewed := clickerWith(k.T)
		b = k.StartAs("b", renewed, seen.option()) // ready, with nothing to do
		k.Until("b idles", func() bool { return slices.Contains(seen.kinds(), "idle []") && a.Running() == 4 })
		click(k, old, keys...)
		require.Empty(k.T, b.Processor.Stats().Tasks)

		require.NoError(k.T, a.Stop())
		k.Until("b leads", func() bool { return b.Running() == 4 })
		a = k.StartAs("a", renewed)
		k.Until("shared", func() bool { return a.Running() == 2 && b.Running() == 2 })
		click(k, renewed, keys...)
		require.NoError(k.T, a.Stop())
		k.Until("b has all", func() bool { return b.Running() == 4 })
		require.EqualValues(k.T, 3, requireFold(k, b, keys...)["user-3"])
		require.EqualValues(k.T, 1, streamtest.FoldOf(k, seenKeys)["user-3"])
	})
}

// seenKeys is the table that the renewed clicker keeps, too.
var seenKeys = topology.NewTable("clicks-seen", codec.Int64)

func clickerWith(t *testing.T) *topology.Group {
	return define(t, "clicker", topology.Persist(counts), topology.Persist(seenKeys),
		topology.Input(clicks, func(ctx *topology.Context, v string) error {
			if err := onClick(ctx, v); err != nil {
				return err
			}
			n, _, err := seenKeys.Get(ctx)
			if err != nil {
				return err
			}
			return seenKeys.Set(ctx, n+1)
		}))
}

func TestRollingDeploy_ThreeInstances(t *testing.T) {
	streamtest.Run(t, func(k *streamtest.Kit) {
		k.Topic("clicks", 6)
		old, renewed, keys := clicker(k.T), clickerWith(k.T), users(40)
		names := []string{"a", "b", "c"}
		live := map[string]*streamtest.Instance{}
		for _, name := range names {
			live[name] = k.StartAs(name, old)
		}
		running := func(n int) func() bool {
			return func() bool {
				all := 0
				for _, i := range live {
					all += i.Running()
				}
				return all == n
			}
		}
		k.Until("all run", running(6))
		click(k, old, keys...)
		k.Topic("clicks-seen", 6, "cleanup.policy", "compact")
		for i, name := range names { // the leader's turn is among them
			require.NoError(k.T, live[name].Stop())
			live[name] = k.StartAs(name, renewed)
			k.Until("all run", running(6))
			has := map[bool]int{} // by whether it was renewed
			for j, other := range names {
				has[j <= i] += live[other].Running()
			}
			require.True(k.T, has[true] == 0 || has[false] == 0, "after %s: %v: one topology has the tasks", name, has)
			if i < len(names)-1 {
				click(k, old, keys...)
			}
		}
		k.Until("shared", func() bool { return live["a"].Running() == 2 && live["b"].Running() == 2 && live["c"].Running() == 2 })
		click(k, renewed, keys...)
		for _, n := range streamtest.FoldOf(k, counts) {
			require.EqualValues(k.T, 4, n)
		}
	})
}
