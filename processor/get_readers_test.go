package processor_test

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tarnstream/tarn/processor"
	"github.com/tarnstream/tarn/streamtest"
)

// Many readers of a task's tables while they are written, flushed, swept, made again under it, restored, handed over and
// closed: an answer is what some record wrote, and a table's rows do not go back, or it is a named error.
func TestR55_OwnTableWithManyReaders(t *testing.T) {
	streamtest.Run(t, func(k *streamtest.Kit) {
		k.Topic("clicks", 1)
		g, keys := clicker(k.T), users(20)
		quick := []processor.Option{processor.FlushInterval(70 * time.Millisecond)}
		a := k.StartAs("a", g, quick...)
		var sent, epoch atomic.Int64 // epoch goes up with each reset, before it and behind it
		var stopped atomic.Bool
		var readers sync.WaitGroup
		ends := make(chan error, 8)
		for range 8 {
			readers.Go(func() { ends <- readOwn(a, keys, &sent, &epoch, &stopped) })
		}
		other := func() { // of another writer: the task restores what it missed
			k.Send("clicks-count", "stranger", "\x00\x00\x00\x00\x00\x00\x00\x01")
		}
		for round := range 24 {
			sent.Add(1)
			click(k, g, keys...)
			switch round % 4 {
			case 0:
				other()
			case 1:
				epoch.Add(1)
				b, err := k.Broker.Bounds("clicks-count", 0)
				require.NoError(k.T, err)
				require.NoError(k.T, k.Broker.DeleteRecords("clicks-count", 0, b.End-10))
				time.Sleep(time.Minute)
				epoch.Add(1)
			case 2:
				epoch.Add(1)
				require.NoError(k.T, k.Broker.DeleteTopic("clicks-count"))
				k.Topic("clicks-count", 1, "cleanup.policy", "compact")
				time.Sleep(time.Minute)
				k.Settle(g)
				epoch.Add(1)
			case 3:
				require.NoError(k.T, k.StartAs("b", g).Stop())
			}
		}
		requireFold(k, a, append(keys, "stranger")...)
		require.NoError(k.T, a.Stop())
		stopped.Store(true)
		readers.Wait()
		for range 8 {
			require.NoError(k.T, <-ends)
		}
	})
}

// readOwn reads until stopped.
func readOwn(a *streamtest.Instance, keys []string, sent, epoch *atomic.Int64, stopped *atomic.Bool) error {
	last, of := map[string]int64{}, int64(-1)
	for i := 0; !stopped.Load(); i++ {
		time.Sleep(3 * time.Millisecond)
		key, before := keys[i%len(keys)], epoch.Load()
		if before != of {
			clear(last)
			of = before
		}
		n, _, err := processor.Get(a.Processor, counts, key)
		switch {
		case errors.As(err, new(*processor.NotLocalError)), errors.Is(err, processor.ErrNotReady):
			continue
		case err != nil:
			return err
		case n > sent.Load():
			return fmt.Errorf("%s is %d, no record made it that", key, n)
		case before%2 != 0 || epoch.Load() != before: // a reset is under way
			continue
		case n < last[key]:
			return fmt.Errorf("%s goes back from %d to %d without a reset", key, last[key], n)
		}
		last[key] = n
	}
	return nil
}
