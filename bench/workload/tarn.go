package workload

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"time"

	"github.com/tarnstream/tarn/codec"
	"github.com/tarnstream/tarn/internal/task"
	"github.com/tarnstream/tarn/processor"
	"github.com/tarnstream/tarn/topology"
)

// TarnSettings says how tarn is set up.
const TarnSettings = "defaults, so exactly-once; tarn-at-least-once: processor.AtLeastOnce; keys hashed by FNV-1a, as goka does; values are codec.RawBytes, " +
	"not copied, as goka's codec.Bytes are not"

func tarnOptions(j Job) []processor.Option {
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	options := []processor.Option{processor.Brokers(j.Brokers...), processor.StateDir(j.Dir), processor.Logger(log)}
	if j.Client == TarnAtLeastOnce {
		options = append(options, processor.AtLeastOnce())
	}
	if j.CommitInterval > 0 {
		options = append(options, processor.CommitInterval(j.CommitInterval))
	}
	return options
}

func tarnCount(ctx context.Context, j Job) (out Outcome, err error) {
	c := newClock(j.Records)
	group, err := tarnCounting(j, c.tick)
	if err != nil {
		return out, err
	}
	return tarnHandle(ctx, j, group, c)
}

func tarnCounting(j Job, tick func()) (*topology.Group, error) {
	events := topology.NewStream(j.Topic, codec.RawBytes, topology.FNV1a())
	counts := topology.NewTable(TableOf(j.Client, j.Group), codec.Int64, topology.FNV1a())
	return topology.Define(j.Group, topology.Persist(counts),
		topology.Input(events, func(ctx *topology.Context, _ []byte) error {
			defer tick()
			return countOne(ctx, counts)
		}))
}

// tarnRestart counts until ctx ends.
func tarnRestart(ctx context.Context, j Job) (out Outcome, err error) {
	first := newFirst(j)
	group, err := tarnCounting(j, first.tick)
	if err != nil {
		return out, err
	}
	p, err := processor.New(group, tarnOptions(j)...)
	if err != nil {
		return out, err
	}
	if err := p.Run(ctx); err != nil {
		return out, err
	}
	out.Seconds, out.Peak, out.Restored = first.seconds(), PeakMemory(), p.Stats().Restored
	return out, nil
}

func countOne(ctx *topology.Context, counts *topology.Table[int64]) error {
	n, _, err := counts.Get(ctx)
	if err != nil {
		return err
	}
	return counts.Set(ctx, n+1)
}

// tarnPass counts each record as tarnCount does, and hands it on.
func tarnPass(ctx context.Context, j Job) (out Outcome, err error) {
	events := topology.NewStream(j.Topic, codec.RawBytes, topology.FNV1a())
	passed := topology.NewStream(OutputOf(j.Group), codec.Bytes, topology.FNV1a())
	counts := topology.NewTable(TableOf(j.Client, j.Group), codec.Int64, topology.FNV1a())
	c := newClock(j.Records)
	group, err := topology.Define(j.Group, topology.Persist(counts), topology.Output(passed),
		topology.Input(events, func(ctx *topology.Context, v []byte) error {
			defer c.tick()
			if err := countOne(ctx, counts); err != nil {
				return err
			}
			return passed.Emit(ctx, ctx.Key(), v)
		}))
	if err != nil {
		return out, err
	}
	return tarnHandle(ctx, j, group, c)
}

func tarnMap(ctx context.Context, j Job) (out Outcome, err error) {
	events := topology.NewStream(j.Topic, codec.RawBytes, topology.FNV1a())
	kept := topology.NewStream(OutputOf(j.Group), codec.Bytes, topology.FNV1a())
	c := newClock(j.Records)
	group, err := topology.Define(j.Group, topology.Output(kept),
		topology.Input(events, func(ctx *topology.Context, v []byte) error {
			defer c.tick()
			out, ok, err := mapped(v)
			if err != nil || !ok {
				return err
			}
			return kept.Emit(ctx, ctx.Key(), out)
		}))
	if err != nil {
		return out, err
	}
	return tarnHandle(ctx, j, group, c)
}

// tarnHandle ends when every effect and every offset is in Kafka.
func tarnHandle(ctx context.Context, j Job, group *topology.Group, c *clock) (out Outcome, err error) {
	p, err := processor.New(group, tarnOptions(j)...)
	if err != nil {
		return out, err
	}
	stop, ended := start(ctx, p.Run)
	if err := c.wait(ctx, ended); err != nil {
		return out, err
	}
	if err := awaitAllCommitted(ctx, j); err != nil {
		return out, err
	}
	c.stop(&out)
	return out, stop()
}

func tarnCountOf(data []byte) (int64, error) { return codec.Int64.Decode(data) }

// tarnRestore ends when a View is ready.
func tarnRestore(ctx context.Context, j Job) (out Outcome, err error) {
	began := time.Now()
	err = tarnView(ctx, j, func(view *processor.View[[]byte]) error {
		out.Seconds, out.Peak = time.Since(began).Seconds(), PeakMemory()
		for row, err := range view.Range() {
			if err == nil {
				err = out.add(row.Value)
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
	return out, err
}

func tarnLookup(ctx context.Context, j Job) (out Outcome, err error) {
	err = tarnView(ctx, j, func(view *processor.View[[]byte]) error {
		out, err = lookUp(ctx, j, func(key string) ([]byte, bool, error) { return view.Get(key) })
		return err
	})
	return out, err
}

// tarnView has a View that is ready used.
func tarnView(ctx context.Context, j Job, use func(*processor.View[[]byte]) error) error {
	view, err := processor.NewView(topology.NewTable(j.Topic, codec.Bytes, topology.FNV1a()), tarnOptions(j)...)
	if err != nil {
		return err
	}
	stop, ended := start(ctx, view.Run)
	select {
	case <-view.Ready():
	case err := <-ended:
		return err
	}
	return errors.Join(use(view), stop())
}

// start runs a client. stop ends it and gives its error; ended has it when it ends by itself.
func start(ctx context.Context, run func(context.Context) error) (stop func() error, ended <-chan error) {
	ctx, cancel := context.WithCancel(ctx)
	end := make(chan error, 1)
	task.New(ctx).Go("client", func(ctx context.Context) error {
		end <- run(ctx)
		return nil
	})
	return func() error { cancel(); return <-end }, end
}
