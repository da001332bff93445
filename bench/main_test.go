package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/tarnstream/tarn/bench/figures"
	"github.com/tarnstream/tarn/bench/workload"
	"github.com/tarnstream/tarn/devbroker"
)

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == clientCommand { // measure runs this very program
		os.Exit(run(context.Background(), os.Args[1:], os.Stdout))
	}
	goleak.VerifyTestMain(m)
}

// Both clients do the whole work, which compare verifies, and the figures of all are written.
func TestCompare(t *testing.T) {
	b, err := devbroker.Start()
	require.NoError(t, err)
	defer func() { require.NoError(t, b.Close()) }()
	folder := t.TempDir()
	var out bytes.Buffer
	args := []string{"-brokers", b.Addrs()[0], "-records", "3000", "-keys", "100", "-runs", "1", "-out", folder}
	require.Zero(t, run(t.Context(), args, &out), out.String())

	data, err := os.ReadFile(filepath.Join(folder, "results.json"))
	require.NoError(t, err)
	var r result
	require.NoError(t, json.Unmarshal(data, &r))
	var done []string
	for _, s := range r.Summaries {
		require.Positive(t, s.Rate)
		require.Equal(t, 1, s.Runs, "the warm-up does not count")
		done = append(done, s.Client+" "+s.Work)
	}
	require.Equal(t, []string{"fetch fetch", "tarn count", "tarn-at-least-once count", "goka count", "tarn restore", "goka restore"}, done)
	markdown, err := os.ReadFile(filepath.Join(folder, "results.md"))
	require.NoError(t, err)
	require.Contains(t, out.String(), "exactly-once counts ")
	require.Contains(t, string(markdown), figures.Table(r.Summaries, "goka", true))
	require.FileExists(t, filepath.Join(folder, "plot.png"))
	_, _, err = b.Config("bench-events")
	require.Error(t, err, "the topics are deleted at the end")
}

func TestQuickLeavesWhatWasAskedFor(t *testing.T) {
	c, err := parse([]string{"-quick", "-keys", "7"}, io.Discard)
	require.NoError(t, err)
	require.Equal(t, workload.Shape{Partitions: 4, Records: 200_000, Keys: 7, ValueBytes: 100, Seed: 1}, c.shape)
	require.Equal(t, 3, c.runs)
	require.Zero(t, c.warmups)
	require.True(t, c.own)
}

// A rebuild compares restores alone.
func TestRebuild(t *testing.T) {
	b, err := devbroker.Start()
	require.NoError(t, err)
	defer func() { require.NoError(t, b.Close()) }()
	var out bytes.Buffer
	require.Zero(t, run(t.Context(), []string{"rebuild", "-brokers", b.Addrs()[0], "-records", "3000", "-keys", "1500", "-runs", "1"}, &out), out.String())
	require.Contains(t, out.String(), "restore tarn")
	require.NotContains(t, out.String(), "count")
	c, err := parse([]string{"rebuild"}, io.Discard)
	require.NoError(t, err)
	require.Equal(t, workload.Shape{Partitions: 4, Records: 2_000_000, Keys: 1_000_000, ValueBytes: 100, Seed: 1}, c.shape)
}

func TestFlags(t *testing.T) {
	c, err := parse([]string{"-brokers", "a:1,b:2", "-count-ratio", "1.5"}, io.Discard)
	require.NoError(t, err)
	require.Equal(t, []string{"a:1", "b:2"}, c.brokers)
	require.False(t, c.own)
	require.InDelta(t, 1.5, c.countRatio, 0)
	for _, args := range [][]string{{"-runs", "0"}, {"-records", "0"}, {"-value", "1"}, {"extra"}, {"-unknown"}} {
		require.Equal(t, 2, run(t.Context(), args, io.Discard), args)
	}
}

// Each guarantee is compared to what promises the same.
func TestMissed(t *testing.T) {
	all := []figures.Summary{{Work: "count", Client: "tarn", Rate: 24}, {Work: "count", Client: "tarn-at-least-once", Rate: 30}, {Work: "count", Client: "goka", Rate: 10}}
	missed := func(c config) error { return (&bench{config: c}).missed(all) }
	require.NoError(t, missed(config{}))
	require.NoError(t, missed(config{countRatio: 3, guaranteeRatio: 0.8}))
	require.EqualError(t, missed(config{countRatio: 3.1}), "count: tarn-at-least-once is 3.00 times as fast as goka, asked for is 3.10")
	require.EqualError(t, missed(config{guaranteeRatio: 0.85}), "count: tarn is 0.80 times as fast as tarn-at-least-once, asked for is 0.85")
}

// The two guarantees alone are compared, each first in its turn.
func TestGuarantees(t *testing.T) {
	b, err := devbroker.Start()
	require.NoError(t, err)
	defer func() { require.NoError(t, b.Close()) }()
	var out bytes.Buffer
	args := []string{"guarantees", "-brokers", b.Addrs()[0], "-records", "3000", "-keys", "100", "-runs", "1", "-guarantee-ratio", "0.001"}
	require.Zero(t, run(t.Context(), args, &out), out.String())
	require.Contains(t, out.String(), "of tarn-at-least-once")
	require.NotContains(t, out.String(), "count   goka")
	require.NotContains(t, out.String(), "restore")
	require.Equal(t, 1, run(t.Context(), append(args, "-guarantee-ratio", "1000"), &out), "it is asked for too much")
	c, err := parse([]string{"guarantees"}, io.Discard)
	require.NoError(t, err)
	require.Equal(t, workload.Shape{Partitions: 4, Records: 1_000_000, Keys: 100_000, ValueBytes: 100, Seed: 1}, c.shape)
	require.Equal(t, 3, c.runs)
	require.Equal(t, 2, run(t.Context(), []string{"guarantees", "-count-ratio", "1"}, io.Discard), "there is no goka")
}

func TestTurned(t *testing.T) {
	clients := []string{"a", "b", "c"}
	require.Equal(t, []string{"c", "a", "b"}, turned(clients, -1), "the warm-up")
	require.Equal(t, clients, turned(clients, 0))
	require.Equal(t, []string{"b", "c", "a"}, turned(clients, 1))
	require.Empty(t, turned(nil, 1))
}

func TestClientRefusesNonsense(t *testing.T) {
	require.Error(t, client(t.Context(), bytes.NewReader(nil), io.Discard))
	require.Error(t, client(t.Context(), bytes.NewBufferString(`{"Client":"nobody"}`), io.Discard))
}

// Each guarantee's records are timed on their way through a group.
func TestLatency(t *testing.T) {
	b, err := devbroker.Start()
	require.NoError(t, err)
	defer func() { require.NoError(t, b.Close()) }()
	var out bytes.Buffer
	args := []string{"latency", "-brokers", b.Addrs()[0], "-rate", "500", "-time", "400ms", "-warmup", "200ms", "-keys", "100", "-runs", "1", "-commit-interval", "50ms"}
	require.Zero(t, run(t.Context(), args, &out), out.String())
	require.Regexp(t, `│ tarn +│ +200 │`, out.String(), "those after the warm-up")
	require.Regexp(t, `│ tarn-at-least-once +│ +200 │`, out.String())
	for _, wrong := range [][]string{{"-rate", "0"}, {"-time", "0s"}, {"-warmup", "-1s"}, {"-commit-interval", "0s"}, {"-keys", "0"}, {"-runs", "0"}} {
		require.Equal(t, 2, run(t.Context(), append([]string{"latency"}, wrong...), io.Discard), wrong)
	}
}
