package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"
)

// watch runs report, groups, picture and server; it feeds, waits until all is handled, and prints the summary.
func (a *app) watch(ctx context.Context, http net.Listener, want *Snapshot) (err error) {
	report, err := a.startReport(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, report.stop()) }()
	if a.config.Feed {
		if err := a.fillAssets(ctx); err != nil {
			return err
		}
	}
	if http != nil { // before the groups: /ready tells how far their tables are
		web := start(report.ctx, server(http, &a.table, a.log))
		defer func() { err = errors.Join(err, web.stop()) }()
		fmt.Fprintf(a.out, "serving http://%s/attackers?top=10, /ready and /metrics\n", http.Addr())
	}
	g, err := a.startGroups(report.ctx, "")
	if err != nil {
		return err
	}
	a.table.of(g)
	defer func() { err = errors.Join(err, g.crew.stop()) }()
	if a.config.Expire {
		return a.expire(ctx, g, want.Lines)
	}
	if err := a.showWhile(g.crew.ctx, func(ctx context.Context) error { return a.work(ctx, g) }); err != nil && ctx.Err() == nil {
		return err
	}
	if ctx.Err() != nil {
		want = nil // interrupted: there is nothing to compare
	}
	if err := a.printSummary(want); err != nil {
		return err
	}
	if http != nil && ctx.Err() == nil {
		fmt.Fprintln(a.out, "\nserving until interrupted")
		<-g.crew.ctx.Done()
	}
	return nil
}

// work feeds and waits until everything is handled, or, without feeding, goes on until interrupted.
func (a *app) work(ctx context.Context, g *groups) error {
	if !a.config.Feed {
		<-ctx.Done()
		return context.Cause(ctx)
	}
	if err := a.feed(ctx, 0); err != nil {
		return err
	}
	if err := a.settled(ctx, g); err != nil {
		return err
	}
	return a.reported(ctx)
}

// feed feeds up to a line; 0 means all.
func (a *app) feed(ctx context.Context, to int64) error {
	lines, err := a.config.lines()
	if err != nil {
		return err
	}
	c := feedConfig{stream: a.monitor.lines, options: a.options(""), fed: &a.fed, year: a.config.Year,
		rate: a.config.Rate, to: to}
	return c.feed(ctx, lines)
}

// showWhile draws the picture a few times a second until work is done.
func (a *app) showWhile(ctx context.Context, work func(context.Context) error) error {
	picture := a.picture()
	done := start(ctx, part{"show", func(ctx context.Context) error {
		for pause(ctx, 250*time.Millisecond) == nil {
			if err := a.show(picture); err != nil {
				return err
			}
		}
		return nil
	}})
	err := errors.Join(work(done.ctx), done.stop())
	return errors.Join(err, a.show(picture), picture.Close())
}

// picture is a new one for a terminal; plain lines go on where they were, so that nothing is told twice.
func (a *app) picture() face {
	if a.shown == nil || isTerminal(a.out) {
		a.shown = newFace(a.out)
	}
	return a.shown
}

func (a *app) show(picture face) error {
	rows, err := a.table.rows()
	if errors.Is(err, errNotReady) {
		return nil
	}
	picture.Show(a.all.snapshot(rows))
	return err
}

func (a *app) printSummary(want *Snapshot) error {
	rows, err := a.table.rows()
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(a.out, "\n%s", summary(a.all.snapshot(rows), want))
	return err
}
