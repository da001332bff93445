package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/tarnstream/tarn/devbroker"
	"github.com/tarnstream/tarn/observe"
	"github.com/tarnstream/tarn/processor"
	"github.com/tarnstream/tarn/topology"
)

// app is one run of the program.
type app struct {
	config  config
	out     *os.File
	log     *slog.Logger
	monitor *monitor
	broker  *devbroker.Broker // nil with -brokers
	brokers []string
	all     collector
	fed     progress
	table   table
	count   *topology.Group // the report's
	plans   atomic.Bool     // print what restores plan
	shown   face
}

// newApp starts or finds the broker and makes the topics. What it opened is closed by close.
func newApp(ctx context.Context, c config, out *os.File) (a *app, err error) {
	a = &app{config: c, out: out, brokers: c.Brokers}
	if a.monitor, err = newMonitor(c.Prefix, c.Year); err != nil {
		return nil, err
	}
	if a.log, err = newLog(c, out); err != nil {
		return nil, err
	}
	if len(a.brokers) == 0 {
		if a.broker, err = startBroker(c); err != nil {
			return nil, err
		}
		a.brokers = a.broker.Addrs()
	}
	if err := processor.CreateTopics(ctx, a.options(""), a.monitor.handles()...); err != nil {
		return nil, errors.Join(err, a.close())
	}
	return a, nil
}

func startBroker(c config) (*devbroker.Broker, error) {
	if c.Keep == "" {
		return devbroker.Start()
	}
	return devbroker.Start(devbroker.Dir(filepath.Join(c.Keep, "broker")), devbroker.Relaxed())
}

// newLog keeps warnings out of the picture: they go to a file beside the state while a table is drawn.
func newLog(c config, out *os.File) (*slog.Logger, error) {
	if !isTerminal(out) {
		return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn})), nil
	}
	if err := os.MkdirAll(c.State, 0o755); err != nil {
		return nil, fmt.Errorf("soc: %w", err)
	}
	file, err := os.OpenFile(filepath.Join(c.State, "soc.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, fmt.Errorf("soc: %w", err)
	}
	return slog.New(slog.NewTextHandler(file, nil)), nil
}

func (a *app) close() error {
	if a.broker == nil {
		return nil
	}
	return a.broker.Close()
}

// options are what every part needs; state is a folder below the state directory, empty for the directory itself.
func (a *app) options(state string) []processor.Option {
	return []processor.Option{processor.Brokers(a.brokers...), processor.StateDir(filepath.Join(a.config.State, state)),
		processor.Logger(a.log)}
}

// groups are the groups and the views, running on one state directory.
type groups struct {
	crew   *crew
	view   *processor.View[Attacker]
	alerts *processor.View[Alert]
}

// startGroups runs them on a folder below the state directory and waits until they are ready.
func (a *app) startGroups(ctx context.Context, dir string) (*groups, error) {
	options := a.options(dir)
	parse, err := processor.New(a.monitor.parse, options...)
	if err != nil {
		return nil, err
	}
	detect, err := processor.New(a.monitor.detect, append(options, a.onRestore("table"))...)
	if err != nil {
		return nil, err
	}
	file, err := processor.New(a.monitor.file, options...)
	if err != nil {
		return nil, err
	}
	view, err := processor.NewView(a.monitor.attackers, append(options, a.onRestore("view"))...)
	if err != nil {
		return nil, err
	}
	alerts, err := processor.NewView(a.monitor.alertLog, options...)
	if err != nil {
		return nil, err
	}
	a.table.parts.Store(&[]observe.Source{parse, detect, file, view, alerts})
	g := &groups{view: view, alerts: alerts}
	g.crew = start(ctx, part{"parse", parse.Run}, part{"detect", detect.Run}, part{"file", file.Run},
		part{"view", view.Run}, part{"alerts", alerts.Run})
	if err := a.restore(g.crew.ctx, restored{"parse", parse.Ready(), nil}, restored{"detect", detect.Ready(), detect.Progress},
		restored{"file", file.Ready(), file.Progress}, restored{"view", view.Ready(), view.Progress},
		restored{"alerts", alerts.Ready(), alerts.Progress}); err != nil {
		return nil, errors.Join(err, g.crew.stop())
	}
	return g, nil
}

// onRestore prints every plan once a.plans is set.
func (a *app) onRestore(what string) processor.Option {
	return processor.Observe(observe.Observer{RestorePlanned: func(r observe.Restore) {
		if a.plans.Load() {
			fmt.Fprintf(a.out, "%s %s/%d: %s: %s\n", what, r.Topic, r.Partition, r.Plan.Decision, r.Plan.Cause)
		}
	}})
}

// startReport counts what passes through the topics, from their start on. It returns when all that is there now is
// counted.
func (a *app) startReport(ctx context.Context) (*crew, error) {
	id := strconv.FormatInt(time.Now().UnixNano(), 36)
	var err error
	if a.count, err = a.monitor.report(id, &a.all, &a.fed); err != nil {
		return nil, err
	}
	p, err := processor.New(a.count, processor.Brokers(a.brokers...), processor.Logger(a.log))
	if err != nil {
		return nil, err
	}
	c := start(ctx, part{"report", p.Run})
	if err := errors.Join(wait(c.ctx, p.Ready()), a.reported(c.ctx)); err != nil {
		return nil, errors.Join(err, c.stop())
	}
	return c, nil
}

// reported waits until the report has counted all there is.
func (a *app) reported(ctx context.Context) error {
	return a.drained(ctx, a.count)
}

// settled waits until the groups have handled all that was fed, and the views show it.
func (a *app) settled(ctx context.Context, g *groups) error {
	for _, group := range []*topology.Group{a.monitor.parse, a.monitor.detect, a.monitor.file} {
		if err := a.drained(ctx, group); err != nil {
			return err
		}
	}
	return errors.Join(g.view.Sync(ctx), g.alerts.Sync(ctx))
}

func (a *app) drained(ctx context.Context, g *topology.Group) error {
	for {
		lag, err := processor.Lag(ctx, g, a.options("")...)
		if err != nil || lag == 0 {
			return err
		}
		if err := pause(ctx, 50*time.Millisecond); err != nil {
			return err
		}
	}
}
