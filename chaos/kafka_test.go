//go:build kafka

package main

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tarnstream/tarn/internal/realkafka"
)

// runProgram runs the program on a real Kafka. The long run is a part of .ci/run.
func runProgram(t *testing.T, args ...string) (status int, out string) {
	if err := realkafka.Missing(); err != nil {
		t.Skip(err)
	}
	t.Setenv(asChaos, "yes")
	var told bytes.Buffer
	status = program(t.Context(), append(args, "-dir", t.TempDir()), &told)
	t.Log(told.String())
	return status, told.String()
}

func TestChaos(t *testing.T) {
	for _, g := range []guarantee{exactlyOnce, atLeastOnce} {
		t.Run(string(g), func(t *testing.T) {
			status, out := runProgram(t, "-for", "20s", "-guarantee", string(g))
			require.Zero(t, status)
			require.Contains(t, out, "chaos: ok")
		})
	}
}

// A group that commits offsets before its outputs are in Kafka does not pass: kills lose them.
func TestChaos_BrokenGroupIsFound(t *testing.T) {
	status, out := runProgram(t, "-for", "20s", "-broken", "outputs", "-seed", "76") // it begins with two kills of processes
	require.Equal(t, statusBad, status)
	require.Regexp(t, `FAILED: [1-9]\d* lost`, out)
}
