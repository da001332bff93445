package processor_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tarnstream/tarn/codec"
	"github.com/tarnstream/tarn/devbroker"
	"github.com/tarnstream/tarn/processor"
	"github.com/tarnstream/tarn/streamtest"
	"github.com/tarnstream/tarn/topology"
)

// setNote is a click that sets its key's note, or deletes it when it is empty.
func setNote(ctx *topology.Context, v string) error {
	if v == "" {
		return notes.Delete(ctx)
	}
	return notes.Set(ctx, []byte(v))
}

// visitor keeps the notes of clicks and has the visits given.
func visitor(t *testing.T, visits ...topology.Edge) *topology.Group {
	return define(t, "visitor", append(visits, topology.Persist(notes), topology.Input(clicks, setNote))...)
}

// fill sends a note of each key.
func fill(k *streamtest.Kit, g *topology.Group, keys []string) {
	k.T.Helper()
	for _, key := range keys {
		k.Send("clicks", key, "new")
	}
	k.Settle(g)
}

// seen notes what a visit calls back for, taking d for each row.
type seen struct {
	d    time.Duration
	mu   sync.Mutex
	keys []string
}

func (s *seen) visit(ctx *topology.Context, key string, value []byte) error {
	time.Sleep(s.d)
	s.mu.Lock()
	s.keys = append(s.keys, key)
	s.mu.Unlock()
	return notes.Set(ctx, append(value, '+'))
}

// slowly runs script on an instance that keeps n notes in one partition and has the visit "slow", which is s.
func slowly(t *testing.T, s *seen, n int, script func(k *streamtest.Kit, i *streamtest.Instance, g *topology.Group)) {
	g := visitor(t, topology.Visit("slow", notes, s.visit))
	streamtest.Run(t, func(k *streamtest.Kit) {
		k.Topic("clicks", 1)
		i := k.Start(g)
		fill(k, g, users(n))
		script(k, i, g)
	})
}

func TestVisit_EveryRowOnceAndInKafkaAtTheEnd(t *testing.T) {
	out := topology.NewStream("out", codec.String)
	var bad []string
	g := visitor(t, topology.Output(out), topology.Visit("mark", notes, func(ctx *topology.Context, key string, value []byte) error {
		own, ok, err := notes.Get(ctx)
		if err != nil || !ok || string(own) != string(value) || ctx.Key() != key || !ctx.HasKey() || ctx.Topic() != "notes" || ctx.Offset() != -1 ||
			len(ctx.Headers()) > 0 || partitionOf(key, 4) != ctx.Partition() || time.Since(ctx.Timestamp()) > time.Second {
			bad = append(bad, key)
		}
		if strings.HasSuffix(key, "0") {
			return errors.Join(err, notes.Delete(ctx))
		}
		return errors.Join(err, notes.Set(ctx, []byte("marked")), out.Emit(ctx, key, "marked"))
	}))
	streamtest.Run(t, func(k *streamtest.Kit) {
		k.Topic("clicks", 4)
		i := k.Start(g)
		n, err := i.Processor.Visit(k.T.Context(), "mark")
		require.NoError(k.T, err)
		require.Zero(k.T, n, "of an empty table")
		fill(k, g, users(1000))
		began := time.Now()
		n, err = i.Processor.Visit(k.T.Context(), "mark")
		require.NoError(k.T, err)
		require.EqualValues(k.T, 1000, n)
		require.Empty(k.T, bad)

		table := k.Fold("notes") // at once: all is in Kafka
		require.Len(k.T, table, 900)
		for key, value := range table {
			require.Equal(k.T, "marked", value, key)
		}
		records := k.Records("out")
		require.Len(k.T, records, 900)
		require.WithinRange(k.T, records[0].Timestamp, began.Truncate(time.Millisecond), time.Now())
		require.NoError(k.T, i.Stop())
		n, err = k.Start(g).Processor.Visit(k.T.Context(), "mark")
		require.NoError(k.T, err)
		require.EqualValues(k.T, 900, n)
	})
}

