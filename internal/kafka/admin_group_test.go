package kafka_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tarnstream/tarn/devbroker"
	"github.com/tarnstream/tarn/internal/kafka"
)

func TestGroup_OffsetsAndDelete(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		b := newBench(t, devbroker.Virtual())
		for range 2 { // one that has never been, then one that is gone
			members, err := b.client.GroupMembers(t.Context(), "g")
			require.NoError(t, err)
			require.Empty(t, members)
			all, err := b.client.AllOffsets(t.Context(), "g")
			require.NoError(t, err)
			require.Empty(t, all)
			require.NoError(t, b.client.DeleteGroup(t.Context(), "g"))

			want := map[string]map[int32]kafka.Offset{"t": {0: {Position: 7}, 1: {Position: 0}}}
			require.NoError(t, b.client.CommitOffsets(t.Context(), "g", outside, want))
			for _, code := range []devbroker.Code{14, 15, 16} {
				b.broker.Fail(devbroker.Fault{Request: devbroker.OffsetFetch, Group: "g", Err: code, TopLevel: true, Count: 1})
			}
			all, err = b.client.AllOffsets(t.Context(), "g")
			require.NoError(t, err)
			require.Equal(t, want, all)
			require.NoError(t, b.client.DeleteGroup(t.Context(), "g"))
		}
	})
}
