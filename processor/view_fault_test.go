package processor_test

import (
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tarnstream/tarn/devbroker"
	"github.com/tarnstream/tarn/observe"
	"github.com/tarnstream/tarn/policy"
	"github.com/tarnstream/tarn/processor"
	"github.com/tarnstream/tarn/state"
	"github.com/tarnstream/tarn/streamtest"
)

// Whatever happens to the log under a running view, reads and told changes end as the topic is, and readers that do not
// allow it are never answered from another history.
func TestR70_ViewOfALogThatIsReset(t *testing.T) {
	for name, disturb := range map[string]func(k *streamtest.Kit){
		"start raised past it": func(k *streamtest.Kit) {
			held := k.Broker.Hold(devbroker.Fetch, "pages")
			<-held.Arrived()
			fillPages(k, 5, "new")
			b, err := k.Broker.Bounds("pages", 0)
			require.NoError(k.T, err)
			require.NoError(k.T, k.Broker.DeleteRecords("pages", 0, b.End-2))
			held.Release()
		},
		"start raised behind it": func(k *streamtest.Kit) {
			require.NoError(k.T, k.Broker.DeleteRecords("pages", 0, 6))
			fillPages(k, 2, "new")
		},
		"recreated": func(k *streamtest.Kit) {
			require.NoError(k.T, k.Broker.DeleteTopic("pages"))
			pagesTopic(k, 1)
			fillPages(k, 30, "new")
		},
		"recreated empty": func(k *streamtest.Kit) {
			require.NoError(k.T, k.Broker.DeleteTopic("pages"))
			pagesTopic(k, 1)
		},
	} {
		t.Run(name, func(t *testing.T) {
			streamtest.Run(t, func(k *streamtest.Kit) {
				pagesTopic(k, 1)
				fillPages(k, 10, "old")
				v := followView(k)
				for range 3 {
					disturb(k)
					time.Sleep(time.Minute)
					v.requireFold()
					fillPages(k, 10, "old")
					v.requireFold()
				}
				require.NoError(k.T, v.stop())
				require.Equal(k.T, name == "start raised behind it", v.kinds()[observe.Rebuild] == 0)
			})
		})
	}
}

// An older log is put back and written on, as after an unclean election.
func TestR70_R05_ViewOfATruncatedLog(t *testing.T) {
	for name, more := range map[string]int{"shorter": 2, "as long": 10, "longer": 20} {
		t.Run(name, func(t *testing.T) {
			dir, copied := t.TempDir(), t.TempDir()
			streamtest.Run(t, func(k *streamtest.Kit) {
				pagesTopic(k, 1)
				fillPages(k, 5, "kept")
				require.NoError(k.T, k.Broker.Reload(func(dir string) error { return os.CopyFS(copied, os.DirFS(dir)) }))
				v := followView(k)
				fillPages(k, 10, "lost")
				require.Len(k.T, v.requireFold(), 10)
				require.NoError(k.T, k.Broker.Reload(func(dir string) error {
					if err := os.RemoveAll(dir); err != nil {
						return err
					}
					return os.CopyFS(dir, os.DirFS(copied))
				}))
				require.NoError(k.T, k.Broker.MoveLeader("pages", 0, 0))
				for range more {
					writePages(k, "user-0", "other")
				}
				time.Sleep(time.Minute)
				require.Equal(k.T, map[string]string{"user-0": "other", "user-1": "kept", "user-2": "kept", "user-3": "kept", "user-4": "kept"},
					v.requireFold())
				require.NoError(k.T, v.stop())
			}, devbroker.Dir(dir))
		})
	}
}

func TestR70_ViewOfATopicThatIsDeleted(t *testing.T) {
	streamtest.Run(t, func(k *streamtest.Kit) {
		pagesTopic(k, 2)
		fillPages(k, 5, "x")
		v := followView(k)
		require.NoError(k.T, k.Broker.DeleteTopic("pages"))
		reset := ended[*state.LogResetError](v)
		var missing *state.TopicMissingError
		require.ErrorAs(k.T, reset, &missing)
		require.Equal(k.T, "pages", missing.Topic)
	})
}

