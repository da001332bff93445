package invariant_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/tarnstream/tarn/internal/invariant"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestCheckHolds(t *testing.T) {
	require.NotPanics(t, func() { invariant.Check(true, "never seen %d", 1) })
}

func TestCheckBroken(t *testing.T) {
	broken := func() { invariant.Check(false, "position %d above end %d", 7, 5) }
	if invariant.Enabled {
		require.PanicsWithValue(t, "invariant: position 7 above end 5", broken)
		return
	}
	require.NotPanics(t, broken)
}

// A check that holds, or is switched off, leaves nothing to the garbage collector.
func TestCheckCostsNothing(t *testing.T) {
	if invariant.Enabled {
		t.Skip("the checks are enabled in this build")
	}
	position, end := int64(1000), int64(2000)
	allocs := testing.AllocsPerRun(100, func() {
		position++
		invariant.Check(position <= end, "position %d above end %d", position, end)
	})
	require.Zero(t, allocs)
}
