package processor_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
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

// basket is a group whose callback does to its key's row what the record says: "delete", or one more.
func basket(t *testing.T) *topology.Group {
	return define(t, "clicker", topology.Persist(counts), topology.Input(clicks, func(ctx *topology.Context, what string) error {
		if what == "delete" {
			return counts.Delete(ctx)
		}
		return onClick(ctx, what)
	}))
}

// strangers notes what is told of foreign records, and which tasks start again.
type strangers struct {
	mu       sync.Mutex
	told     []observe.ForeignRecords
	restarts []error
}

func (s *strangers) option() processor.Option {
	return processor.Observe(observe.Observer{
		ForeignRecords: func(f observe.ForeignRecords) {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.told = append(s.told, f)
		},
		Rebalance: func(r observe.Rebalance) {
			s.mu.Lock()
			defer s.mu.Unlock()
			if r.Kind == observe.Restarted {
				s.restarts = append(s.restarts, r.Cause)
			}
		},
	})
}

// keys are those of all foreign records told of, in order.
func (s *strangers) keys() (keys []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range s.told {
		for _, r := range f.Records {
			keys = append(keys, string(r.Key))
		}
	}
	return keys
}

func (s *strangers) restarted() []error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.restarts
}

// bury has an instance handle clicks that it cannot commit, and be a zombie when it does; wake has its commit arrive.
func bury(k *streamtest.Kit, i *streamtest.Instance, what string, keys ...string) (wake func()) {
	k.T.Helper()
	for _, key := range keys {
		k.Send("clicks", key, what)
	}
	k.Advance(time.Second) // handled, not committed
	return i.Zombie()
}

// unhurried leaves time between a record and its commit.
var unhurried = processor.CommitInterval(5 * time.Second)

// tendInterval is longer than an owner takes to see what has come into its log.
const tendInterval = 40 * time.Second

// tableEnd is the end of the table's log.
func tableEnd(k *streamtest.Kit) int64 {
	b, err := k.Broker.Bounds(counts.Name(), 0)
	require.NoError(k.T, err)
	return b.End
}

// requireRestored requires that the owner's table, and what a new process restores, are the rows.
func requireRestored(k *streamtest.Kit, g *topology.Group, owner *streamtest.Instance, rows map[string]int64) {
	k.T.Helper()
	require.Equal(k.T, rows, streamtest.Rows(k, counts))
	k.Advance(10 * time.Second) // flushed
	owner.Crash()
	k.StopAll()
	k.StartAs("fresh", g, processor.AtLeastOnce())
	require.Equal(k.T, rows, streamtest.Rows(k, counts))
}

// A process that others took for dead has a commit on its way. It arrives behind its successor's records: of keys that that one has
// counted on, has deleted, has never seen, and does not write in the commit that finds it, or while that is idle.
func TestR45_TheOwnerWins(t *testing.T) {
	for name, writes := range map[string]bool{"found by the next commit": true, "found by an idle owner": false} {
		t.Run(name, func(t *testing.T) {
			streamtest.Run(t, func(k *streamtest.Kit) {
				k.Topic("clicks", 1)
				g, all := basket(k.T), []string{"counted", "gone", "new", "still"}
				a := k.StartAs("a", g, processor.AtLeastOnce(), unhurried)
				click(k, g, "counted", "gone", "still")
				wake := bury(k, a, "x", "counted", "gone", "new")
				var seen strangers
				b := k.StartAs("b", g, processor.AtLeastOnce(), seen.option())
				k.Until("b has the task", func() bool { return b.Running() == 1 })
				k.Settle(g)
				click(k, g, "counted", "new")
				k.Send("clicks", "gone", "delete")
				k.Send("clicks", "new", "delete")
				k.Settle(g)
				rows := map[string]int64{"counted": 3, "still": 1}
				requireFold(k, b, all...)
				end := tableEnd(k)
				wake()
				require.Equal(k.T, map[string]int64{"counted": 2, "gone": 2, "new": 1, "still": 1}, streamtest.FoldOf(k, counts), "the zombie's are the last")
				if writes {
					click(k, g, "still")
					rows["still"] = 2
				} else {
					k.Advance(time.Minute)
				}
				require.Equal(k.T, rows, requireFold(k, b, all...))
				require.ElementsMatch(k.T, []string{"counted", "gone", "new"}, seen.keys())
				require.Len(k.T, seen.told, 1)
				require.Equal(k.T, observe.Place{Group: "clicker", Topic: counts.Name()}, seen.told[0].Place)
				require.Equal(k.T, end, seen.told[0].Records[0].Offset)
				require.Equal(k.T, 3, seen.told[0].Rewritten)
				require.Empty(k.T, seen.restarted())
				after := tableEnd(k)
				k.Advance(2 * time.Minute)
				require.Equal(k.T, after, tableEnd(k), "nobody writes any more, the zombie neither")
				requireEqual(k, verify(k, b.Processor)) // the digest is known from now on
				click(k, g, "counted", "gone")
				rows["counted"], rows["gone"] = rows["counted"]+1, 1
				k.Advance(10 * time.Second) // flushed over what was written behind the zombie
				requireEqual(k, verify(k, b.Processor))
				requireRestored(k, g, b, rows)
			})
		})
	}
}

