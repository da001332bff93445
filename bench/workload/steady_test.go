package workload

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tarnstream/tarn/internal/bubbletest"
	"github.com/tarnstream/tarn/internal/kafka"
)

// TestSteady_StandstillIsCounted: while a request stands still no record can be sent. Those that were due meanwhile have
// waited, however fast they are afterwards.
func TestSteady_StandstillIsCounted(t *testing.T) {
	bubbletest.Run(t, func(t *testing.T) {
		s := Steady{Shape: Shape{Partitions: 2, Keys: 10, ValueBytes: 20, Seed: 1}, Rate: 1000, Warmup: time.Second, Measured: time.Second}
		require.NoError(t, s.Fault())
		f, requests := newFlow(s), 0
		close(f.first)
		require.NoError(t, f.feed(t.Context(), func(_ context.Context, batches []kafka.OutBatch) error {
			if requests++; requests == 1500 {
				time.Sleep(300 * time.Millisecond)
			}
			for _, b := range batches {
				for _, r := range b.Records {
					micros, err := numberOf(r.Value)
					require.NoError(t, err)
					f.passed = append(f.passed, passed{time.Duration(micros) * time.Microsecond, time.Since(f.epoch)})
				}
			}
			return nil
		}))
		took, err := f.taken()
		require.NoError(t, err)
		require.Len(t, took, 1000, "the warm-up is left out")
		slices.Sort(took)
		require.LessOrEqual(t, took[600], pace, "most go at once")
		require.Greater(t, took[850], 100*time.Millisecond, "a fifth of the second went by with records waiting for more than that")
		require.InDelta(t, 300*time.Millisecond, took[999], float64(2*pace))
	})
}

func TestSteady_LossIsAnError(t *testing.T) {
	f := newFlow(Steady{Rate: 2, Measured: time.Second})
	f.sent = 500_000
	f.passed = []passed{{due: 0}, {due: 0}, {due: 500 * time.Millisecond}}
	took, err := f.taken()
	require.NoError(t, err)
	require.Len(t, took, 3)
	f.passed[1].due = 500 * time.Millisecond
	_, err = f.taken()
	require.ErrorContains(t, err, "not each once")
	f.passed = f.passed[:2]
	_, err = f.taken()
	require.ErrorContains(t, err, "2 records of 3")
}