// A view that waits for its topic answers meanwhile from before, whom it may, and is right when the topic is back.
func TestR70_ViewThatWaitsForItsTopic(t *testing.T) {
	streamtest.Run(t, func(k *streamtest.Kit) {
		v := launchView(k, processor.AwaitTopics())
		time.Sleep(time.Hour)
		_, _, err := v.Get("user-1")
		require.ErrorIs(k.T, err, processor.ErrNotReady)
		pagesTopic(k, 2)
		fillPages(k, 5, "first")
		<-v.Ready()
		v.requireFold()
		for range 2 {
			require.NoError(k.T, k.Broker.DeleteTopic("pages"))
			time.Sleep(3 * time.Hour)
			_, _, err = v.Get("user-1")
			var stale *policy.StaleError
			require.ErrorAs(k.T, err, &stale)
			require.Equal(k.T, "the topic is missing", stale.Cause)
			require.InDelta(k.T, 3*time.Hour, stale.Age, float64(time.Minute))
			require.Len(k.T, v.rows(policy.AllowStale(nil)), 5)
			pagesTopic(k, 2)
			fillPages(k, 3, "second")
			time.Sleep(time.Minute)
			require.Len(k.T, v.requireFold(), 3)
			fillPages(k, 5, "third")
			v.requireFold()
		}
		require.NoError(k.T, k.Broker.DeleteTopic("pages"))
		time.Sleep(time.Hour)
		require.NoError(k.T, v.stop())
	})
}

// Rows are looked for where their key belongs, which another number of partitions changes.
func TestR36_R24_ViewOfATopicThatGrows(t *testing.T) {
	streamtest.Run(t, func(k *streamtest.Kit) {
		pagesTopic(k, 2)
		fillPages(k, 5, "x")
		v := followView(k)
		require.NoError(k.T, k.Broker.AddPartitions("pages", 3))
		grown := ended[*processor.TopicsError](v)
		require.ErrorContains(k.T, grown, "topic pages has 3 partitions, not 2")

		again := ended[*processor.TopicsError](launchView(k))
		require.ErrorContains(k.T, again, "topic pages has 3 partitions, not 2", "nor at the next start")
	})
}

// A topic that was made again has as many partitions as it likes.
func TestR36_R04_ViewOfATopicMadeAgainWithOtherPartitions(t *testing.T) {
	for _, n := range []int{1, 4} {
		streamtest.Run(t, func(k *streamtest.Kit) {
			pagesTopic(k, 2)
			fillPages(k, 5, "x")
			v := followView(k)
			require.NoError(k.T, k.Broker.DeleteTopic("pages"))
			pagesTopic(k, n)                 // and not filled yet: until the ids are compared, a fetch by name would bring rows of either
			ended[*processor.TopicsError](v) // while it runs: what it has told is of other partitions
			fillPages(k, 5, "y")
			for range 2 {
				v = followView(k)
				require.Len(k.T, v.requireFold(), 5)
				require.NoError(k.T, v.stop())
			}
			require.NoError(k.T, k.Broker.AddPartitions("pages", 5))
			ended[*processor.TopicsError](launchView(k))
		})
	}
}

// A read that allows it is answered from before the reset until the partition is current again; another is refused.
func TestR55_ViewWhileItIsRebuilt(t *testing.T) {
	streamtest.Run(t, func(k *streamtest.Kit) {
		pagesTopic(k, 1)
		fillPages(k, 10, "old")
		v := followView(k)
		held := k.Broker.Hold(devbroker.Fetch, "pages")
		<-held.Arrived()
		fillPages(k, 10, "new")
		require.NoError(k.T, k.Broker.DeleteRecords("pages", 0, 15))
		rebuild := k.Broker.Hold(devbroker.Fetch, "pages")
		held.Release()
		<-rebuild.Arrived()
		time.Sleep(10 * time.Second)
		_, _, err := v.Get("user-1")
		var stale *policy.StaleError
		require.ErrorAs(k.T, err, &stale)
		require.Equal(k.T, "checkpoint 10 is below the log start 15", stale.Cause)
		require.InDelta(k.T, 10*time.Second, stale.Age, float64(3*time.Second))
		value, ok, err := v.Get("user-1", policy.AllowStale(nil))
		require.NoError(k.T, err)
		require.True(k.T, ok)
		require.Equal(k.T, "old", value)
		require.Zero(k.T, v.kinds()[observe.Rebuild], "nothing is told before it can be read")
		rebuild.Release()
		require.Len(k.T, v.requireFold(), 5)
		require.Equal(k.T, 10, v.kinds()[observe.Rebuild])
		require.NoError(k.T, v.stop())
	})
}
