package workload

import (
	"cmp"
	"context"
	"log/slog"
	"time"

	"github.com/tarnstream/tarn/internal/kafka"
	"github.com/tarnstream/tarn/internal/task"
	"github.com/tarnstream/tarn/state"
)

// reading is a reader at work.
type reading struct {
	*kafka.Reader
	group *task.Group
}

func startReader(ctx context.Context, client *kafka.Client) reading {
	r := reading{client.NewReader(kafka.ReaderConfig{Logger: slog.New(slog.DiscardHandler)}), task.New(ctx)}
	r.group.Go("reader", r.Run)
	return r
}

func (r reading) stop() {
	r.group.Stop(nil)
	_ = r.group.Wait() // what is wrong with a reader its cursors tell
}

// rawFetch reads every partition with tarn's reader and throws the records away: what nobody can be faster than.
func rawFetch(ctx context.Context, j Job) (out Outcome, err error) {
	client, err := kafka.NewClient(kafka.Config{Brokers: j.Brokers})
	if err != nil {
		return out, err
	}
	defer client.Close()
	topics, err := client.Refresh(ctx, j.Topic)
	if err = cmp.Or(err, topics[j.Topic].Err); err != nil {
		return out, err
	}
	reader := startReader(ctx, client)
	defer reader.stop()
	began := time.Now()
	cursors, wake := reader.openAll(j.Topic, len(topics[j.Topic].Partitions))
	for left := j.Records; left > 0; {
		select {
		case <-wake:
		case <-ctx.Done():
			return out, context.Cause(ctx)
		}
		if err := drain(cursors, func(got []state.Record) { left -= int64(len(got)) }); err != nil {
			return out, err
		}
	}
	out.Seconds, out.Peak = time.Since(began).Seconds(), PeakMemory()
	return out, nil
}

// openAll reads a topic's partitions from their beginnings. wake tells that there is something to drain.
func (r reading) openAll(topic string, partitions int) (cursors []*kafka.Cursor, wake <-chan struct{}) {
	woken := make(chan struct{}, 1)
	for p := range partitions {
		c := r.Open(topic, int32(p), woken)
		c.SeekTo(0)
		cursors = append(cursors, c)
	}
	return cursors, woken
}

// drain takes what is there.
func drain(cursors []*kafka.Cursor, take func([]state.Record)) error {
	for _, c := range cursors {
		for {
			got, ok, err := c.Poll()
			if err != nil {
				return err
			}
			if !ok {
				break
			}
			take(got.Records)
		}
	}
	return nil
}
