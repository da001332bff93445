//go:build kafka

package e2e_test

import (
	"log/slog"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tarnstream/tarn/codec"
	"github.com/tarnstream/tarn/processor"
	"github.com/tarnstream/tarn/topology"
)

// TestLoginEnds: a broker that ends a login after a while (KIP-368) is logged in to again before: no fetch fails.
func TestLoginEnds(t *testing.T) {
	t.Parallel()
	const lifetime = 30 * time.Second
	g := newGuardedAlone(t, startGuardedWith(t, map[string]string{"connections.max.reauth.ms": strconv.FormatInt(lifetime.Milliseconds(), 10)}))
	g.tables()
	g.grant(onTopic("table", read))
	var l logged
	v, err := processor.NewView(topology.NewTable(g.topic("table"), codec.String),
		g.options(processor.Logger(slog.New(slog.NewTextHandler(&l, nil))))...)
	require.NoError(t, err)
	written := 0
	require.NoError(t, g.run(v.Run, func() bool {
		g.put("table", "a", strconv.Itoa(written))
		written++
		g.passes(lifetime / 45)
		return written > 50
	}))
	require.False(t, l.has("fetch failed"), l.all())
}