// Whatever records do meanwhile: a row that is there all the time is visited once, with its newest value; one that is gone
// by its turn, or new, is not. What the visit adds itself is not visited, so that it ends.
func TestVisit_WhileRecordsChangeTheTable(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	now, times := map[string]string{}, map[string]int{} // one task: no lock needed
	set := func(ctx *topology.Context, v string) error {
		now[ctx.Key()] = v
		if v == "" {
			delete(now, ctx.Key())
		}
		return setNote(ctx, v)
	}
	g := define(t, "visitor", topology.Persist(notes), topology.Input(clicks, set),
		topology.Visit("see", notes, func(ctx *topology.Context, key string, value []byte) error {
			time.Sleep(time.Millisecond)
			times[key]++
			if now[key] != string(value) {
				return fmt.Errorf("%q, which is %q by now", value, now[key])
			}
			return notes.SetKey(ctx, key+"'", value)
		}))
	streamtest.Run(t, func(k *streamtest.Kit) {
		k.Topic("clicks", 1)
		i := k.Start(g, processor.CommitInterval(20*time.Millisecond), processor.FlushInterval(70*time.Millisecond))
		keys := users(300)
		fill(k, g, keys[:200])
		stays := map[string]bool{}
		for _, key := range keys[:200] {
			stays[key] = true
		}
		var n int64
		done := make(chan error)
		go func() {
			var err error
			n, err = i.Processor.Visit(k.T.Context(), "see")
			done <- err
		}()
		time.Sleep(50 * time.Millisecond)
		for range 150 {
			key, value := keys[r.IntN(len(keys))], fmt.Sprint(r.IntN(100))
			if r.IntN(4) == 0 {
				value = ""
				delete(stays, key)
			}
			k.Send("clicks", key, value)
			time.Sleep(time.Millisecond)
		}
		require.NoError(k.T, <-done)
		visited := 0
		for key, n := range times {
			require.Equal(k.T, 1, n, key)
			require.Contains(k.T, keys[:200], key)
			visited += n
		}
		require.EqualValues(k.T, visited, n)
		for key := range stays {
			require.Equal(k.T, 1, times[key], key)
		}
		k.Settle(g)
	})
}

// A long visit leaves the inputs their turn, and commits are made.
func TestVisit_InputGoesOn(t *testing.T) {
	s := seen{d: 10 * time.Millisecond}
	slowly(t, &s, 2000, func(k *streamtest.Kit, i *streamtest.Instance, g *topology.Group) {
		done := make(chan error, 1)
		go func() { _, err := i.Processor.Visit(k.T.Context(), "slow"); done <- err }()
		for range 10 { // in 20 s of visiting
			time.Sleep(time.Second)
			began := time.Now()
			k.Send("clicks", "a click", "x")
			k.Settle(g)
			require.Less(k.T, time.Since(began), time.Second)
		}
		require.Empty(k.T, done, "the visit goes on")
		require.NoError(k.T, <-done)
		require.Len(k.T, s.keys, 2000)
	})
}

// A visit that writes more than a task may keep in memory is held back.
func TestVisit_IsHeldBack(t *testing.T) {
	const layer = 256 << 10 // no more than that with so little memory
	g := visitor(t, topology.Visit("grow", notes, func(ctx *topology.Context, _ string, _ []byte) error {
		return notes.Set(ctx, make([]byte, 4<<10))
	}))
	streamtest.Run(t, func(k *streamtest.Kit) {
		k.Topic("clicks", 1)
		i := k.Start(g, processor.MemoryBytes(smallMemory), processor.CommitInterval(10*time.Second))
		fill(k, g, users(1000))
		before := i.Processor.Stats().Commits
		n, err := i.Processor.Visit(k.T.Context(), "grow")
		require.NoError(k.T, err)
		require.EqualValues(k.T, 1000, n)
		require.GreaterOrEqual(k.T, i.Processor.Stats().Commits-before, int64(1000*(4<<10)/(layer+8<<10)))
	})
}

