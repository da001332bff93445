//go:build kafka

package e2e_test

import (
	"log/slog"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tarnstream/tarn/internal/inspect"
	"github.com/tarnstream/tarn/processor"
)

// TestLesserRights: what is done with less than all rights, and who hears of it.
func TestLesserRights(t *testing.T) {
	cluster := startGuarded(t)

	// What may not be known of a topic is taken for the careful thing.
	t.Run("view without DescribeConfigs", func(t *testing.T) {
		g, said := newGuarded(t, cluster), &logged{}
		jobs["view"].before(g)
		g.grant(onTopic("table", read))
		require.NoError(t, g.views(processor.Logger(slog.New(slog.NewTextHandler(said, nil)))))
		require.True(t, said.has("level=WARN", "topic configs may not be read", "no right to DescribeConfigs on topic "+g.topic("table")))
	})
	t.Run("tarn state plan and verify", func(t *testing.T) {
		g := newGuarded(t, cluster)
		g.tables()
		g.put("table", "a", "there")
		startView(g.site, g.dir).current().stop()
		try := func() (inspect.Planned, inspect.Audited) {
			k, of := g.inspect()
			planned, err := k.Plan(t.Context(), of, time.Now())
			require.NoError(t, err)
			require.Len(t, planned, 1)
			var audits []inspect.Audited
			require.NoError(t, k.Verify(t.Context(), of, inspect.Text, func(a inspect.Audited) { audits = append(audits, a) }))
			require.Len(t, audits, 1)
			return planned[0], audits[0]
		}
		planned, audited := try()
		require.Equal(t, "unknown", planned.Decision)
		require.Contains(t, planned.Cause, "no right to Describe on topic "+g.topic("table"))
		require.Contains(t, audited.Cause, "no right to Describe on topic "+g.topic("table"))

		rights := onTopic("table", describe)
		g.grant(rights)
		planned, audited = try()
		require.NotEqual(t, "unknown", planned.Decision)
		require.Contains(t, audited.Cause, "no right to Read on topic "+g.topic("table"))

		g.grant(slices.Concat(rights, onTopic("table", read)))
		_, audited = try()
		require.Equal(t, inspect.Equal, audited.Verdict)
	})
}
