//go:build invariants

package invariant_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tarnstream/tarn/internal/invariant"
)

func TestTagEnables(t *testing.T) { require.True(t, invariant.Enabled) }