// The zombie's late commit finds the records of its successor, of keys that it knows as well: it is refused the proof, and writes nothing
// over them.
func TestR45_TheZombieWritesNothing(t *testing.T) {
	streamtest.Run(t, func(k *streamtest.Kit) {
		k.Topic("clicks", 1)
		g, keys := basket(k.T), users(3)
		var seen strangers
		a := k.StartAs("a", g, processor.AtLeastOnce(), seen.option())
		click(k, g, keys...)
		from, to := filepath.Join(k.Dir, "a", "groups", "clicker"), filepath.Join(k.Dir, "b", "groups", "clicker")
		require.NoError(k.T, os.MkdirAll(to, 0o755))
		require.NoError(k.T, os.Link(filepath.Join(from, "INSTANCE"), filepath.Join(to, "INSTANCE"))) // a cloned machine
		beat := k.Broker.Hold(devbroker.Heartbeat, "clicker")
		<-beat.Arrived()
		late := k.Broker.Hold(devbroker.Produce, counts.Name())
		k.Send("clicks", keys[0], "x")
		<-late.Arrived()
		b := k.StartAs("b", g, processor.AtLeastOnce())
		click(k, g, keys...)
		end := tableEnd(k)
		late.Release()
		k.Advance(time.Second)
		require.Equal(k.T, end+1, tableEnd(k), "its late record, and no other")
		beat.Release()
		require.ErrorAs(k.T, a.Wait(), new(*processor.FencedError))
		require.Equal(k.T, end+1, tableEnd(k), "its late record, and no other")
		require.Empty(k.T, seen.keys())
		k.Advance(tendInterval)
		require.Equal(k.T, map[string]int64{keys[0]: 3, keys[1]: 2, keys[2]: 2}, requireFold(k, b, keys...))
	})
}

// The one who wakes was the owner's successor's successor before: zombies of several generations, one after the other and both at
// once, and the last owner goes on.
func TestR45_SeveralRoundsOfZombies(t *testing.T) {
	streamtest.Run(t, func(k *streamtest.Kit) {
		k.Topic("clicks", 1)
		g, keys := basket(k.T), users(4)
		a := k.StartAs("a", g, processor.AtLeastOnce(), unhurried)
		click(k, g, keys...)
		wakeA := bury(k, a, "delete", keys[0], keys[1])
		b := k.StartAs("b", g, processor.AtLeastOnce(), unhurried)
		k.Until("b has the task", func() bool { return b.Running() == 1 })
		click(k, g, keys...)
		wakeB := bury(k, b, "x", keys[1], keys[2])
		var seen strangers
		c := k.StartAs("c", g, processor.AtLeastOnce(), seen.option())
		k.Until("c has the task", func() bool { return c.Running() == 1 })
		click(k, g, keys...)
		rows := map[string]int64{keys[0]: 2, keys[1]: 3, keys[2]: 4, keys[3]: 3}
		require.Equal(k.T, rows, requireFold(k, c, keys...))
		wakeA()
		k.Advance(time.Minute)
		require.Equal(k.T, rows, requireFold(k, c, keys...))
		require.ElementsMatch(k.T, keys[:2], seen.keys())
		wakeB()
		click(k, g, keys[3])
		rows[keys[3]]++
		require.Equal(k.T, rows, requireFold(k, c, keys...))
		require.ElementsMatch(k.T, []string{keys[0], keys[1], keys[1], keys[2]}, seen.keys())

		// the next ones are zombies at the same time
		require.NoError(k.T, a.Stop())
		require.NoError(k.T, b.Stop())
		require.NoError(k.T, c.Stop())
		a = k.StartAs("a", g, processor.AtLeastOnce(), unhurried)
		wakeA = bury(k, a, "x", keys...)
		b = k.StartAs("b", g, processor.AtLeastOnce(), unhurried)
		k.Until("b has the task", func() bool { return b.Running() == 1 })
		wakeB = bury(k, b, "delete", keys...)
		c = k.StartAs("c", g, processor.AtLeastOnce(), seen.option())
		k.Until("c has the task", func() bool { return c.Running() == 1 })
		click(k, g, keys[0])
		wakeB()
		wakeA()
		click(k, g, keys[1])
		requireRestored(k, g, c, map[string]int64{keys[0]: 1, keys[1]: 1})
	})
}