func TestVisit_EndsWithItsContext(t *testing.T) {
	s := seen{d: 10 * time.Millisecond}
	slowly(t, &s, 1000, func(k *streamtest.Kit, i *streamtest.Instance, g *topology.Group) {
		ctx, cancel := context.WithTimeout(k.T.Context(), 995*time.Millisecond)
		defer cancel()
		n, err := i.Processor.Visit(ctx, "slow")
		require.ErrorIs(k.T, err, context.DeadlineExceeded)
		var unfinished *processor.VisitError
		require.ErrorAs(k.T, err, &unfinished)
		require.Equal(k.T, processor.VisitError{Group: "visitor", Visit: "slow", Table: "notes", Unfinished: []int32{0}, Partition: -1,
			Cause: context.DeadlineExceeded}, *unfinished)
		require.EqualValues(k.T, 100, n)
		require.Len(k.T, s.keys, 100)
		time.Sleep(time.Minute)
		require.Len(k.T, s.keys, 100, "no callback after the end")
		requireVisited(k, s.keys...)
		fill(k, g, users(10)) // the run goes on

		n, err = i.Processor.Visit(ctx, "slow")
		require.ErrorIs(k.T, err, context.DeadlineExceeded)
		require.Zero(k.T, n)
	})
}

// requireVisited requires that these keys have a plus for each time they are named, and others none.
func requireVisited(k *streamtest.Kit, keys ...string) {
	k.T.Helper()
	want := map[string]int{}
	for _, key := range keys {
		want[key]++
	}
	for key, value := range k.Fold("notes") {
		require.Equal(k.T, want[key], strings.Count(value, "+"), "%s is %s", key, value)
	}
}

// The first row that fails ends the visit in every task. Nothing of it stays, what came before does, and the run goes on.
func TestR61_NothingStaysOfARowWhoseVisitFails(t *testing.T) {
	out := topology.NewStream("out", codec.String)
	no := errors.New("no")
	for name, fail := range map[string]func() error{"error": func() error { return no }, "panic": func() error { panic(no) }} {
		t.Run(name, func(t *testing.T) {
			s := seen{d: time.Millisecond}
			g := visitor(t, topology.Output(out), topology.Visit("fail", notes, func(ctx *topology.Context, key string, value []byte) error {
				if key == "user-5" {
					return errors.Join(notes.Delete(ctx), notes.SetKey(ctx, key, []byte("bad")), out.Emit(ctx, key, "bad"), fail())
				}
				return s.visit(ctx, key, value)
			}))
			streamtest.Run(t, func(k *streamtest.Kit) {
				k.Topic("clicks", 4)
				i := k.Start(g)
				fill(k, g, users(2000))
				n, err := i.Processor.Visit(k.T.Context(), "fail")
				var failed *processor.VisitError
				require.ErrorAs(k.T, err, &failed)
				require.Equal(k.T, "user-5", failed.Key)
				require.Equal(k.T, partitionOf("user-5", 4), failed.Partition)
				require.Contains(k.T, failed.Unfinished, failed.Partition)
				require.ErrorContains(k.T, err, `key "user-5"`)
				var panicked *processor.PanicError
				if name == "panic" {
					require.ErrorAs(k.T, err, &panicked)
				} else {
					require.ErrorIs(k.T, err, no)
				}
				require.EqualValues(k.T, len(s.keys), n)
				require.Less(k.T, n, int64(2000), "the other tasks end, too")
				time.Sleep(time.Second)
				require.Equal(k.T, "new", k.Fold("notes")["user-5"])
				require.Empty(k.T, k.Records("out"))
				requireVisited(k, s.keys...)
				fill(k, g, users(10))
			})
		})
	}
}

