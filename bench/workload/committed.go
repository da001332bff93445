package workload

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/tarnstream/tarn/internal/kafka"
)

// look is how often committed offsets are asked for.
const look = 2 * time.Millisecond

// awaitCommitted waits until a job's group has committed enough of its topic: so many records, where it is read from its
// beginning and has no gaps.
func awaitCommitted(ctx context.Context, client *kafka.Client, j Job, enough func(records int64) bool) error {
	topics, err := client.Topics(ctx, j.Topic)
	if err = errors.Join(err, topics[j.Topic].Err); err != nil {
		return err
	}
	var partitions []int32
	for p := range topics[j.Topic].Partitions {
		partitions = append(partitions, int32(p))
	}
	every := time.NewTicker(look)
	defer every.Stop()
	for {
		found, err := client.CommittedOffsets(ctx, j.Group, map[string][]int32{j.Topic: partitions})
		if err != nil {
			return err
		}
		var records int64
		for _, at := range found[j.Topic] {
			records += max(0, at.Position)
		}
		if enough(records) {
			return nil
		}
		select {
		case <-every.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// awaitAllCommitted waits until every record of a job is committed.
func awaitAllCommitted(ctx context.Context, j Job) error {
	client, err := kafka.NewClient(kafka.Config{Brokers: j.Brokers, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	defer client.Close()
	if err := client.Connect(ctx); err != nil {
		return err
	}
	return awaitCommitted(ctx, client, j, func(records int64) bool { return records == j.Records })
}
