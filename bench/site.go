package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/tarnstream/tarn/bench/broker"
	"github.com/tarnstream/tarn/bench/workload"
	"github.com/tarnstream/tarn/internal/kafka"
	"github.com/tarnstream/tarn/internal/realkafka"
)

// bench is a run of the command under way.
type bench struct {
	config
	log    io.Writer
	dir    string
	client *kafka.Client
	self   []string // the command that does a job
	commit string   // of tarn, as it was when all began
	groups int
}

// with runs what is to be measured beside a broker, in a folder that goes with it.
func (c config) with(ctx context.Context, out io.Writer, run func(*bench) error) (err error) {
	b := &bench{config: c, log: out, commit: commit()}
	if b.self, err = self(); err != nil {
		return err
	}
	if b.dir, err = os.MkdirTemp("", "bench-"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(b.dir)) }()
	if b.own {
		stop, fault := b.startBroker(ctx)
		if fault != nil {
			return fault
		}
		defer func() { err = errors.Join(err, stop()) }()
	}
	if b.client, err = kafka.NewClient(kafka.Config{Brokers: b.brokers, Logger: slog.New(slog.DiscardHandler)}); err != nil {
		return err
	}
	defer b.client.Close()
	for _, folder := range []string{b.profile, b.out} {
		if folder == "" {
			continue
		}
		if err := os.MkdirAll(folder, 0o755); err != nil {
			return err
		}
	}
	if err := b.client.Connect(ctx); err != nil {
		return err
	}
	return run(b)
}

// startBroker starts the broker of the command: Apache Kafka, or tarn's own.
func (b *bench) startBroker(ctx context.Context) (stop func() error, err error) {
	if b.embedded {
		dev, err := broker.Start(ctx, b.dir)
		if err != nil {
			return nil, err
		}
		b.brokers = []string{dev.Addr}
		return dev.Stop, nil
	}
	cluster, err := realkafka.Start(ctx, realkafka.Options{Fast: true})
	if err != nil {
		return nil, fmt.Errorf("%w; -embedded needs neither where -clients names none of Kafka Streams', -brokers takes a Kafka of yours", err)
	}
	b.brokers = cluster.Addrs()
	return cluster.Close, nil
}

// brokerText says on which broker the figures were measured.
func (b *bench) brokerText() string {
	switch {
	case b.own && b.embedded:
		return "tarn dev, in memory, in a process of its own"
	case b.own:
		return "Apache Kafka " + realkafka.Newest + ", one, on this machine, Java options of its start script, its files in the temporary folder, replication 1, " +
			"group.initial.rebalance.delay.ms 0, four partitions of each internal topic, log.cleaner.backoff.ms 500, log.retention.check.interval.ms and log.segment.delete.delay.ms 1000"
	}
	return fmt.Sprint(b.brokers)
}

// filled makes a topic for a job and fills it. drop deletes it.
func (b *bench) filled(ctx context.Context, j *workload.Job) (drop func() error, err error) {
	b.groups++
	topic := kafka.TopicSpec{Name: fmt.Sprintf("bench-%d-%s", b.groups, j.Work), Configs: map[string]string{"retention.ms": "-1"}}
	if j.Work == workload.Restore || j.Work == workload.Lookup {
		topic.Configs = map[string]string{"cleanup.policy": "compact"}
	}
	j.Topic, j.Records = topic.Name, int64(j.Shape.Records)
	began := time.Now()
	if j.Filled, err = workload.Fill(ctx, b.client, topic, j.Shape); err != nil {
		return nil, errors.Join(err, b.remove(ctx, topic.Name))
	}
	fmt.Fprintf(b.log, "filled a topic with %s after %.1f s\n", describe(j.Shape), time.Since(began).Seconds())
	return func() error { return b.remove(ctx, topic.Name) }, nil
}

// remove deletes topics, also when ctx has ended, with the broker perhaps.
func (b *bench) remove(ctx context.Context, topics ...string) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
	defer cancel()
	return b.client.DeleteTopics(ctx, topics...)
}

// runLimit bounds one run of one client: one that stands still is an error, not the end of the measurements.
const runLimit = 30 * time.Minute

// job runs one job in an empty folder, by a group of its own.
func (b *bench) job(ctx context.Context, j workload.Job, run func(context.Context, workload.Job) (workload.Outcome, error)) (out workload.Outcome, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, runLimit, fmt.Errorf("it has not ended after %v", runLimit))
	defer cancel()
	if j.Group == "" {
		j.Group = b.newGroup(j.Client)
	}
	j.Brokers = b.brokers
	if j.Dir, err = os.MkdirTemp(b.dir, "state-"); err != nil {
		return out, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(j.Dir)) }()
	if b.profile != "" {
		j.Profile = filepath.Join(b.profile, fmt.Sprintf("%s-%s", j.Group, j.Work))
	}
	if out, err = run(ctx, j); err != nil && ctx.Err() != nil {
		err = errors.Join(err, context.Cause(ctx))
	}
	return out, err
}

// measured runs one job and verifies what it did.
func (b *bench) measured(ctx context.Context, j workload.Job) (workload.Outcome, error) {
	return b.job(ctx, j, func(ctx context.Context, j workload.Job) (workload.Outcome, error) {
		return workload.Measure(ctx, b.client, j, b.self...)
	})
}

func (b *bench) newGroup(client string) string {
	b.groups++
	return fmt.Sprintf("bench-%d-%s", b.groups, client)
}
