package workload

import (
	"context"
	"log/slog"

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
