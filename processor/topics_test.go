package processor_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tarnstream/tarn/codec"
	"github.com/tarnstream/tarn/devbroker"
	"github.com/tarnstream/tarn/processor"
	"github.com/tarnstream/tarn/state"
	"github.com/tarnstream/tarn/streamtest"
	"github.com/tarnstream/tarn/topology"
)

func TestTopics_MissingInput(t *testing.T) {
	streamtest.Run(t, func(k *streamtest.Kit) {
		var missing *state.TopicMissingError
		require.ErrorAs(k.T, k.Launch("a", clicker(k.T)).Wait(), &missing)
		require.Equal(k.T, "clicks", missing.Topic)
		require.Zero(k.T, k.Broker.TopicID("clicks-count"), "nothing is created for a group that cannot run")
	})
}

func TestR36_EveryMismatchIsNamedAtOnce(t *testing.T) {
	var (
		other = topology.NewStream("other", codec.String)
		out   = topology.NewStream("out", codec.String, topology.Partitions(5))
		bad   = topology.NewTable("deleting", codec.String)
	)
	g := define(t, "clicker", topology.Input(clicks, onClick), topology.Input(other, ignore), topology.Output(out),
		topology.Persist(counts), topology.Persist(bad))
	streamtest.Run(t, func(k *streamtest.Kit) {
		k.Topic("clicks", 4)
		k.Topic("other", 3)
		k.Topic("out", 2)
		k.Topic("clicks-count", 7, "cleanup.policy", "compact")
		k.Topic("deleting", 3, "cleanup.policy", "delete")
		err := k.Launch("a", g).Wait()
		var faults *processor.TopicsError
		require.ErrorAs(k.T, err, &faults)
		for _, part := range []string{"other have 3", "clicks have 4", "clicks-count has 7", "deleting has cleanup.policy=delete", "out has 2 partitions, its handle says 5"} {
			require.ErrorContains(k.T, err, part)
		}
	})
}

// What an operator did to a table's topic is said at the start, or refused where rows would go.
func TestR35_ConfigsOfATable(t *testing.T) {
	for name, c := range map[string]struct {
		configs []string
		warning string
	}{
		"compact":         {[]string{"cleanup.policy", "compact"}, ""},
		"deletes too":     {[]string{"cleanup.policy", "compact,delete"}, "also deletes by age or size"},
		"short retention": {[]string{"cleanup.policy", "compact", "delete.retention.ms", "599999"}, "forgets deletions soon"},
		"long retention":  {[]string{"cleanup.policy", "compact", "delete.retention.ms", "600000"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			streamtest.Run(t, func(k *streamtest.Kit) {
				k.Topic("clicks", 1)
				k.Topic("clicks-count", 1, c.configs...)
				var l logged
				k.Start(clicker(k.T), l.option())
				require.Equal(k.T, c.warning != "", l.count("level=WARN") > 0, l.text.String())
				require.Positive(k.T, l.count(c.warning))
			})
		})
	}
}

func TestR71_MissingTableIsNotMadeAgainUnasked(t *testing.T) {
	for name, forget := range map[string]func(k *streamtest.Kit){
		"state on disk":     func(*streamtest.Kit) {},
		"committed offsets": func(k *streamtest.Kit) { require.NoError(k.T, os.RemoveAll(filepath.Join(k.Dir, "a"))) },
	} {
		t.Run(name, func(t *testing.T) {
			streamtest.Run(t, func(k *streamtest.Kit) {
				k.Topic("clicks", 2)
				g := clicker(k.T)
				a := k.Start(g)
				click(k, g, users(5)...)
				require.NoError(k.T, a.Stop())
				require.NoError(k.T, k.Broker.DeleteTopic("clicks-count"))
				forget(k)

				var missing *processor.MissingTableError
				require.ErrorAs(k.T, k.Launch("a", g).Wait(), &missing)
				require.Equal(k.T, "clicks-count", missing.Table)
				require.Zero(k.T, k.Broker.TopicID("clicks-count"))

				require.Empty(k.T, requireFold(k, k.Start(g, processor.RecreateTables()), users(5)...))
			})
		})
	}
}

// A topic that is made again while a process starts is gone for some of its questions: when the topics are noted, or when its producer
// begins, which asks for their limits.
func TestStart_WhileATopicIsMadeAgain(t *testing.T) {
	for name, c := range map[string]struct {
		before, gone int // questions that are answered, and those that are not
		options      []processor.Option
	}{
		"noted":                       {1, 1, nil},
		"its producer, exactly once":  {2, 2, nil},
		"its producer, at least once": {2, 2, []processor.Option{processor.AtLeastOnce()}},
	} {
		t.Run(name, func(t *testing.T) {
			streamtest.Run(t, func(k *streamtest.Kit) {
				k.Topic("clicks", 2)
				g := clicker(k.T)
				require.NoError(k.T, k.StartAs("a", g, c.options...).Stop())
				look := k.Broker.Hold(devbroker.DescribeConfigs, "")
				a := k.Launch("a", g, c.options...)
				for range c.before {
					<-look.Arrived()
					next := k.Broker.Hold(devbroker.DescribeConfigs, "")
					look.Release()
					look = next
				}
				k.Send("clicks", "user-0", "x") // at-least-once makes its producer for it
				<-look.Arrived()
				k.FailNext(devbroker.DescribeConfigs, devbroker.UnknownTopic, c.gone)
				look.Release()
				click(k, g, users(5)...)
				require.Len(k.T, requireFold(k, a, users(5)...), 5)
			})
		})
	}
}

func TestR42_OneProcessorForAStateDirectory(t *testing.T) {
	streamtest.Run(t, func(k *streamtest.Kit) {
		k.Topic("clicks", 1)
		k.Start(clicker(k.T))
		var locked *state.LockedError
		require.ErrorAs(k.T, k.Launch("a", clicker(k.T)).Wait(), &locked)
		require.Equal(k.T, os.Getpid(), locked.PID)
	})
}

func TestNew_ReportsAllFaultsAtOnce(t *testing.T) {
	_, err := processor.New(clicker(t), processor.CommitInterval(-1))
	for _, part := range []string{"no broker given", "no state directory given", "commit interval"} {
		require.ErrorContains(t, err, part)
	}
}

func TestRun_UnwritableStateDirectory(t *testing.T) {
	streamtest.Run(t, func(k *streamtest.Kit) {
		k.Topic("clicks", 1)
		file := filepath.Join(k.Dir, "a")
		require.NoError(k.T, os.WriteFile(file, nil, 0o644)) // a file where the folder should be
		err := k.Launch("a", clicker(k.T)).Wait()
		require.ErrorContains(k.T, err, file)
	})
}
