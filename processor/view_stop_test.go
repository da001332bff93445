package processor_test

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tarnstream/tarn/devbroker"
	"github.com/tarnstream/tarn/observe"
	"github.com/tarnstream/tarn/policy"
	"github.com/tarnstream/tarn/state"
	"github.com/tarnstream/tarn/streamtest"
)

// A stop is clean and at once wherever it finds the view, and what it leaves behind is good.
func TestView_StoppedInAnyPhase(t *testing.T) {
	const describeConfigs, apiVersions = 32, 18
	for _, request := range []devbroker.Request{devbroker.RequestOf(apiVersions), devbroker.Metadata, devbroker.ListOffsets,
		devbroker.RequestOf(describeConfigs), devbroker.Fetch} {
		for skip := range 3 {
			t.Run(fmt.Sprintf("%s %d", request, skip), func(t *testing.T) {
				streamtest.Run(t, func(k *streamtest.Kit) {
					pagesTopic(k, 2)
					fillPages(k, 10, "x")
					v := launchView(k)
					held := k.Broker.Hold(request, "")
					for range skip {
						select {
						case <-held.Arrived():
						case <-time.After(time.Minute): // it asks no more of these
						}
						held.Release()
						held = k.Broker.Hold(request, "")
					}
					select {
					case <-held.Arrived():
					case <-time.After(time.Minute):
					}
					began := time.Now()
					require.NoError(k.T, v.stop())
					require.Less(k.T, time.Since(began), time.Second)
					held.Release()
					v = followView(k)
					require.Len(k.T, v.requireFold(), 10)
					require.NoError(k.T, v.stop())
				})
			})
		}
	}
}

// A stop while a callback is told waits for it, and no longer.
func TestView_StoppedInAChange(t *testing.T) {
	for _, kind := range []string{observe.Start, observe.Record, observe.Rebuild, observe.Sweep} {
		t.Run(kind, func(t *testing.T) {
			streamtest.Run(t, func(k *streamtest.Kit) {
				pagesTopic(k, 1)
				fillPages(k, 5, "x")
				in, out := make(chan bool, 1), make(chan bool)
				v := prepareView(k)
				require.NoError(k.T, v.OnChange(func(c observe.Change[string]) error {
					if c.Kind == kind {
						select {
						case in <- true:
							<-out
						default:
						}
					}
					return nil
				}))
				v.start()
				time.Sleep(time.Second)
				switch kind {
				case observe.Record:
					fillPages(k, 5, "y")
				case observe.Sweep:
					require.NoError(k.T, k.Broker.DeleteRecords("pages", 0, 3))
				case observe.Rebuild:
					require.NoError(k.T, k.Broker.DeleteTopic("pages"))
					pagesTopic(k, 1)
				}
				<-in
				v.cancel()
				time.Sleep(time.Minute)
				require.Empty(k.T, v.done)
				close(out)
				require.NoError(k.T, <-v.done)
				v = followView(k)
				v.requireFold()
				require.NoError(k.T, v.stop())
			})
		})
	}
}

// Many readers while the view is reset, rebuilt, swapped and closed: an answer is of one whole generation, or a named
// error.
func TestR55_ViewWithManyReaders(t *testing.T) {
	streamtest.Run(t, func(k *streamtest.Kit) {
		pagesTopic(k, 1)
		const size = 40
		put := func(generation int) { // one batch is seen as a whole
			var records []devbroker.Record
			for _, key := range users(size) {
				records = append(records, devbroker.Record{Key: []byte(key), Value: fmt.Append(nil, generation)})
			}
			require.NoError(k.T, k.Broker.Produce("pages", 0, records...))
		}
		put(0)
		v := followView(k)
		var readers sync.WaitGroup
		ends := make(chan error, 8)
		for i := range 8 {
			reads := []policy.Read{policy.AllowStale(nil)}[:i%2]
			readers.Go(func() { ends <- readWhole(v, size, reads) })
		}
		for generation := range 30 {
			put(generation)
			b, err := k.Broker.Bounds("pages", 0)
			require.NoError(k.T, err)
			switch generation % 3 {
			case 0: // all that was read is gone
				require.NoError(k.T, k.Broker.DeleteRecords("pages", 0, b.End-size))
			case 1:
				require.NoError(k.T, k.Broker.DeleteTopic("pages"))
				pagesTopic(k, 1)
				put(generation)
			}
			time.Sleep(time.Duration(generation%4) * 500 * time.Millisecond)
		}
		time.Sleep(time.Minute)
		require.Len(k.T, v.requireFold(), size)
		require.NoError(k.T, v.stop())
		readers.Wait()
		for range 8 {
			require.ErrorIs(k.T, <-ends, state.ErrClosed)
		}
	})
}

// readWhole reads until the view is closed; what it returns is never nil.
func readWhole(v *viewing, size int, reads []policy.Read) error {
	for {
		seen := map[string]int{}
		var failed error
		for row, err := range v.Range(reads...) {
			failed = errors.Join(failed, err)
			seen[row.Value]++
		}
		var stale *policy.StaleError
		switch {
		case errors.As(failed, &stale) && len(reads) == 0:
		case failed != nil:
			return failed
		default:
			for generation, n := range seen {
				if len(seen) != 1 || n != size {
					return fmt.Errorf("generation %s has %d rows of %d: %v", generation, n, size, seen)
				}
			}
		}
		if _, ok, err := v.Get("user-7", reads...); err != nil && !errors.As(err, &stale) {
			return err
		} else if err == nil && !ok && len(seen) > 0 {
			return errors.New("a row of every generation is missing")
		}
		time.Sleep(20 * time.Millisecond)
	}
}
