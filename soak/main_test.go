package main

import (
	"bytes"
	"os"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

// asSoak, set in the environment, makes the test binary the program itself: it runs members.
const asSoak = "SOAK_TEST_AS_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asSoak) != "" {
		main()
	}
	goleak.VerifyTestMain(m,
		goleak.IgnoreTopFunction("github.com/syndtr/goleveldb/leveldb.(*DB).mpoolDrain"), // ends a second after its DB
		goleak.IgnoreTopFunction("github.com/rcrowley/go-metrics.(*meterArbiter).tick"))  // sarama's, for the life of the process
}

// A short soak. The long one is a part of .ci/run.
func TestSoak(t *testing.T) {
	t.Setenv(asSoak, "yes")
	var out bytes.Buffer
	code := run(t.Context(), []string{"-for", "4s", "-keys", "50", "-rate", "200", "-dir", t.TempDir()}, &out)
	t.Log(out.String())
	require.Zero(t, code)
	require.Contains(t, out.String(), "soak: ok")
}

func TestUsage(t *testing.T) {
	for _, args := range [][]string{{"-for", "0s"}, {"-keys", "-1"}, {"more"}, {"-what"}} {
		require.Equal(t, 2, run(t.Context(), args, new(bytes.Buffer)), "%q", args)
	}
	require.Zero(t, run(t.Context(), []string{"-h"}, new(bytes.Buffer)))
}

func TestEqual_NamesWhatDiffers(t *testing.T) {
	want := map[string]int64{"a": 1, "b": 2}
	require.NoError(t, equal(map[string]int64{"a": 1, "b": 2}, want))
	require.ErrorContains(t, equal(map[string]int64{"a": 1}, want), "key b: 0, not 2")
	require.ErrorContains(t, equal(map[string]int64{"a": 1, "b": 2, "c": 3}, want), "key c: 3, but")
}

// What is left behind is found.
func TestCensus_FindsALeak(t *testing.T) {
	before, err := count()
	require.NoError(t, err)
	require.NoError(t, before.compare())
	stop := make(chan struct{})
	go func() { <-stop }()
	require.ErrorContains(t, before.compare(), "goroutines are left")
	close(stop)
	if before.files < 0 {
		t.Skip("file handles cannot be counted here")
	}
	f, err := os.Open(os.DevNull)
	require.NoError(t, err)
	require.ErrorContains(t, before.compare(), "file handles were open before")
	require.NoError(t, f.Close())
	require.NoError(t, before.compare())
}
