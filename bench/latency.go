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

// latency times records on their way through a group, with each of tarn's guarantees, at each commit interval.
func (b *bench) latency(ctx context.Context, t trial, r *figures.Report) error {
	load := b.load
	load.Shape = t.shape
	r.Warmups = 0
	r.Setup = append(r.Setup, fmt.Sprintf("%d records/s for %v after %v", load.Rate, load.Measured, load.Warmup))
	clients := b.committers(t.clients)
	runs := map[committer][]figures.Delay{}
	err := turns[committer]{clients: clients, runs: b.runs, run: func(round int, c committer) error {
		took, err := b.steady(ctx, load, c)
		if err != nil {
			return err
		}
		d := figures.DelayOf(c.name, c.every, took)
		fmt.Fprintf(b.log, "%-9s %-28s p50 %v  p99 %v  max %v\n", b.note(round), c,
			d.P50.Round(time.Millisecond/10), d.P99.Round(time.Millisecond/10), d.Max.Round(time.Millisecond/10))
		runs[c] = append(runs[c], d)
		return nil
	}, failed: func(round int, c committer, err error) error {
		fmt.Fprintf(b.log, "%-9s %-28s FAILED: %v\n", b.note(round), c, err)
		return fmt.Errorf("latency: %s: %w", c, err)
	}}.all(ctx)
	for _, c := range clients {
		if len(runs[c]) > 0 {
			r.Delays = append(r.Delays, figures.MedianDelay(runs[c]))
		}
	}
	return err
}

// committer is a client that commits every so often, 0 for one that cannot be told to.
type committer struct {
	entrant
	every time.Duration
}

func (c committer) String() string {
	if c.every == 0 {
		return c.name
	}
	return fmt.Sprintf("%s, %v", c.name, c.every)
}

// committers are the clients, each with every commit interval that is to be measured.
func (b *bench) committers(clients []entrant) (all []committer) {
	for _, e := range clients {
		if e.client == workload.Goka {
			all = append(all, committer{entrant: e})
			continue
		}
		for _, every := range b.intervals {
			all = append(all, committer{e, every})
		}
	}
	return all
}

// steady times one run: a group in a process of its own, fed and read by this one.
func (b *bench) steady(ctx context.Context, load workload.Steady, c committer) (took []time.Duration, err error) {
	j := workload.Job{Client: c.client, Work: workload.Pass, Shape: load.Shape, Group: b.newGroup(c.client), CommitInterval: c.every,
		Records: int64(load.Count())}
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
