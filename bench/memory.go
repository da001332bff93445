package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"github.com/tarnstream/tarn/bench/figures"
	"github.com/tarnstream/tarn/bench/workload"
	"github.com/tarnstream/tarn/internal/kafka"
)

// memoryCommand shows what tarn's memory option holds it to.
const memoryCommand = "memory"

type memoryConfig struct {
	config
	options []int64 // bytes, 0 the default
	rate    int
}

func parseMemory(args []string, stderr io.Writer) (memoryConfig, error) {
	c := memoryConfig{config: config{shape: workload.Shape{Seed: 1}}}
	var brokers, options string
	fs := flag.NewFlagSet("bench memory", flag.ContinueOnError)
	fs.SetOutput(stderr)
	fs.IntVar(&c.shape.Records, "records", 400_000, "records to handle")
	fs.IntVar(&c.shape.Keys, "keys", 100_000, "different keys")
	fs.IntVar(&c.shape.Partitions, "partitions", 64, "partitions")
	fs.IntVar(&c.shape.ValueBytes, "value", 100, "`bytes` of a value")
	fs.IntVar(&c.rate, "rate", 8<<20, "what may be written to the broker, in `bytes` a second; 0 for as fast as it takes it")
	fs.StringVar(&options, "options", "0,128", "values of processor.MemoryBytes in `MiB`, separated by commas; 0 is the default")
	fs.StringVar(&brokers, "brokers", "", "`addresses` of a Kafka to use, separated by commas; without it tarn dev is built and run")
	fs.StringVar(&c.profile, "profile", "", "`folder` for a processor and a heap profile of each run")
	if err := fs.Parse(args); err != nil {
		return c, err
	}
	if c.own = brokers == ""; !c.own {
		c.brokers = strings.Split(brokers, ",")
	}
	for _, text := range strings.Split(options, ",") {
		mib, err := strconv.ParseInt(strings.TrimSpace(text), 10, 32)
		if err != nil || mib < 0 {
			return c, fmt.Errorf("bench: -options %q: not a number of MiB", text)
		}
		c.options = append(c.options, mib<<20)
	}
	return c, c.shape.Fault()
}

// pressure runs a crowd with each option, and then restores its tables as another machine would.
func pressure(ctx context.Context, c memoryConfig, out io.Writer) error {
	return c.with(ctx, out, func(b *bench) (err error) {
		fmt.Fprintf(out, "%s\n%d partitions, 3 tables, %d records with %d keys, values of %d bytes; written are %d KiB/s at most\n", b.surroundings().Machine,
			c.shape.Partitions, c.shape.Records, c.shape.Keys, c.shape.ValueBytes, c.rate>>10)
		events := kafka.TopicSpec{Name: eventsTopic, Configs: map[string]string{"retention.ms": "-1"}}
		if _, err := workload.Fill(ctx, b.client, events, c.shape); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, b.remove(ctx, eventsTopic)) }()
		var rows []figures.Held
		for i, option := range c.options {
			held, err := b.crowd(ctx, workload.Job{Client: workload.Tarn, Topic: eventsTopic, Group: fmt.Sprintf("crowd-%d", i), Memory: option, WriteRate: c.rate})
			if err != nil {
				return err
			}
			rows = append(rows, held...)
		}
		fmt.Fprintf(out, "\n%s\n", figures.HeldTable(rows))
		return nil
	})
}

// crowd handles the records and restores the tables with one value of the option.
func (b *bench) crowd(ctx context.Context, job workload.Job) (rows []figures.Held, err error) {
	job.Brokers, job.Records = b.brokers, int64(b.shape.Records)
	command, err := self()
	if err != nil {
		return nil, err
	}
	for _, work := range []string{workload.Crowd, workload.Again} {
		job.Work = work
		if job.Dir, err = os.MkdirTemp(b.dir, "state-"); err != nil {
			return nil, err
		}
		b.profiled(&job)
		outcome, err := workload.Process(ctx, job, command...)
		if err == nil {
			err = workload.AddsUp(ctx, b.client, workload.CrowdCounts(job.Group), job)
		}
		if err = errors.Join(err, os.RemoveAll(job.Dir)); err != nil {
			return nil, err
		}
		rows = append(rows, figures.Held{Work: work, Option: job.Memory, InUse: outcome.Most,
			Parts: outcome.InUse, Idle: outcome.Idle, Peak: outcome.Peak, Seconds: outcome.Seconds})
		fmt.Fprintf(b.log, "option %d MiB, %s: %.1f s, at most %d MiB in use, the process grew by %d MiB\n", job.Memory>>20, work, outcome.Seconds,
			outcome.Most>>20, (outcome.Peak-outcome.Idle)>>20)
	}
	return rows, nil
}
