package main

import (
	"bytes"
	"context"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

// asChaos, set in the environment, makes the test binary the program itself: it runs members.
const asChaos = "CHAOS_TEST_AS_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asChaos) != "" {
		main()
	}
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("github.com/rcrowley/go-metrics.(*meterArbiter).tick")) // sarama's, for the life of the process
}

func TestUsage(t *testing.T) {
	for _, args := range [][]string{{"-for", "0s"}, {"-keys", "-1"}, {"-brokers", "2"}, {"-guarantee", "at-most-once"}, {"-broken", "all"}, {"-broken", "offsets", "-guarantee", "at-least-once"}, {"more"}, {"-what"}} {
		require.Equal(t, statusUsage, program(t.Context(), args, new(bytes.Buffer)), "%q", args)
	}
	require.Zero(t, program(t.Context(), []string{"-h"}, new(bytes.Buffer)))
}

// The same seed draws the same faults, and no fault comes again before all others came.
func TestScript(t *testing.T) {
	draw := func(seed uint64) (names []string) {
		s := newScript(onProcesses(), seed, 1, time.Second)
		for range 3 * len(s.faults) {
			s.pause()
			names = append(names, s.draw().name)
		}
		return names
	}
	names := draw(7)
	require.Equal(t, names, draw(7))
	require.NotEqual(t, names, draw(8))
	n := len(onProcesses())
	require.ElementsMatch(t, names[:n], names[n:2*n])
}

func TestMember_ThatCannotRun(t *testing.T) {
	require.Equal(t, statusBad, member(context.Background(), []string{"-guarantee", string(atLeastOnce)}), "no brokers")
}

func TestFigures(t *testing.T) {
	require.Equal(t, "-", figures(nil))
	require.Equal(t, "median 2.0 s, longest 9.0 s", figures([]time.Duration{9 * time.Second, time.Second, 2 * time.Second}))
}
