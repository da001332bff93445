package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/tarnstream/tarn/bench/figures"
	"github.com/tarnstream/tarn/bench/workload"
	"github.com/tarnstream/tarn/internal/kafka"
	"github.com/tarnstream/tarn/internal/task"
)

// latencyCommand times records on their way through a group, with each of tarn's guarantees.
const latencyCommand = "latency"

type latencyConfig struct {
	config
	load     workload.Steady
	interval time.Duration
}

func parseLatency(args []string, stderr io.Writer) (latencyConfig, error) {
	c := latencyConfig{config: config{command: latencyCommand}}
	var brokers string
	fs := flag.NewFlagSet("bench latency", flag.ContinueOnError)
	fs.SetOutput(stderr)
	fs.IntVar(&c.runs, "runs", 2, "runs with each guarantee, by turns")
	fs.IntVar(&c.load.Rate, "rate", 10_000, "records a second")
	fs.DurationVar(&c.load.Measured, "time", 20*time.Second, "how long records are timed")
	fs.DurationVar(&c.load.Warmup, "warmup", 5*time.Second, "how long they are not, before that")
	fs.DurationVar(&c.interval, "commit-interval", 100*time.Millisecond, "processor.CommitInterval")
	fs.IntVar(&c.load.Keys, "keys", 100_000, "different keys")
	fs.IntVar(&c.load.Partitions, "partitions", 4, "partitions of each topic")
	fs.IntVar(&c.load.ValueBytes, "value", 100, "`bytes` of a value")
	fs.Uint64Var(&c.load.Seed, "seed", 1, "draws keys and values")
	fs.StringVar(&brokers, "brokers", "", "`addresses` of a Kafka to use, separated by commas; without it Apache Kafka is run")
	fs.StringVar(&c.profile, "profile", "", "`folder` for a processor and a heap profile of each run")
	if err := fs.Parse(args); err != nil {
		return c, err
	}
	if c.own = brokers == ""; !c.own {
		c.brokers = strings.Split(brokers, ",")
	}
	if c.runs < 1 || c.interval <= 0 {
		return c, fmt.Errorf("bench: -runs %d, -commit-interval %v: above 0", c.runs, c.interval)
	}
	return c, c.load.Fault()
}

func latency(ctx context.Context, c latencyConfig, out io.Writer) error {
	return c.with(ctx, out, func(b *bench) error {
		s := b.surroundings()
		fmt.Fprintf(out, "machine  %s; load %s\nbroker   %s\nload     %d records/s for %v after %v, %d keys in %d partitions, values of %d bytes; commits every %v\n",
			s.Machine, s.Load, s.Broker, c.load.Rate, c.load.Measured, c.load.Warmup, c.load.Keys, c.load.Partitions, c.load.ValueBytes, c.interval)
		var rows []figures.Delay
		for round := range c.runs {
			for _, client := range turned([]string{workload.Tarn, workload.TarnAtLeastOnce}, round) {
				took, err := b.steady(ctx, c, client)
				if err != nil {
					return err
				}
				rows = append(rows, figures.DelayOf(client, took))
			}
		}
		fmt.Fprintf(out, "\n%s\n", figures.DelayTable(rows, c.interval))
		return nil
	})
}

// steady times one run: a group in a process of its own, fed and read by this one.
func (b *bench) steady(ctx context.Context, c latencyConfig, client string) (took []time.Duration, err error) {
	job := workload.Job{Client: client, Work: workload.Pass, Group: b.newGroup(client), CommitInterval: c.interval, Records: int64(c.load.Count())}
	job.Topic = job.Group + "-in"
	c.load.Input, c.load.Output = job.Topic, workload.OutputOf(job.Group)
	var topics []kafka.TopicSpec
	for _, topic := range []string{c.load.Input, c.load.Output} {
		topics = append(topics, kafka.TopicSpec{Name: topic, Partitions: int32(c.load.Partitions)})
	}
	if err := b.client.CreateTopics(ctx, topics); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, b.remove(ctx, c.load.Input, c.load.Output)) }()
	group := task.New(ctx)
	group.Go("group", func(ctx context.Context) error {
		_, err := b.verified(ctx, job)
		return err
	})
	group.Go("load", func(ctx context.Context) (err error) {
		took, err = c.load.Time(ctx, b.client)
		return err
	})
	return took, group.Wait()
}
