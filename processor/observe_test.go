package processor_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tarnstream/tarn/devbroker"
	"github.com/tarnstream/tarn/observe"
	"github.com/tarnstream/tarn/policy"
	"github.com/tarnstream/tarn/processor"
	"github.com/tarnstream/tarn/state"
	"github.com/tarnstream/tarn/streamtest"
)

// diary keeps the events of one or several instances.
type diary struct {
	mu         sync.Mutex
	rebalances []observe.Rebalance
	commits    []observe.Commit
	flushes    []observe.Flush
	stale      []observe.StaleRead
	done       []observe.Restore
}

func (d *diary) option() processor.Option {
	return processor.Observe(observe.Observer{
		Rebalance:   func(e observe.Rebalance) { note(d, &d.rebalances, e) },
		Commit:      func(e observe.Commit) { note(d, &d.commits, e) },
		Flush:       func(e observe.Flush) { note(d, &d.flushes, e) },
		StaleRead:   func(e observe.StaleRead) { note(d, &d.stale, e) },
		RestoreDone: func(e observe.Restore) { note(d, &d.done, e) },
	})
}

func note[T any](d *diary, list *[]T, e T) {
	d.mu.Lock()
	defer d.mu.Unlock()
	*list = append(*list, e)
}

// of gives the events of a list so far.
func of[T any](d *diary, list *[]T) []T {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(*list)
}

// kinds are the rebalances so far, as "kind [tasks]".
func (d *diary) kinds() (out []string) {
	for _, r := range of(d, &d.rebalances) {
		out = append(out, fmt.Sprintf("%s %v", r.Kind, r.Tasks))
	}
	return out
}

func TestObserve_Rebalance(t *testing.T) {
	streamtest.Run(t, func(k *streamtest.Kit) {
		k.Topic("clicks", 2)
		g := clicker(k.T)
		var seen diary
		a := k.StartAs("a", g, seen.option())
		b := k.StartAs("b", g)
		k.Until("shared", func() bool { return a.Running() == 1 && b.Running() == 1 })
		require.NoError(k.T, a.Stop())

		require.Equal(k.T, []string{"joined [0 1]", "assigned [0 1]", "rebalancing []", "joined [0]", "revoked [1]", "rebalancing []", "joined [0]",
			"revoked [0]", "left []"}, seen.kinds())
		first := of(&seen, &seen.rebalances)[0]
		require.Equal(k.T, "clicker", first.Group)
		require.NotEmpty(k.T, first.Member)
		require.Greater(k.T, of(&seen, &seen.rebalances)[3].Generation, first.Generation)
		require.Error(k.T, of(&seen, &seen.rebalances)[2].Cause)
	})
}

func TestObserve_LostAndRestarted(t *testing.T) {
	streamtest.Run(t, func(k *streamtest.Kit) {
		k.Topic("clicks", 1)
		g := clicker(k.T)
		var seen diary
		a := k.Start(g, seen.option())
		click(k, g, "a")
		k.Send("clicks-count", "z", "\x00\x00\x00\x00\x00\x00\x00\x07") // another writer's
		click(k, g, "a")
		k.Until("running again", func() bool { return a.Running() == 1 })
		require.Equal(k.T, []string{"joined [0]", "assigned [0]", "restarted [0]"}, seen.kinds())
		require.ErrorContains(k.T, of(&seen, &seen.rebalances)[2].Cause, "another writer")
		require.Len(k.T, of(&seen, &seen.done), 2, "the table was restored again")

		a.Disconnect()
		k.Until("lost", func() bool { return a.Running() == 0 })
		require.Contains(k.T, seen.kinds(), "lost [0]")
		require.Contains(k.T, seen.kinds(), "retry []")
		a.Connect()
	})
}

