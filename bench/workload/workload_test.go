package workload

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "client" { // Measure runs this very program
		os.Exit(asClient())
	}
	goleak.VerifyTestMain(m)
}

func asClient() int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	var j Job
	err := json.NewDecoder(os.Stdin).Decode(&j)
	if err == nil {
		var out Outcome
		if out, err = Run(ctx, j); err == nil {
			err = json.NewEncoder(os.Stdout).Encode(out)
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

func TestUnknownJob(t *testing.T) {
	_, err := Run(t.Context(), Job{Client: Goka, Work: Fetch})
	require.ErrorContains(t, err, `no client "goka" for "fetch"`)
}

func TestShapeFaults(t *testing.T) {
	good := Shape{Partitions: 1, Records: 1, Keys: 1, ValueBytes: numberBytes}
	require.NoError(t, good.Fault())
	for _, spoil := range []func(*Shape){
		func(s *Shape) { s.Partitions = 0 }, func(s *Shape) { s.Records = 0 }, func(s *Shape) { s.Keys = -1 },
		func(s *Shape) { s.ValueBytes = numberBytes - 1 },
	} {
		s := good
		spoil(&s)
		require.Error(t, s.Fault())
	}
}

func TestPeakOf(t *testing.T) {
	require.Equal(t, int64(2048<<10), peakOf("VmPeak:\t    9999 kB\nVmHWM:\t    2048 kB\nVmRSS:\t 12 kB\n"))
	require.Zero(t, peakOf("nothing of the kind"))
	if _, err := os.Stat("/proc/self/status"); err == nil {
		require.Positive(t, PeakMemory())
	}
}

func TestClock(t *testing.T) {
	c := newClock(1000)
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for range 250 {
				c.tick()
			}
		})
	}
	require.NoError(t, c.wait(t.Context(), nil))
	all.Wait()
	var out Outcome
	c.stop(&out)
	require.Positive(t, out.Warm)
	require.Less(t, out.Warm, out.Seconds, "the first quarter is no part of it")

	ended := make(chan error, 1)
	ended <- errors.New("trouble")
	require.ErrorContains(t, newClock(1).wait(t.Context(), ended), "it ended after 0 records: trouble")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("enough"))
	require.ErrorContains(t, newClock(1).wait(ctx, nil), "enough")
}
