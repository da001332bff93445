package processor

import (
	"context"
	"fmt"

	"github.com/tarnstream/tarn/internal/kafka"
	"github.com/tarnstream/tarn/topology"
)

// Lag tells how many offsets of its inputs a group has not committed yet, over all partitions and whoever runs it.
// 0 means that everything in the inputs has taken its effect. It asks Kafka and needs the Brokers option.
func Lag(ctx context.Context, group *topology.Group, options ...Option) (int64, error) {
	conf, err := configure(false, options)
	if err != nil {
		return 0, err
	}
	client, err := kafka.NewClient(conf.kafka)
	if err != nil {
		return 0, err
	}
	defer client.Close()
	var topics []string
	for _, in := range group.Description().Inputs {
		topics = append(topics, in.Name)
	}
	ctx, cancel := context.WithTimeout(ctx, conf.startTimeout)
	defer cancel()
	if err := client.Connect(ctx, topics...); err != nil {
		return 0, err
	}
	return lagOf(ctx, client, group.Name(), topics)
}

func lagOf(ctx context.Context, client *kafka.Client, group string, topics []string) (int64, error) {
	found, err := client.Refresh(ctx, topics...)
	if err != nil {
		return 0, err
	}
	want := map[string][]int32{}
	for name, t := range found {
		if t.Err != nil {
			return 0, t.Err
		}
		for p := range t.Partitions {
			want[name] = append(want[name], int32(p))
		}
	}
	committed, err := client.CommittedOffsets(ctx, group, want)
	if err != nil {
		return 0, fmt.Errorf("processor: group %s: committed offsets: %w", group, err)
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
			lag += max(0, b.End-max(committed[name][p].Position, b.Start))
		}
	}
	return lag, nil
}
