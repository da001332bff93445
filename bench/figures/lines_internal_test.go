package figures

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestSteps(t *testing.T) {
	var labels []string
	for _, tick := range steps(0.3, 120) {
		labels = append(labels, tick.Label)
	}
	require.Equal(t, []string{"0.5", "1", "2", "5", "10", "20", "50", "100"}, labels)
}

func TestEven(t *testing.T) {
	var labels []string
	for _, tick := range even(0, 52_000) {
		if !tick.IsMinor() {
			labels = append(labels, tick.Label)
		}
	}
	require.Equal(t, []string{"0", "25000", "50000"}, labels)
}
