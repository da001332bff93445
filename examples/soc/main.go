package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"os/signal"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Stdout))
}

// run is main with its surroundings handed in; it gives the exit status.
func run(ctx context.Context, args []string, out *os.File) int {
	c, err := parseConfig(args, time.Now(), os.Stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	if err := watch(ctx, c, out); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// watch is the whole run: start, feed, wait until all is handled, show, stop.
func watch(ctx context.Context, c config, out *os.File) (err error) {
	want, err := directCount(c)
	if err != nil {
		return err
	}
	if c.State == "" {
		if c.State, err = os.MkdirTemp("", "soc-"); err != nil {
			return fmt.Errorf("soc: %w", err)
		}
		defer func() { err = errors.Join(err, os.RemoveAll(c.State)) }()
	}
	var http net.Listener
	if c.HTTP != "" {
		if http, err = net.Listen("tcp", c.HTTP); err != nil {
			return fmt.Errorf("soc: -http: %w", err)
		}
	}
	a, err := newApp(ctx, c, out)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, a.close()) }()
	err = a.watch(ctx, http, want)
	if ctx.Err() != nil && errors.Is(err, context.Cause(ctx)) {
		return nil // interrupted, and stopped cleanly
	}
	return err
}

// directCount counts what will be fed, without Kafka; nil where this instance does not feed.
func directCount(c config) (*Snapshot, error) {
	if !c.Feed {
		return nil, nil
	}
	lines, err := c.lines()
	if err != nil {
		return nil, err
	}
	s, err := direct(lines, c.Year)
	return &s, err
}