// What the zombie had on its way arrives while its successor restores: what lies below the end that it reads to, and what lies behind.
func TestR45_WhileTheOwnerRestores(t *testing.T) {
	for name, behind := range map[string]bool{"read by the restore": false, "behind the restore": true} {
		t.Run(name, func(t *testing.T) {
			streamtest.Run(t, func(k *streamtest.Kit) {
				k.Topic("clicks", 1)
				g, keys := basket(k.T), users(3)
				a := k.StartAs("a", g, processor.AtLeastOnce(), unhurried)
				click(k, g, keys...)
				wake := bury(k, a, "x", keys[0], "new")
				k.Advance(8 * time.Second) // it reads no more
				hold := k.Broker.Hold
				if behind {
					hold = k.Broker.HoldAnswer
				}
				held := hold(devbroker.Fetch, counts.Name())
				var seen strangers
				b := k.Launch("b", g, processor.AtLeastOnce(), seen.option())
				<-held.Arrived()
				wake()
				held.Release()
				k.Until("b has the task", func() bool { return b.Running() == 1 })
				k.Settle(g)
				click(k, g, keys[1])
				k.Check()
				want := map[string]int64{keys[0]: 2, keys[1]: 2, keys[2]: 1, "new": 1}
				if behind {
					require.ElementsMatch(k.T, []string{keys[0], "new"}, seen.keys())
				} else { // nobody can tell it from what the last owner has committed: it counts twice, and is not lost
					require.Empty(k.T, seen.keys())
					want[keys[0]], want["new"] = 3, 2
				}
				requireRestored(k, g, b, want)
			})
		})
	}
}

// A commit that the process itself gave up, since it had lost its tasks, arrives when it has them again and has gone on. It is written over without a word.
func TestR45_OwnLateRecords(t *testing.T) {
	streamtest.Run(t, func(k *streamtest.Kit) {
		k.Topic("clicks", 1)
		g, keys := basket(k.T), users(3)
		var seen strangers
		a := k.StartAs("a", g, processor.AtLeastOnce(), seen.option())
		click(k, g, keys...)
		late := k.Broker.Hold(devbroker.Produce, counts.Name())
		k.Send("clicks", keys[0], "x")
		<-late.Arrived()
		a.Disconnect()
		k.Until("lost", func() bool { return a.Running() == 0 })
		a.Connect()
		k.Until("back", func() bool { return a.Running() == 1 })
		click(k, g, keys[0])
		k.Send("clicks", keys[1], "delete")
		k.Settle(g)
		before := tableEnd(k)
		late.Release()
		k.Until("it is there", func() bool { return tableEnd(k) > before })
		require.Equal(k.T, map[string]int64{keys[0]: 2, keys[2]: 1}, streamtest.FoldOf(k, counts))
		click(k, g, keys[2])
		rows := map[string]int64{keys[0]: 3, keys[2]: 2}
		require.Equal(k.T, rows, requireFold(k, a, keys...))
		require.Empty(k.T, seen.keys(), "nobody else has written")
		requireRestored(k, g, a, rows)
	})
}

