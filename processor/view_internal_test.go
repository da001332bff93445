package processor

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tarnstream/tarn/internal/bubbletest"
	"github.com/tarnstream/tarn/observe"
	"github.com/tarnstream/tarn/state"
)

// whole is a store that shows a log up to 10.
type whole struct{ state.Store }

func (whole) Checkpoint() (state.Checkpoint, bool) { return state.Checkpoint{Position: 10}, true }
func (whole) Stale() (string, bool)                { return "", false }

// A rebuilt store shows the log a moment before reads are told that it is current: Sync is not over before that.
func TestSync_WaitsUntilReadsAreTold(t *testing.T) {
	bubbletest.Run(t, func(t *testing.T) {
		p := newPart(observe.Place{}, whole{}, nil)
		p.ready()
		p.setDoubt("the log was reset")
		began := time.Now()
		time.AfterFunc(time.Second, func() { p.ready() })
		require.NoError(t, p.reached(t.Context(), 10))
		require.GreaterOrEqual(t, time.Since(began), time.Second)

		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		require.Error(t, p.reached(ctx, 11))
	})
}
