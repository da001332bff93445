package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/tarnstream/tarn/bench/figures"
	"github.com/tarnstream/tarn/bench/workload"
	"github.com/tarnstream/tarn/internal/kafka"
	"github.com/tarnstream/tarn/internal/task"
)

// latency times records on their way through a group, with each of tarn's guarantees.
func (b *bench) latency(ctx context.Context, t trial, r *figures.Report) error {
	load := b.load
	load.Shape = t.shape
	r.Interval, r.Warmups = b.interval, 0
	r.Setup = append(r.Setup, fmt.Sprintf("%d records/s for %v after %v, commits every %v", load.Rate, load.Measured, load.Warmup, b.interval))
	runs := map[string][]figures.Delay{}
	for round := range b.runs {
		for _, e := range turned(t.clients, round) {
			took, err := b.steady(ctx, load, e.client)
			if err != nil {
				return fmt.Errorf("latency: %s: %w", e.name, err)
			}
			d := figures.DelayOf(e.name, took)
			fmt.Fprintf(b.log, "%-9s %-22s p50 %v  p99 %v  max %v\n", fmt.Sprintf("%d of %d", round+1, b.runs), e.name,
				d.P50.Round(time.Millisecond/10), d.P99.Round(time.Millisecond/10), d.Max.Round(time.Millisecond/10))
			runs[e.name] = append(runs[e.name], d)
		}
	}
	for _, e := range t.clients {
		r.Delays = append(r.Delays, figures.MedianDelay(runs[e.name]))
	}
	return nil
}

// steady times one run: a group in a process of its own, fed and read by this one.
func (b *bench) steady(ctx context.Context, load workload.Steady, client string) (took []time.Duration, err error) {
	j := workload.Job{Client: client, Work: workload.Pass, Group: b.newGroup(client), CommitInterval: b.interval, Records: int64(load.Count())}
	j.Topic = j.Group + "-in"
	load.Input, load.Output = j.Topic, workload.OutputOf(j.Group)
	var topics []kafka.TopicSpec
	for _, topic := range []string{load.Input, load.Output} {
		topics = append(topics, kafka.TopicSpec{Name: topic, Partitions: int32(load.Partitions)})
	}
	if err := b.client.CreateTopics(ctx, topics); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, b.remove(ctx, load.Input, load.Output)) }()
	group := task.New(ctx)
	group.Go("group", func(ctx context.Context) error {
		_, err := b.measured(ctx, j)
		return err
	})
	group.Go("load", func(ctx context.Context) (err error) {
		took, err = load.Time(ctx, b.client)
		return err
	})
	return took, group.Wait()
}
