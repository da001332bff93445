package processor

import (
	"context"
	"errors"
	"fmt"

	"github.com/tarnstream/tarn/internal/kafka"
	"github.com/tarnstream/tarn/internal/scope"
	"github.com/tarnstream/tarn/state"
	"github.com/tarnstream/tarn/topology"
)

// Lag tells how many offsets of its inputs and loops a group has not committed yet, over all partitions and whoever runs
// it. 0 means that everything in them has taken its effect. Under exactly-once the process that has a task hears of its commit
// a moment after Kafka: for reads of its own tables ask Processor.Lag. It asks Kafka and needs the Brokers option.
func Lag(ctx context.Context, group *topology.Group, options ...Option) (int64, error) {
	conf, err := configure(false, options)
	if err != nil {
		return 0, err
	}
	client, done, err := conf.connect("tarn")
	if err != nil {
		return 0, err
	}
	defer done()
	ctx, cancel := conf.starting(ctx)
	defer cancel()
	if err := client.kafka.Connect(ctx); err != nil {
		return 0, err
	}
	return lagOf(ctx, client.kafka, group.Description())
}

func lagOf(ctx context.Context, client *kafka.Client, g *scope.Group) (int64, error) {
	want, err := inputPartitions(ctx, client, g)
	if err != nil {
		return 0, err
	}
	committed, err := client.CommittedOffsets(ctx, g.Name, want)
	if err != nil {
		return 0, fmt.Errorf("processor: group %s: committed offsets: %w", g.Name, err)
	}
	reader := client.NewReader(kafka.ReaderConfig{}) // for bounds only: nothing is fetched
	var lag int64
	for name, partitions := range want {
		for _, p := range partitions {
			cursor := reader.Open(name, p, nil)
			b, err := cursor.Bounds(ctx)
			cursor.Close()
			if err != nil {
				return 0, err
			}
			at := committed[name][p]
			if differ(at.TopicID, b.TopicID) { // of a topic that is gone: everything is still to be read
				at.Position = state.UnknownOffset
			}
			lag += max(0, b.End-max(at.Position, b.Start))
		}
	}
	return lag, nil
}

// inputPartitions lists the partitions of the inputs and loops. A loop that is not there yet, since the group has never
// run, has none.
func inputPartitions(ctx context.Context, client *kafka.Client, g *scope.Group) (map[string][]int32, error) {
	var topics []string
	for _, in := range g.Inputs {
		topics = append(topics, in.Name)
	}
	found, err := client.Refresh(ctx, topics...)
	if err != nil {
		return nil, err
	}
	want := map[string][]int32{}
	for _, in := range g.Inputs {
		t := found[in.Name]
		if _, missing := errors.AsType[*state.TopicMissingError](t.Err); t.Err != nil && !(missing && in.Loop) {
			return nil, t.Err
		}
		for p := range t.Partitions {
			want[in.Name] = append(want[in.Name], int32(p))
		}
	}
	return want, nil
}
