package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/tarnstream/tarn/bench/figures"
	"github.com/tarnstream/tarn/bench/workload"
)

// rates measures a section whose trials are rounds of jobs.
func (b *bench) rates(ctx context.Context, s section, r *figures.Report) error {
	var errs []error
	for i, t := range s.trials {
		if len(s.trials) > 1 {
			fmt.Fprintf(b.log, "-- %s, %d of %d\n", s.title(t), i+1, len(s.trials))
		}
		errs = append(errs, b.trial(ctx, t, func(sample figures.Sample) {
			sample.X = s.x(t.shape)
			r.Samples = append(r.Samples, sample)
		}))
		if ctx.Err() != nil {
			break
		}
	}
	r.Summaries = figures.Summarize(r.Samples)
	return errors.Join(errs...)
}

// mostFailures is after how many failed runs a client takes no further part in a trial.
const mostFailures = 2

// trial has the clients run by turns, and keeps what counts.
func (b *bench) trial(ctx context.Context, t trial, keep func(figures.Sample)) (err error) {
	j := t.job
	j.Shape = t.shape
	if j.Work != workload.Restart {
		drop, fault := b.filled(ctx, &j)
		if fault != nil {
			return fmt.Errorf("%s: %w", t.work, fault)
		}
		defer func() { err = errors.Join(err, drop()) }()
	}
	return turns[entrant]{clients: t.clients, warmups: b.warmups, runs: b.runs, run: func(round int, e entrant) error {
		if j.Work == workload.Restart {
			j.Time = b.trafficOf(round)
		}
		sample, err := b.entrant(ctx, t.work, j, e)
		if err != nil {
			return err
		}
		if round >= 0 {
			keep(sample)
		}
		fmt.Fprintf(b.log, "%-9s %-22s %s\n", b.note(round), e.name, told(j, sample))
		return nil
	}, failed: func(round int, e entrant, err error) error {
		fmt.Fprintf(b.log, "%-9s %-22s FAILED: %v\n", b.note(round), e.name, err)
		return fmt.Errorf("%s: %s: %w", t.work, e.name, err)
	}}.all(ctx)
}

// turns is what each client does once a round; their order turns about, so that none has the best place. A run that fails leaves
// the others' figures alone, and the error tells of it.
type turns[C comparable] struct {
	clients       []C
	warmups, runs int
	run           func(round int, c C) error // rounds below 0 are warm-ups
	failed        func(round int, c C, err error) error
}

func (t turns[C]) all(ctx context.Context) error {
	var errs []error
	failed := map[C]int{}
	for round := -t.warmups; round < t.runs; round++ {
		for _, c := range turned(t.clients, round) {
			if failed[c] == mostFailures {
				continue
			}
			err := t.run(round, c)
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			if err != nil {
				failed[c]++
				errs = append(errs, t.failed(round, c, err))
			}
		}
	}
	return errors.Join(errs...)
}

// trafficOf is for how long a restart's first process has records. It ends in each round at another place between two of tarn's
// flushes, which come every five seconds: what it leaves to be read again is no round's luck. A round alone has the middle.
func (b *bench) trafficOf(round int) time.Duration {
	const least, flushes = 5 * time.Second, 5 * time.Second
	if b.runs == 1 {
		return least + flushes/2
	}
	return least + flushes*time.Duration(max(round, 0))/time.Duration(b.runs)
}

// note names a round; those below 0 are warm-ups.
func (b *bench) note(round int) string {
	if round < 0 {
		return "warm-up"
	}
	return fmt.Sprintf("%d of %d", round+1, b.runs)
}

// told is a run's figures in a line.
func told(j workload.Job, s figures.Sample) string {
	speed := fmt.Sprintf("%8.0f records/s", float64(s.Records)/s.Seconds)
	switch j.Work {
	case workload.Restart:
		speed = fmt.Sprintf("%8.0f ms to the first record", s.Seconds*1000)
	case workload.Lookup:
		speed = fmt.Sprintf("%8.0f lookups/s", float64(s.Records)/s.Seconds)
	}
	return fmt.Sprintf("%s  %7.2f CPU s  %5d MiB", speed, s.CPU, s.Peak>>20)
}

// entrant runs a client once.
func (b *bench) entrant(ctx context.Context, work string, j workload.Job, e entrant) (figures.Sample, error) {
	j.Client, j.SessionTimeout = e.client, e.session
	out, err := b.measured(ctx, j)
	s := figures.Sample{Work: work, Client: e.name, Records: j.Records, Seconds: out.Seconds, Warm: out.Warm, CPU: out.CPU,
		Idle: out.Idle, Peak: out.Peak, Restored: out.Restored}
	switch j.Work {
	case workload.Restart:
		s.Records = 1
	case workload.Lookup:
		s.Records = out.Lookups
	}
	return s, err
}