func TestVisit_ValueThatCannotBeDecoded(t *testing.T) {
	g := define(t, "clicker", topology.Input(clicks, onClick), topology.Persist(counts),
		topology.Visit("see", counts, func(*topology.Context, string, int64) error { return nil }))
	streamtest.Run(t, func(k *streamtest.Kit) {
		k.Topic("clicks", 1)
		k.Topic("clicks-count", 1, "cleanup.policy", "compact")
		k.Send("clicks-count", "k", "not eight bytes")
		_, err := k.Start(g).Processor.Visit(k.T.Context(), "see")
		var decode *topology.DecodeError
		require.ErrorAs(k.T, err, &decode)
		require.ErrorContains(k.T, err, `key "k"`)
	})
}

func TestVisit_TwoAtATime(t *testing.T) {
	fast, slow := seen{d: time.Millisecond}, seen{d: 5 * time.Millisecond}
	g := visitor(t, topology.Visit("fast", notes, fast.visit), topology.Visit("slow", notes, slow.visit))
	streamtest.Run(t, func(k *streamtest.Kit) {
		k.Topic("clicks", 1)
		i := k.Start(g)
		fill(k, g, users(500))
		ended := make(chan string, 3)
		for _, name := range []string{"slow", "fast", "slow"} {
			go func() {
				n, err := i.Processor.Visit(k.T.Context(), name)
				ended <- fmt.Sprintf("%s %d %v", name, n, err)
			}()
		}
		require.Equal(k.T, []string{"fast 500 <nil>", "slow 500 <nil>", "slow 500 <nil>"}, []string{<-ended, <-ended, <-ended})
		requireVisited(k, append(fast.keys, slow.keys...)...)
	})
}

func TestVisit_WaitsForReady(t *testing.T) {
	s := seen{}
	g := visitor(t, topology.Visit("see", notes, s.visit))
	streamtest.Run(t, func(k *streamtest.Kit) {
		k.Topic("clicks", 2)
		a := k.Start(g)
		fill(k, g, users(20))
		require.NoError(k.T, a.Stop())
		n, err := a.Processor.Visit(k.T.Context(), "see")
		require.ErrorContains(k.T, err, "Run has ended")
		require.Zero(k.T, n)

		held := k.Broker.Hold(devbroker.Fetch, "notes")
		b := k.Launch("b", g) // has to restore
		<-held.Arrived()
		counted := make(chan int64)
		go func() {
			n, err := b.Processor.Visit(k.T.Context(), "see")
			require.NoError(k.T, err)
			counted <- n
		}()
		time.Sleep(10 * time.Second)
		require.Empty(k.T, counted)
		held.Release()
		require.EqualValues(k.T, 20, <-counted)

		p, err := processor.New(g, k.Options("c")...)
		require.NoError(k.T, err)
		ctx, cancel := context.WithTimeout(k.T.Context(), time.Second)
		defer cancel()
		_, err = p.Visit(ctx, "see")
		require.ErrorIs(k.T, err, context.DeadlineExceeded, "Run was never called")
		_, err = p.Visit(ctx, "sea")
		require.ErrorContains(k.T, err, `no visit "sea"`)
	})
}

type visited struct {
	n   int64
	err error
}

// visitAside runs a visit and hands over what it gave.
func visitAside(k *streamtest.Kit, i *streamtest.Instance, name string) <-chan visited {
	done := make(chan visited, 1)
	go func() {
		n, err := i.Processor.Visit(k.T.Context(), name)
		done <- visited{n, err}
	}()
	return done
}

func TestVisit_Stop(t *testing.T) {
	s := seen{d: 10 * time.Millisecond}
	slowly(t, &s, 1000, func(k *streamtest.Kit, i *streamtest.Instance, g *topology.Group) {
		done := visitAside(k, i, "slow")
		time.Sleep(2 * time.Second)
		began := time.Now()
		require.NoError(k.T, i.Stop())
		require.Less(k.T, time.Since(began), 2*time.Second)
		v := <-done
		var unfinished *processor.VisitError
		require.ErrorAs(k.T, v.err, &unfinished)
		require.Equal(k.T, []int32{0}, unfinished.Unfinished)
		require.EqualValues(k.T, len(s.keys), v.n)
		requireVisited(k, s.keys...) // the last commit has them all
		require.NotEmpty(k.T, s.keys)
	})
}