// The log is cut under an owner that writes, be it that others have written on to where it was and further, or not: what lies
// there is no stranger's record among the owner's, but another history.
func TestR45_R05_LogIsCutUnderAWritingOwner(t *testing.T) {
	for name, others := range map[string]int{"lower": 0, "higher": 20} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			streamtest.Run(t, func(k *streamtest.Kit) {
				k.Topic("clicks", 1)
				g, keys := basket(k.T), users(6)
				var seen strangers
				a := k.StartAs("a", g, processor.AtLeastOnce(), seen.option())
				for _, key := range keys {
					click(k, g, key)
				}
				k.Advance(10 * time.Second)
				require.EqualValues(k.T, 3, k.Truncate(counts.Name(), 0, 3))
				require.NoError(k.T, k.Broker.MoveLeader(counts.Name(), 0, 0))
				for range others {
					k.Send(counts.Name(), "other", "\x00\x00\x00\x00\x00\x00\x00\x63")
				}
				k.Advance(time.Second)
				click(k, g, "mine")
				k.Check()
				require.Empty(k.T, seen.keys())
				require.NotEmpty(k.T, seen.restarted())
				require.ErrorContains(k.T, seen.restarted()[0], "log of clicks-count/0 was reset")
				requireFold(k, a, append(keys, "other", "mine")...)
			}, devbroker.Dir(dir), devbroker.Relaxed())
		})
	}
}

// What stands in somebody's open transaction is written over before it is known how that ends.
func TestR45_OpenTransactionInTheTable(t *testing.T) {
	for name, end := range map[string]func(*devbroker.Transaction) error{
		"committed": (*devbroker.Transaction).Commit, "aborted": (*devbroker.Transaction).Abort} {
		t.Run(name, func(t *testing.T) {
			streamtest.Run(t, func(k *streamtest.Kit) {
				k.Topic("clicks", 1)
				g, keys := basket(k.T), users(3)
				var seen strangers
				a := k.StartAs("a", g, processor.AtLeastOnce(), seen.option())
				click(k, g, keys...)
				tx, err := k.Broker.Begin("stranger", time.Minute)
				require.NoError(k.T, err)
				write := func(key string) {
					require.NoError(k.T, tx.Produce(counts.Name(), 0, devbroker.Record{Key: []byte(key), Value: []byte("\x00\x00\x00\x00\x00\x00\x00\x63")}))
				}
				write(keys[0])
				click(k, g, keys[1])
				require.Equal(k.T, []string{keys[0]}, seen.keys())
				write(keys[2]) // behind what the owner wrote
				require.NoError(k.T, end(tx))
				k.Advance(time.Minute)
				k.Check()
				require.Equal(k.T, map[bool]int{true: 2, false: 1}[name == "committed"], len(seen.keys()), "a transaction that is aborted is nobody's")
				require.Empty(k.T, seen.restarted())
				requireRestored(k, g, a, map[string]int64{keys[0]: 1, keys[1]: 2, keys[2]: 1})
			})
		})
	}
}

// The owner itself ends between another's records and its own behind them: whatever is on disk, the next start has the rows of the log.
func TestR45_OwnerEndsBeforeItHasWritten(t *testing.T) {
	streamtest.Run(t, func(k *streamtest.Kit) {
		k.Topic("clicks", 1)
		g, keys := basket(k.T), users(3)
		a := k.StartAs("a", g, processor.AtLeastOnce())
		click(k, g, keys...)
		k.Advance(10 * time.Second)
		k.Send(counts.Name(), keys[0], "\x00\x00\x00\x00\x00\x00\x00\x63")
		proof := k.Broker.Hold(devbroker.OffsetCommit, "clicker")
		k.Send("clicks", keys[1], "x")
		<-proof.Arrived()
		k.Advance(8 * time.Second) // flushes
		a.Crash()
		proof.Drop()
		proof.Release()
		b := k.StartAs("a", g, processor.AtLeastOnce())
		k.Settle(g)
		k.Check()
		requireFold(k, b, keys...)
	})
}

// A group of two tables: one of them has a stranger's records, the commit is one.
func TestR45_OneOfTwoTables(t *testing.T) {
	seconds := topology.NewTable("clicker-second", codec.Int64)
	streamtest.Run(t, func(k *streamtest.Kit) {
		k.Topic("clicks", 1)
		keys := users(3)
		g := define(k.T, "clicker", topology.Persist(counts), topology.Persist(seconds), topology.Input(clicks, func(ctx *topology.Context, v string) error {
			if err := onClick(ctx, v); err != nil {
				return err
			}
			return seconds.Set(ctx, 1)
		}))
		var seen strangers
		a := k.Start(g, processor.AtLeastOnce(), seen.option())
		click(k, g, keys...)
		streamtest.Send(k, seconds, streamtest.Tombstone[int64](keys[0]))
		click(k, g, keys[1])
		k.Check()
		require.Equal(k.T, []string{keys[0]}, seen.keys())
		require.Equal(k.T, streamtest.FoldOf(k, seconds), streamtest.Read(a, seconds, keys...))
		require.Len(k.T, streamtest.FoldOf(k, seconds), 3)
	})
}

