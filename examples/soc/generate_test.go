package main

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func generated(t *testing.T, seed uint64) []string {
	t.Helper()
	var texts []string
	for line, err := range generate(seed, 2026) {
		require.NoError(t, err)
		require.EqualValues(t, len(texts)+1, line.Number)
		texts = append(texts, line.Text)
	}
	return texts
}

func TestGenerate_SameSeedSameLines(t *testing.T) {
	require.Equal(t, generated(t, 1), generated(t, 1))
	require.NotEqual(t, generated(t, 1), generated(t, 2))
}

// Whatever the seed, the story is told: each of the four is found for what it
// is, nobody at work is accused, and there is no line that cannot be read.
func TestGenerate_TellsTheStory(t *testing.T) {
	first := rand.Uint64()
	t.Logf("seeds from %d", first)
	for seed := range uint64(20) {
		seed += first
		s, err := direct(generate(seed, 2026), 2026)
		require.NoError(t, err)
		require.InDelta(t, generatedLines, s.Lines, 10)
		require.Empty(t, s.Rejects)
		require.Positive(t, s.Accepted)
		found := make(map[string]bool)
		for _, alert := range s.Alerts {
			found[fmt.Sprintf("%s %s", alert.Rule, alert.Address)] = true
		}
		require.Equal(t, map[string]bool{
			"brute-force " + bruteForcer:     true,
			"user-enumeration " + enumerator: true,
			"compromise " + intruder:         true,
			"break-in-attempt " + impostor:   true,
		}, found, "seed %d", seed)
	}
}

// The log is in order of time, as a daemon writes it.
func TestGenerate_InOrder(t *testing.T) {
	texts := generated(t, 1)
	require.True(t, slices.IsSortedFunc(texts, func(a, b string) int { return strings.Compare(a[:15], b[:15]) }))
}
