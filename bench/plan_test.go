package main

import (
	"bytes"
	"io"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tarnstream/tarn/bench/workload"
)

func names(sections []section) (out []string) {
	for _, s := range sections {
		out = append(out, s.name)
	}
	return out
}

func parsed(t *testing.T, args ...string) config {
	t.Helper()
	c, err := parse(args, io.Discard)
	require.NoError(t, err)
	return c
}

func TestParse_Sections(t *testing.T) {
	require.Equal(t, []string{"count", "rebuild"}, names(parsed(t).sections))
	require.Equal(t, []string{"count", "rebuild", "restart"}, names(parsed(t, "-targets").sections))
	require.Equal(t, []string{"count", "map"}, names(parsed(t, "map", "count").sections), "in their order")
	require.Equal(t, names(sections()), names(parsed(t, "all").sections))
	require.Equal(t, []string{"map"}, names(parsed(t, "map", "-targets").sections), "what is named is what is measured")
}

func TestParse_Sizes(t *testing.T) {
	shape := func(c config) workload.Shape { return c.sections[0].trials[0].shape }
	require.Equal(t, workload.Shape{Partitions: 4, Records: 2_000_000, Keys: 100_000, ValueBytes: 100, Seed: 1}, shape(parsed(t, "count")))
	require.Equal(t, workload.Shape{Partitions: 4, Records: 5_000_000, Keys: 5_000_000, ValueBytes: 100, Seed: 1}, shape(parsed(t, "count-keys")))
	require.Equal(t, workload.Shape{Partitions: 4, Records: 2_000_000, Keys: 100_000, ValueBytes: 1024, Seed: 1}, shape(parsed(t, "count-values")))
	require.Equal(t, workload.Shape{Partitions: 4, Records: 2_000_000, Keys: 1_000_000, ValueBytes: 100, Seed: 1}, shape(parsed(t, "rebuild")))
	require.Equal(t, workload.Shape{Partitions: 4, Records: 10_000_000, Keys: 5_000_000, ValueBytes: 100, Seed: 1}, shape(parsed(t, "rebuild-large")))
	require.Equal(t, workload.Shape{Partitions: 9, Records: 200_000, Keys: 7, ValueBytes: 50, Seed: 3},
		shape(parsed(t, "count", "-scale", "0.1", "-keys", "7", "-value", "50", "-partitions", "9", "-seed", "3")))
	c := parsed(t, "-quick", "-runs", "4", "-keys", "7")
	require.Equal(t, workload.Shape{Partitions: 4, Records: 500_000, Keys: 7, ValueBytes: 100, Seed: 1}, shape(c), "what is asked for wins")
	require.Equal(t, 4, c.runs)
	require.Zero(t, c.warmups)
	require.True(t, c.own)
	for _, s := range c.sections {
		for _, trial := range s.trials {
			for _, e := range trial.clients {
				require.Contains(t, []string{"tarn", "tarn-at-least-once", "goka"}, e.name)
			}
		}
	}
}

func TestParse_Flags(t *testing.T) {
	c := parsed(t, "-brokers", "a:1, b:2", "-count-ratio", "1.5")
	require.Equal(t, []string{"a:1", "b:2"}, c.brokers)
	require.False(t, c.own)
	require.Len(t, c.asked, 1)
	require.InDelta(t, 1.5, c.asked[0].Least, 0)
	for _, args := range [][]string{{"-runs", "0"}, {"-warmups", "-1"}, {"-records", "-1"}, {"-value", "1"}, {"nonsense"}, {"-unknown"}, {"-runs", "1", "count"},
		{"latency", "-latency-rate", "0"}, {"latency", "-latency-time", "0s"}, {"latency", "-latency-warmup", "-1s"}, {"-commit-intervals", "0s"}, {"-commit-intervals", "often"}, {"-commit-intervals", ""}, {"-commit-intervals", "1ms,1ms"}, {"-commit-intervals", "500us"}, {"-scale", "0"},
		{"-memory-options", "much"}, {"-embedded", "-brokers", "a:1"}, {"-doc", "a.md"}, {"grow-keys", "-keys", "3"}, {"count", "-clients", "tarn,nobody"}, {"memory", "-clients", "goka"}} {
		require.Equal(t, 2, run(t.Context(), args, io.Discard), args)
	}
}

// Every section tells a newcomer what it is, and each client of a target takes part in its work.
func TestPlan(t *testing.T) {
	var usage bytes.Buffer
	_, err := parse([]string{"-h"}, &usage)
	require.Error(t, err)
	takesPart := map[string]bool{}
	for _, s := range sections() {
		require.Contains(t, usage.String(), s.name)
		require.Contains(t, usage.String(), s.about)
		for _, trial := range s.trials {
			for _, e := range trial.clients {
				takesPart[trial.work+" "+e.name] = true
			}
		}
	}
	for _, target := range targets() {
		require.True(t, takesPart[target.Work+" "+target.Client], target)
		if target.Limit == 0 {
			require.True(t, takesPart[target.Work+" "+target.Peer], target)
		}
	}
}

func TestTurned(t *testing.T) {
	clients := entrants("a", "b", "c")
	require.Equal(t, entrants("c", "a", "b"), turned(clients, -1), "the warm-up")
	require.Equal(t, clients, turned(clients, 0))
	require.Equal(t, entrants("b", "c", "a"), turned(clients, 1))
	require.Empty(t, turned[entrant](nil, 1))
}

// A restart's first process ends at places that lie evenly between two flushes.
func TestTrafficOf(t *testing.T) {
	of := func(runs int) (all []time.Duration) {
		b := &bench{config: config{runs: runs}}
		for round := -1; round < runs; round++ {
			all = append(all, b.trafficOf(round))
		}
		return all
	}
	require.Equal(t, []time.Duration{5 * time.Second, 5 * time.Second, 6 * time.Second, 7 * time.Second, 8 * time.Second, 9 * time.Second}, of(5))
	require.Equal(t, []time.Duration{7500 * time.Millisecond, 7500 * time.Millisecond}, of(1))
}