// What the events of commits say adds up to what is in the topics.
func TestObserve_CommitAndFlush(t *testing.T) {
	streamtest.Run(t, func(k *streamtest.Kit) {
		k.Topic("clicks", 2)
		g, keys := clicker(k.T), users(10)
		var seen diary
		a := k.Start(g, seen.option(), processor.FlushInterval(time.Hour))
		click(k, g, keys...)
		click(k, g, keys...)
		require.Empty(k.T, of(&seen, &seen.flushes))
		require.NoError(k.T, a.Stop())

		records, size := 0, int64(0)
		for _, c := range of(&seen, &seen.commits) {
			require.NoError(k.T, c.Err)
			require.Equal(k.T, "clicker", c.Group)
			require.NotEmpty(k.T, c.Tasks)
			records, size = records+c.Records, size+c.Bytes
		}
		written := k.Records("clicks-count")
		want := int64(0)
		for _, r := range written {
			want += int64(len(r.Key) + len(r.Value))
		}
		require.Equal(k.T, len(written), records)
		require.Equal(k.T, want, size)

		require.Len(k.T, of(&seen, &seen.flushes), 2, "one a partition, at the stop")
		rows, size := 0, int64(0)
		for p, f := range of(&seen, &seen.flushes) {
			require.NoError(k.T, f.Err)
			require.Equal(k.T, observe.Place{Group: "clicker", Topic: "clicks-count", Partition: int32(p)}, f.Place)
			rows, size = rows+f.Rows, size+f.Bytes
		}
		require.Equal(k.T, 10, rows)
		require.EqualValues(k.T, 10*(len("user-0")+8), size)
	})
}

// A commit whose outcome nobody knows is told with the reason.
func TestObserve_CommitThatDoesNotCount(t *testing.T) {
	streamtest.Run(t, func(k *streamtest.Kit) {
		k.Topic("clicks", 1)
		g := clicker(k.T)
		var seen diary
		a := k.Start(g, seen.option())
		held := k.Broker.Hold(devbroker.TxnOffsetCommit, "clicker")
		k.Send("clicks", "a", "x")
		<-held.Arrived()
		a.Disconnect()
		k.Until("lost", func() bool { return a.Running() == 0 })
		held.Release()
		a.Connect()
		k.Settle(g)
		commits := of(&seen, &seen.commits)
		require.Error(k.T, commits[0].Err)
		require.Equal(k.T, []int32{0}, commits[0].Tasks)
		require.NoError(k.T, commits[len(commits)-1].Err)
	})
}

// A view that is rebuilt answers from before: that is told once for each rebuild, not once a read.
func TestObserve_StaleRead(t *testing.T) {
	streamtest.Run(t, func(k *streamtest.Kit) {
		k.Topic("clicks", 1)
		g, keys := clicker(k.T), users(10)
		i := k.Start(g, processor.AtLeastOnce())
		click(k, g, keys...)
		var seen diary
		v, stop := startView(k, seen.option())
		for round := range 2 {
			held := k.Broker.Hold(devbroker.Fetch, "clicks-count")
			<-held.Arrived()
			click(k, g, keys...)
			b, err := k.Broker.Bounds("clicks-count", 0)
			require.NoError(k.T, err)
			require.NoError(k.T, k.Broker.DeleteRecords("clicks-count", 0, b.End-4))
			rebuild := k.Broker.Hold(devbroker.Fetch, "clicks-count")
			held.Release()
			<-rebuild.Arrived()
			k.Until("rebuilding", func() bool { return v.Staleness().Cause != "" })
			for range 5 {
				_, _, err := v.Get("user-0", policy.AllowStale(nil))
				require.NoError(k.T, err)
				require.Len(k.T, rows(k.T, v, policy.AllowStale(nil)), 10-6*round, "of before the reset")
			}
			require.Len(k.T, of(&seen, &seen.stale), round+1)
			rebuild.Release()
			require.NoError(k.T, v.Sync(k.T.Context()))
			require.Len(k.T, rows(k.T, v), 4)
			require.Len(k.T, of(&seen, &seen.stale), round+1)
		}
		require.Equal(k.T, observe.Place{Group: "clicks-count", Topic: "clicks-count"}, of(&seen, &seen.stale)[0].Place)
		require.Contains(k.T, of(&seen, &seen.stale)[0].Cause, "below the log start")
		require.NoError(k.T, stop())
		require.NoError(k.T, i.Stop())
	})
}