// A partition that moves away in mid-visit is named, and nothing of it is visited twice here; what stays is visited whole.
func TestVisit_RebalanceInTheMiddle(t *testing.T) {
	s := seen{d: 20 * time.Millisecond}
	g := visitor(t, topology.Visit("slow", notes, s.visit))
	streamtest.Run(t, func(k *streamtest.Kit) {
		k.Topic("clicks", 4)
		keys := users(2000)
		a := k.StartAs("a", g)
		fill(k, g, keys)
		done := visitAside(k, a, "slow")
		time.Sleep(time.Second)
		b := k.StartAs("b", g)
		k.Until("shared", func() bool { return a.Running() == 2 && b.Running() == 2 })
		require.Empty(k.T, done)
		v := <-done
		var unfinished *processor.VisitError
		require.ErrorAs(k.T, v.err, &unfinished)
		moved := slices.Sorted(maps.Keys(b.Processor.Stats().Tasks))
		require.Equal(k.T, moved, unfinished.Unfinished)
		require.ErrorContains(k.T, v.err, "left this process")
		require.EqualValues(k.T, len(s.keys), v.n)
		times := map[string]int{}
		for _, key := range s.keys {
			times[key]++
			require.Equal(k.T, 1, times[key])
		}
		for _, key := range keys {
			if !slices.Contains(moved, partitionOf(key, 4)) {
				require.Equal(k.T, 1, times[key], "of a partition that stays")
			}
		}
		requireVisited(k, s.keys...)

		n, err := b.Processor.Visit(k.T.Context(), "slow")
		require.NoError(k.T, err)
		m, err := a.Processor.Visit(k.T.Context(), "slow")
		require.NoError(k.T, err)
		require.EqualValues(k.T, 2000, n+m, "each has its own")
	})
}

func TestVisit_KillInTheMiddle(t *testing.T) {
	s := seen{d: 10 * time.Millisecond}
	slowly(t, &s, 1000, func(k *streamtest.Kit, i *streamtest.Instance, g *topology.Group) {
		done := visitAside(k, i, "slow")
		time.Sleep(2 * time.Second)
		i.Crash()
		require.Error(k.T, (<-done).err)
		i = k.Start(g)
		n, err := i.Processor.Visit(k.T.Context(), "slow")
		require.NoError(k.T, err)
		require.EqualValues(k.T, 1000, n)
		for key, value := range k.Fold("notes") {
			got, ok, err := processor.Get(i.Processor, notes, key)
			require.NoError(k.T, err)
			require.True(k.T, ok)
			require.Equal(k.T, value, string(got))
			require.NotEqual(k.T, "new", value)
		}
	})
}

// The lease ends in mid-visit: the rows visited since the last commit are written by nobody.
func TestVisit_PartitionLost(t *testing.T) {
	s := seen{d: 10 * time.Millisecond}
	slowly(t, &s, 5000, func(k *streamtest.Kit, a *streamtest.Instance, g *topology.Group) {
		done := visitAside(k, a, "slow")
		time.Sleep(time.Second)
		a.Disconnect()
		b := k.StartAs("b", g)
		v := <-done
		var unfinished *processor.VisitError
		require.ErrorAs(k.T, v.err, &unfinished)
		require.Equal(k.T, []int32{0}, unfinished.Unfinished)
		require.Greater(k.T, len(s.keys), 200, "it went on until the loss")
		a.Connect()
		time.Sleep(time.Minute)
		plus := 0
		for _, value := range k.Fold("notes") {
			plus += strings.Count(value, "+")
		}
		require.Less(k.T, plus, 200)
		require.NoError(k.T, b.Stop())
	})
}
