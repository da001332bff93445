package main

import (
	"context"
	"fmt"

	"github.com/IBM/sarama"

	"github.com/tarnstream/tarn/codec"
	"github.com/tarnstream/tarn/internal/task"
)

// tails read the three topics into the ledger, read_committed, until their end marks.
func (r *run) tails(ctx context.Context) (*task.Group, error) {
	l := r.ledger
	consumer, err := sarama.NewConsumerFromClient(r.site.client)
	if err != nil {
		return nil, err
	}
	g := task.New(ctx)
	for topic, take := range map[string]func(*sarama.ConsumerMessage) error{numbers.Name(): l.takeInput, tallies.Name(): l.takeRow, steps.Name(): l.takeOutput} {
		for p := range int32(r.partitions) {
			var part sarama.PartitionConsumer
			err := persist(ctx, func() (err error) {
				part, err = consumer.ConsumePartition(topic, p, sarama.OffsetOldest)
				return err
			})
			if err != nil {
				g.Stop(err)
				return g, err
			}
			g.Go("tail", func(ctx context.Context) error { return tail(ctx, part, take) })
			g.Go("tail errors", func(context.Context) error {
				for err := range part.Errors() {
					r.log.Warn("a tail tries again", "error", err)
				}
				return nil
			})
		}
	}
	return g, nil
}

func tail(ctx context.Context, part sarama.PartitionConsumer, take func(*sarama.ConsumerMessage) error) error {
	defer part.AsyncClose()
	for {
		select {
		case m, ok := <-part.Messages():
			switch {
			case !ok:
				return fmt.Errorf("a tail has ended before its end mark, at %d", part.HighWaterMarkOffset())
			case string(m.Key) == endMark:
				return nil
			}
			if err := take(m); err != nil {
				return fmt.Errorf("%s/%d@%d: %w", m.Topic, m.Partition, m.Offset, err)
			}
		case <-ctx.Done():
			return nil
		}
	}
}

func (l *ledger) takeInput(m *sarama.ConsumerMessage) error {
	n, err := codec.Int64.Decode(m.Value)
	if err == nil {
		l.input(string(m.Key), m.Partition, m.Offset, n)
	}
	return err
}

func (l *ledger) takeRow(m *sarama.ConsumerMessage) error {
	row, err := codec.JSON[tally]().Decode(m.Value)
	if err == nil {
		l.row(string(m.Key), m.Offset, row)
	}
	return err
}

func (l *ledger) takeOutput(m *sarama.ConsumerMessage) error {
	s, err := codec.JSON[step]().Decode(m.Value)
	if err == nil {
		l.output(string(m.Key), s)
	}
	return err
}
