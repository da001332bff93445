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
		var c course
		var readers sync.WaitGroup
		ends := make(chan error, 8)
		for range 8 {
			readers.Go(func() { ends <- c.read(a, keys) })
		}
		other := func() { // of another writer: the task restores what it missed
			k.Send("clicks-count", "stranger", "\x00\x00\x00\x00\x00\x00\x00\x01")
		}
		for round := range 24 {
			c.sent.Add(1)
			click(k, g, keys...)
			switch round % 4 {
			case 0:
				other()
			case 1:
				c.epoch.Add(1)
				b, err := k.Broker.Bounds("clicks-count", 0)
				require.NoError(k.T, err)
				require.NoError(k.T, k.Broker.DeleteRecords("clicks-count", 0, b.End-10))
				time.Sleep(time.Minute)
				c.epoch.Add(1)
			case 2:
				c.epoch.Add(1)
				require.NoError(k.T, k.Broker.DeleteTopic("clicks-count"))
				k.Topic("clicks-count", 1, "cleanup.policy", "compact")
				time.Sleep(time.Minute)
				k.Settle(g)
				c.epoch.Add(1)
			case 3:
				require.NoError(k.T, k.StartAs("b", g).Stop())
			}
		}
		requireFold(k, a, append(keys, "stranger")...)
		require.NoError(k.T, a.Stop())
		c.stopped.Store(true)
		readers.Wait()
		for range 8 {
			require.NoError(k.T, <-ends)
		}
	})
}

// course is what readers know of what happens.
type course struct {
	sent    atomic.Int64 // clicks of each key
	epoch   atomic.Int64 // goes up with each reset, before it and behind it
	stopped atomic.Bool
}

// read reads until all is stopped.
func (c *course) read(a *streamtest.Instance, keys []string) error {
	last, of := map[string]int64{}, int64(-1)
	for i := 0; !c.stopped.Load(); i++ {
		time.Sleep(time.Duration(3+i%29) * time.Millisecond)
		key, before := keys[i%len(keys)], c.epoch.Load()
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
		case n > c.sent.Load():
			return fmt.Errorf("%s is %d, no record made it that", key, n)
		case before%2 != 0 || c.epoch.Load() != before: // a reset is under way
			continue
		case n < last[key]:
			return fmt.Errorf("%s goes back from %d to %d without a reset", key, last[key], n)
		}
		last[key] = n
	}
	return nil
}
