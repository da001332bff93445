package processor_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tarnstream/tarn/codec"
	"github.com/tarnstream/tarn/processor"
	"github.com/tarnstream/tarn/state"
	"github.com/tarnstream/tarn/streamtest"
	"github.com/tarnstream/tarn/topology"
)

// A topic that is deleted under a running processor ends it with an error that names it, and so does the next start, save
// for an output, which is created again.
func TestTopicDeletedWhileRunning(t *testing.T) {
	for _, topic := range []string{"clicks", "clicks-count", "out"} {
		t.Run(topic, func(t *testing.T) {
			out := topology.NewStream("out", codec.String)
			g := define(t, "clicker", topology.Persist(counts), topology.Output(out), topology.Input(clicks,
				func(ctx *topology.Context, v string) error {
					if err := onClick(ctx, v); err != nil {
						return err
					}
					return out.Emit(ctx, ctx.Key(), v)
				}))
			streamtest.Run(t, func(k *streamtest.Kit) {
				k.Topic("clicks", 2)
				a := k.Start(g)
				click(k, g, users(10)...)
				require.NoError(k.T, k.Broker.DeleteTopic(topic))
				deleted := time.Now()
				if topic != "clicks" {
					k.Send("clicks", "user-1", "x")
				}
				err := a.Wait()
				var missing *state.TopicMissingError
				require.ErrorAs(k.T, err, &missing)
				require.Equal(k.T, topic, missing.Topic)
				require.Less(k.T, time.Since(deleted), 2*time.Minute)

				again := k.Launch("a", g)
				switch topic {
				case "clicks":
					require.ErrorAs(k.T, again.Wait(), &missing)
				case "clicks-count":
					require.ErrorAs(k.T, again.Wait(), new(*processor.MissingTableError))
				case "out": // it is the group's to make
					k.Settle(g)
					require.Len(k.T, k.Records("out"), 1)
					require.GreaterOrEqual(k.T, streamtest.Rows(k, counts)["user-1"], int64(2))
				}
			})
		})
	}
}