// Whatever an observer does, the group goes on; and no lock is held while it is told, so that it may even look at what it
// watches.
func TestObserve_PanicsAndLooksBack(t *testing.T) {
	streamtest.Run(t, func(k *streamtest.Kit) {
		k.Topic("clicks", 2)
		g, keys := clicker(k.T), users(10)
		var logged lockedBuffer
		var p *processor.Processor
		look := func(kind string) {
			_ = p.Stats().String()
			_, _, _ = processor.Get(p, counts, "user-1")
			panic("boom in " + kind)
		}
		p, err := processor.New(g, append(k.Options("a"), processor.FlushInterval(time.Second),
			processor.Logger(slog.New(slog.NewTextHandler(&logged, nil))), processor.Observe(observe.Observer{
				RestorePlanned: func(observe.Restore) { look("planned") }, RestoreDone: func(observe.Restore) { look("done") },
				RestoreProgress: func(observe.Restore) { look("progress") }, Rebalance: func(e observe.Rebalance) { look(e.Kind) },
				Commit: func(observe.Commit) { look("commit") }, Flush: func(observe.Flush) { look("flush") },
			}))...)
		require.NoError(k.T, err)
		ctx, cancel := context.WithCancel(k.T.Context())
		done := make(chan error, 1)
		go func() { done <- p.Run(ctx) }()
		click(k, g, keys...)
		time.Sleep(5 * time.Second)
		n, _, err := processor.Get(p, counts, "user-1")
		require.NoError(k.T, err)
		require.EqualValues(k.T, 1, n)
		cancel()
		require.NoError(k.T, <-done)
		for _, kind := range []string{"planned", "done", "joined", "assigned", "commit", "flush", "revoked", "left"} {
			require.NotEmpty(k.T, logged.lines(`panic="boom in `+kind+`"`), kind)
		}
	})
}

// The log has every fact once.
func TestObserve_LogHasEachFactOnce(t *testing.T) {
	streamtest.Run(t, func(k *streamtest.Kit) {
		k.Topic("clicks", 1)
		g := clicker(k.T)
		var logged lockedBuffer
		logger := slog.New(slog.NewTextHandler(&logged, &slog.HandlerOptions{Level: slog.LevelDebug}))
		a := k.Start(g, processor.Logger(logger), processor.FlushInterval(time.Hour))
		click(k, g, "a")
		require.NoError(k.T, a.Stop())
		for text, times := range map[string]int{"restore planned": 1, "table is current": 1, "group member joined": 1,
			"group member assigned": 1, "group member revoked": 1, "group member left": 1, "msg=flush": 1, "msg=commit": 1} {
			require.Len(k.T, logged.lines(text), times, text)
		}
	})
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

// lines are those that contain text.
func (b *lockedBuffer) lines(text string) (out []string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for line := range strings.Lines(b.b.String()) {
		if strings.Contains(line, text) {
			out = append(out, line)
		}
	}
	return out
}

// A damaged store is set aside: told with the place and the folder, and once only.
func TestObserve_Quarantined(t *testing.T) {
	streamtest.Run(t, func(k *streamtest.Kit) {
		k.Topic("clicks", 1)
		g := clicker(k.T)
		a := k.Start(g)
		click(k, g, "a")
		require.NoError(k.T, a.Stop())
		store := filepath.Join(k.Dir, "a", "groups", "clicker", "clicks-count", "0")
		require.NoError(k.T, os.WriteFile(filepath.Join(store, "CURRENT"), []byte("garbage"), 0o644))

		var told []observe.Quarantined
		a = k.Start(g, processor.Observe(observe.Observer{Quarantined: func(q observe.Quarantined) { told = append(told, q) }}))
		require.Len(k.T, told, 1)
		require.Equal(k.T, observe.Place{Group: "clicker", Topic: "clicks-count"}, told[0].Place)
		require.DirExists(k.T, told[0].Path)
		require.Equal(k.T, filepath.Join(store, "quarantine"), filepath.Dir(told[0].Path))
		var damage *state.DamageError
		require.ErrorAs(k.T, told[0].Cause, &damage)
		require.NoError(k.T, a.Stop())
	})
}
