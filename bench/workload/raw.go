package workload

import (
	"cmp"
	"context"
	"log/slog"
	"time"

	"github.com/tarnstream/tarn/internal/kafka"
	"github.com/tarnstream/tarn/internal/task"
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
	wake := make(chan struct{}, 1)
	var cursors []*kafka.Cursor
	began := time.Now()
	for p := range topics[j.Topic].Partitions {
		c := reader.Open(j.Topic, int32(p), wake)
		c.SeekTo(0)
		cursors = append(cursors, c)
	}
	for left := j.Records; left > 0; {
		select {
		case <-wake:
		case <-ctx.Done():
			return out, context.Cause(ctx)
		}
		n, err := drain(cursors)
		if err != nil {
			return out, err
		}
		left -= n
	}
	out.Seconds, out.Peak = time.Since(began).Seconds(), PeakMemory()
	return out, nil
}

// drain takes what is there and counts it.
func drain(cursors []*kafka.Cursor) (records int64, err error) {
	for _, c := range cursors {
		for {
			got, ok, err := c.Poll()
			if err != nil {
				return records, err
			}
			if !ok {
				break
			}
			records += int64(len(got.Records))
		}
	}
	return records, nil
}
