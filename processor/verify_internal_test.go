package processor

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tarnstream/tarn/internal/scope"
)

// What is compared is what Kafka has, at one position, whatever is committed and flushed while it is taken.
func TestCellSnapshot_IsOfOneMoment(t *testing.T) {
	c, m := layeredCell(t)
	at := c.check.Position
	m.before = func() {
		m.before = func() {}
		late := []scope.Change{{Key: "a", Value: []byte("late"), Offset: at}, {Key: "z", Value: []byte("late"), Offset: at + 1}}
		_, gap := c.promote(late, nil, time.Now())
		require.False(t, gap)
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		_, _, err := c.flush(ctx, epochPatience)
		require.ErrorIs(t, err, context.DeadlineExceeded, "no flush may come in between")
	}
	table, err := c.snapshot(t.Context())
	require.NoError(t, err)
	require.Equal(t, at, table.Checkpoint.Position)
	var got []string
	for table.Rows.Next() {
		row := table.Rows.Row()
		require.Less(t, row.Offset, at)
		got = append(got, fmt.Sprintf("%s=%s@%d", table.Rows.Key(), row.Value, row.Offset))
	}
	require.NoError(t, table.Rows.Close())
	require.Equal(t, []string{"a=store@0", "b=frozen@5", "c=committed@9", "d=committed@10", "e=store@4", "g=committed@12"}, got,
		"without what is sealed")
	require.NoError(t, flushOne(t, c), "flushes go on")

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	c.flushing <- struct{}{}
	_, err = c.snapshot(ctx)
	require.ErrorIs(t, err, context.Canceled)
	<-c.flushing
}