// Somebody who writes to the table all the time does not keep the group from its work.
func TestR45_StrangerThatGoesOn(t *testing.T) {
	streamtest.Run(t, func(k *streamtest.Kit) {
		k.Topic("clicks", 1)
		g, keys := basket(k.T), users(5)
		a := k.Start(g, processor.AtLeastOnce())
		for n := range 40 {
			k.Send(counts.Name(), keys[n%5], "\x00\x00\x00\x00\x00\x00\x00\x63")
			k.Send(counts.Name(), fmt.Sprintf("stranger-%d", n), "\x00\x00\x00\x00\x00\x00\x00\x63")
			click(k, g, keys[(n+1)%5])
		}
		k.Advance(time.Minute)
		k.Check()
		require.Equal(k.T, map[string]int64{keys[0]: 8, keys[1]: 8, keys[2]: 8, keys[3]: 8, keys[4]: 8}, requireFold(k, a, keys...))
	})
}

// The zombie comes back to its group, which gives it its task again before the idle owner has looked at its log: what it wrote late is
// found before that.
func TestR45_FoundWhenTheTaskIsGivenAway(t *testing.T) {
	streamtest.Run(t, func(k *streamtest.Kit) {
		k.Topic("clicks", 2)
		g := basket(k.T)
		var keys []string // of partition 0
		for _, key := range users(20) {
			if partitionOf(key, 2) == 0 {
				keys = append(keys, key)
			}
		}
		a := k.StartAs("a", g, processor.AtLeastOnce(), unhurried)
		click(k, g, keys...)
		wake := bury(k, a, "x", keys...)
		var seen strangers
		b := k.StartAs("b", g, processor.AtLeastOnce(), seen.option())
		k.Until("b has the tasks", func() bool { return b.Running() == 2 })
		click(k, g, keys...)
		wake()
		require.NoError(k.T, b.Stop())
		require.ElementsMatch(k.T, keys, seen.keys())
		k.Until("a has them", func() bool { return a.Running() == 2 })
		for _, n := range requireFold(k, a, keys...) {
			require.EqualValues(k.T, 3, n)
		}
	})
}

// Instances become zombies and wake at random, while keys are counted: no click is lost where the owner stays long enough to
// find what came late, and in the end the table is what its log says, on disk, too.
func TestR45_RandomZombies(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	for n := range uint64(4) {
		r := rand.New(rand.NewPCG(seed, n))
		streamtest.Run(t, func(k *streamtest.Kit) {
			k.Topic("clicks", 2)
			g, keys := clicker(k.T), users(10)
			live, sleeping := map[string]*streamtest.Instance{}, map[string]func(){}
			sent := map[string]int64{}
			for range 40 {
				for range r.IntN(5) {
					key := keys[r.IntN(len(keys))]
					k.Send("clicks", key, "x")
					sent[key]++
				}
				name := string(rune('a' + r.IntN(3)))
				wake := sleeping[name]
				switch {
				case live[name] == nil:
					live[name] = k.Launch(name, g, processor.AtLeastOnce(), processor.CommitInterval(time.Duration(50+r.IntN(2000))*time.Millisecond), processor.StartTimeout(0))
				case wake != nil && r.IntN(2) == 0:
					wake()
					delete(sleeping, name)
					k.Advance(tendInterval)
				case len(sleeping) == 0 && r.IntN(2) == 0:
					sleeping[name] = live[name].Zombie()
				}
				k.Advance(time.Duration(r.IntN(8000)) * time.Millisecond)
			}
			for _, wake := range sleeping {
				wake()
				k.Advance(tendInterval)
			}
			if live["a"] == nil {
				live["a"] = k.Launch("a", g, processor.AtLeastOnce())
			}
			k.Settle(g)
			k.Advance(2 * time.Minute)
			k.Check()
			rows := streamtest.FoldOf(k, counts)
			for key, want := range sent {
				require.GreaterOrEqual(k.T, rows[key], want, key)
			}
			for _, i := range live {
				requireEqual(k, verify(k, i.Processor))
			}
		})
	}
}
