package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/tarnstream/tarn/bench/figures"
	"github.com/tarnstream/tarn/bench/workload"
)

type memoryConfig struct {
	options []int64 // bytes, 0 the default
	rate    int
}

// pressure runs a crowd with each option, and then restores its tables as another machine would.
func (b *bench) pressure(ctx context.Context, t trial, r *figures.Report) (err error) {
	r.Runs, r.Warmups = 1, 0
	r.Setup = append(r.Setup, fmt.Sprintf("3 tables; %d KiB/s can be written at most", b.memory.rate>>10))
	j := workload.Job{Client: workload.Tarn, Work: workload.Crowd, Shape: t.shape, WriteRate: b.memory.rate}
	drop, err := b.filled(ctx, &j)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, drop()) }()
	for _, option := range b.memory.options {
		j.Memory, j.Group = option, b.newGroup(j.Client)
		if err := errors.Join(b.crowd(ctx, j, r), b.remove(ctx, workload.CrowdTables(j.Group)...)); err != nil {
			return err
		}
	}
	return nil
}

// crowd fills the tables and restores them. More memory in use than its bound is an error, once both are shown.
func (b *bench) crowd(ctx context.Context, j workload.Job, r *figures.Report) error {
	var errs []error
	for _, work := range []string{workload.Crowd, workload.Again} {
		j.Work = work
		held, err := b.held(ctx, j)
		if err != nil {
			return errors.Join(append(errs, err)...)
		}
		r.Held = append(r.Held, held)
		if bound := held.Parts.Bound; held.InUse > bound {
			errs = append(errs, fmt.Errorf("bench: %s: %d bytes were in use, the bound is %d", work, held.InUse, bound))
		}
	}
	return errors.Join(errs...)
}

// held does one job and looks at its memory.
func (b *bench) held(ctx context.Context, j workload.Job) (figures.Held, error) {
	out, err := b.job(ctx, j, func(ctx context.Context, j workload.Job) (workload.Outcome, error) {
		out, err := workload.Process(ctx, j, b.self...)
		if err != nil {
			return out, err
		}
		return out, workload.AddsUp(ctx, b.client, workload.CrowdCounts(j.Group), j)
	})
	if err != nil {
		return figures.Held{}, err
	}
	fmt.Fprintf(b.log, "option %d MiB, %s: %.1f s, at most %d MiB in use, the process grew by %d MiB\n", j.Memory>>20, j.Work, out.Seconds,
		out.Most>>20, (out.Peak-out.Idle)>>20)
	return figures.Held{Work: j.Work, Option: j.Memory, InUse: out.Most, Parts: out.InUse, Idle: out.Idle, Peak: out.Peak, Seconds: out.Seconds}, nil
}
