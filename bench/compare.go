package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/tarnstream/tarn/bench/broker"
	"github.com/tarnstream/tarn/bench/figures"
	"github.com/tarnstream/tarn/bench/workload"
	"github.com/tarnstream/tarn/internal/kafka"
	"github.com/tarnstream/tarn/internal/realkafka"
)

// The topics that the clients read.
const (
	eventsTopic = "bench-events"
	tableTopic  = "bench-table"
)

// bench is one comparison under way.
type bench struct {
	config
	log     io.Writer
	dir     string
	client  *kafka.Client
	filled  map[string]workload.Outcome // by topic: what its records come to
	samples []figures.Sample
	groups  int
}

// remove deletes topics, also when ctx has ended, with the broker perhaps.
func (b *bench) remove(ctx context.Context, topics ...string) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	return b.client.DeleteTopics(ctx, topics...)
}

// compare measures everything and shows the figures.
func compare(ctx context.Context, c config, out io.Writer) error {
	return c.with(ctx, out, func(b *bench) (err error) {
		s := b.surroundings()
		fmt.Fprint(out, s)
		if err := b.fill(ctx); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, b.remove(ctx, b.topics()...)) }()
		if err := b.rounds(ctx); err != nil {
			return err
		}
		return b.show(s)
	})
}

// with runs what is to be measured beside a broker, in a folder that goes with it.
func (c config) with(ctx context.Context, out io.Writer, run func(*bench) error) (err error) {
	b := &bench{config: c, log: out, filled: map[string]workload.Outcome{}}
	if b.dir, err = os.MkdirTemp("", "bench-"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(b.dir)) }()
	if b.own {
		stop, err := b.startBroker(ctx)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, stop()) }()
	}
	if b.client, err = kafka.NewClient(kafka.Config{Brokers: b.brokers, Logger: slog.New(slog.DiscardHandler)}); err != nil {
		return err
	}
	defer b.client.Close()
	if b.profile != "" {
		if err := os.MkdirAll(b.profile, 0o755); err != nil {
			return err
		}
	}
	if err := b.client.Connect(ctx); err != nil {
		return err
	}
	return run(b)
}

// startBroker starts the broker of the command.
func (b *bench) startBroker(ctx context.Context) (stop func() error, err error) {
	if !b.onKafka() {
		dev, err := broker.Start(ctx, b.dir)
		if err != nil {
			return nil, err
		}
		b.brokers = []string{dev.Addr}
		return dev.Stop, nil
	}
	cluster, err := realkafka.Start(ctx, realkafka.Options{})
	if err != nil {
		return nil, fmt.Errorf("%w; or give -brokers", err)
	}
	b.brokers = cluster.Addrs()
	return cluster.Close, nil
}

// topics are those that are filled.
func (b *bench) topics() (topics []string) {
	if b.counters() != nil {
		topics = append(topics, eventsTopic)
	}
	if b.restorers() != nil {
		topics = append(topics, tableTopic)
	}
	return topics
}

func (b *bench) fill(ctx context.Context) (err error) {
	if b.counters() != nil {
		events := kafka.TopicSpec{Name: eventsTopic, Configs: map[string]string{"retention.ms": "-1"}}
		if b.filled[eventsTopic], err = workload.Fill(ctx, b.client, events, b.shape); err != nil {
			return err
		}
	}
	if b.restorers() == nil {
		return nil
	}
	table := kafka.TopicSpec{Name: tableTopic, Configs: map[string]string{"cleanup.policy": "compact"}}
	b.filled[tableTopic], err = workload.Fill(ctx, b.client, table, b.shape)
	return err
}

// rounds runs each client once a round; their order turns about, so that none has the best place.
func (b *bench) rounds(ctx context.Context) error {
	for round := range b.warmups + b.runs {
		for _, job := range b.jobs(round - b.warmups) {
			if err := b.one(ctx, job, round >= b.warmups); err != nil {
				return err
			}
		}
	}
	return nil
}

// jobs are those of a round. Round 0 is the first that counts, and has the clients in their own order.
func (b *bench) jobs(round int) (jobs []workload.Job) {
	if b.counters() != nil && b.restorers() != nil {
		jobs = append(jobs, workload.Job{Client: workload.Raw, Work: workload.Fetch, Topic: eventsTopic})
	}
	for _, client := range turned(b.counters(), round) {
		jobs = append(jobs, workload.Job{Client: client, Work: workload.Count, Topic: eventsTopic})
	}
	for _, client := range turned(b.restorers(), round) {
		jobs = append(jobs, workload.Job{Client: client, Work: workload.Restore, Topic: tableTopic})
	}
	return jobs
}

// turned has each client first in its turn.
func turned(clients []string, round int) []string {
	if len(clients) == 0 {
		return nil
	}
	first := (round%len(clients) + len(clients)) % len(clients)
	return slices.Concat(clients[first:], clients[:first])
}

// one runs one job, checks what it did and keeps its sample where it counts.
func (b *bench) one(ctx context.Context, job workload.Job, counts bool) error {
	job.Records, job.Group = int64(b.shape.Records), b.newGroup(job.Client)
	sample, err := b.verified(ctx, job)
	if err != nil {
		return err
	}
	note := " (warm-up)"
	if counts {
		b.samples, note = append(b.samples, sample), ""
	}
	fmt.Fprintf(b.log, "%-7s %-18s %8.0f records/s  %6.2f CPU s  %5d MiB%s\n", job.Work, job.Client,
		float64(sample.Records)/sample.Seconds, sample.CPU, sample.Peak>>20, note)
	return nil
}

func (b *bench) newGroup(client string) string {
	b.groups++
	return fmt.Sprintf("bench-%s-%d", client, b.groups)
}

// verified runs one job in an empty folder and checks what it did.
func (b *bench) verified(ctx context.Context, job workload.Job) (s figures.Sample, err error) {
	job.Brokers, job.Shape, job.Filled = b.brokers, b.shape, b.filled[job.Topic]
	if job.Dir, err = os.MkdirTemp(b.dir, "state-"); err != nil {
		return s, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(job.Dir)) }()
	b.profiled(&job)
	command, err := self()
	if err != nil {
		return s, err
	}
	out, err := workload.Measure(ctx, b.client, job, command...)
	return sampleOf(job, out), err
}

// profiled names the profiles of a job, where they are asked for.
func (b *bench) profiled(job *workload.Job) {
	if b.profile != "" {
		job.Profile = filepath.Join(b.profile, fmt.Sprintf("%s-%s-%s", job.Group, job.Client, job.Work))
	}
}
