package processor_test

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
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

// peak keeps the most of each part of what was in use.
type peak struct {
	observe.MemoryStats
	all int64
}

func (p *peak) see(m observe.MemoryStats) {
	p.all = max(p.all, m.InUse())
	p.Rows, p.Layers, p.Rebuilds = max(p.Rows, m.Rows), max(p.Layers, m.Layers), max(p.Rebuilds, m.Rebuilds)
	p.Fetched, p.Producing = max(p.Fetched, m.Fetched), max(p.Producing, m.Producing)
}

// Whatever comes, and however slow the broker takes what is written: what is in use never passes what may be, and everything
// is counted in the end.
func TestMemory_IsNeverPassed(t *testing.T) {
	const partitions, keys, size = 12, 1000, 3000
	last := topology.NewTable("clicks-last", codec.String)
	log := topology.NewStream("clicks-log", codec.String)
	var watched atomic.Pointer[processor.Processor]
	var handled atomic.Int64
	var p peak
	look := func() {
		if i := watched.Load(); i != nil {
			p.see(i.Stats().Memory)
		}
	}
	g := define(t, "clicker", topology.Persist(counts), topology.Persist(last), topology.Output(log),
		topology.Input(clicks, func(ctx *topology.Context, v string) error {
			n, _, err := counts.Get(ctx)
			if err == nil {
				err = counts.Set(ctx, n+1)
			}
			if err == nil {
				err = last.Set(ctx, v)
			}
			if handled.Add(1)%100 == 0 {
				look()
			}
			return err
		}))
	streamtest.Run(t, func(k *streamtest.Kit) {
		k.Topic("clicks", partitions)
		i := k.Launch("a", g, processor.MemoryBytes(48<<20))
		watched.Store(i.Processor)
		<-i.Processor.Ready()
		for round := range 5 {
			slow := k.Broker.Hold(devbroker.Produce, "clicks-last") // the next commit takes a minute
			sendWide(k, round*keys, keys, size)
			time.Sleep(time.Minute)
			look()
			slow.Release()
		}
		k.Settle(g)
		look()
		m := i.Processor.Stats().Memory
		require.EqualValues(k.T, 48<<20/16*7, m.Bound)
		require.LessOrEqual(k.T, p.all, m.Bound)

		require.Greater(k.T, p.Layers, m.Bound/20, "and there was something to hold back")
		require.Positive(k.T, p.Rows)
		require.Positive(k.T, p.Fetched)
		require.Positive(k.T, p.Producing)
		k.T.Logf("bound %d KiB, at most %d KiB in use: %d layers, %d rows, %d fetched, %d producing", m.Bound>>10, p.all>>10,
			p.Layers>>10, p.Rows>>10, p.Fetched>>10, p.Producing>>10)
		require.Len(k.T, k.Fold("clicks-last"), keys)
		k.Until("flushed", func() bool { return i.Processor.Stats().Memory.Layers == 0 })
		require.NoError(k.T, i.Stop())

		// its tables again, on another machine
		i = k.Launch("b", g, processor.MemoryBytes(48<<20))
		watched.Store(i.Processor)
		for !isReady(i.Processor.Ready()) {
			look()
			time.Sleep(time.Millisecond)
		}
		require.LessOrEqual(k.T, p.all, m.Bound)
		require.Positive(k.T, p.Rebuilds)
		require.Zero(k.T, i.Processor.Stats().Memory.Rebuilds)
		require.EqualValues(k.T, 5, streamtest.Read(i, counts, "key-7")["key-7"])
	})
}

func isReady(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// sendWide writes n records of so many bytes, over all keys.
func sendWide(k *streamtest.Kit, from, n, size int) {
	k.T.Helper()
	for i := range n {
		k.Send("clicks", fmt.Sprintf("key-%d", i), fmt.Sprintf("%d %s", from+i, strings.Repeat("x", size)))
	}
}

// A group that needs more than it may take is told so at the start, with what it needs.
func TestMemory_TooLittleIsRefusedAtStart(t *testing.T) {
	streamtest.Run(t, func(k *streamtest.Kit) {
		k.Topic("clicks", 64)
		g := clicker(k.T)
		i := k.Launch("a", g, processor.MemoryBytes(32<<20))
		err := i.Wait()
		require.ErrorContains(k.T, err, "processor: group clicker: memory of 33554432 bytes is not enough for 64 tasks with 64 stores in all: processor.MemoryBytes takes at least ")
		var least int64
		_, after, _ := strings.Cut(err.Error(), "at least ")
		_, scan := fmt.Sscan(after, &least)
		require.NoError(k.T, scan)
		require.NoError(k.T, k.StartAs("a", g, processor.MemoryBytes(least)).Stop())

		v, err := processor.NewView(counts, append(k.Options("v"), processor.MemoryBytes(1<<20))...)
		require.NoError(k.T, err)
		require.ErrorContains(k.T, v.Run(context.Background()), "processor: view clicks-count: memory of 1048576 bytes is not enough")
	})
	_, err := processor.New(clicker(t), processor.Brokers("a:1"), processor.StateDir("x"), processor.MemoryBytes(-1))
	require.ErrorContains(t, err, "memory of -1 bytes is negative")
}

// A table that is several times as large as what a View may have is restored and followed within it.
func TestMemory_TableLargerThanItsView(t *testing.T) {
	const partitions, batches, batch, size = 3, 400, 50, 1000 // 60 MB, in batches that a partition has room for
	const memory = 24 << 20
	streamtest.Run(t, func(k *streamtest.Kit) {
		k.Topic(counts.Name(), partitions, "cleanup.policy", "compact")
		last := topology.NewTable(counts.Name(), codec.Bytes)
		write := func(from int) {
			for partition := range int32(partitions) {
				records := make([]devbroker.Record, batch)
				for i := range records {
					records[i] = devbroker.Record{Key: fmt.Appendf(nil, "key-%d-%d", partition, from+i), Value: make([]byte, size)}
				}
				require.NoError(k.T, k.Broker.Produce(counts.Name(), partition, records...))
			}
		}
		for i := range batches {
			write(i * batch)
		}
		k.SlowDisk("view", 3*time.Millisecond) // else all is done between two looks
		v, err := processor.NewView(last, append(k.Options("view"), processor.MemoryBytes(memory))...)
		require.NoError(k.T, err)
		ctx, cancel := context.WithCancel(k.T.Context())
		ended := make(chan error, 1)
		go func() { ended <- v.Run(ctx) }()
		var p peak
		for !isReady(v.Ready()) {
			p.see(v.Stats().Memory)
			time.Sleep(time.Millisecond)
		}
		require.Positive(k.T, p.Rebuilds)
		require.Positive(k.T, p.Fetched)
		k.SlowDisk("view", 0)
		for i := range batches / 4 { // again, as changes that are followed
			write(i * batch)
			p.see(v.Stats().Memory)
			time.Sleep(10 * time.Millisecond)
		}
		k.Until("followed", func() bool { lag, known := v.Stats().Lag(); p.see(v.Stats().Memory); return known && lag == 0 })
		bound := v.Stats().Memory.Bound
		require.EqualValues(k.T, memory/16*7, bound)
		require.LessOrEqual(k.T, p.all, bound)
		k.T.Logf("bound %d KiB, at most %d KiB in use", bound>>10, p.all>>10)
		n := 0
		for _, err := range v.Range() {
			require.NoError(k.T, err)
			n++
		}
		require.Equal(k.T, partitions*batches*batch, n)
		cancel()
		require.NoError(k.T, <-ended)
	})
}
