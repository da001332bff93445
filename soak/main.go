package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
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

// config is what a soak is to do.
type config struct {
	time       time.Duration
	seed       uint64
	partitions int
	keys       int
	rate       int // records a second
	freeze     bool
	dir        string
}

// run is main with its surroundings handed in; it gives the exit status.
func run(ctx context.Context, args []string, out io.Writer) int {
	if len(args) > 0 && args[0] == memberCommand {
		return status(os.Stderr, member(ctx, args[1:]))
	}
	c, err := parse(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	return status(out, soak(ctx, c, out))
}

func status(out io.Writer, err error) int {
	if err != nil {
		fmt.Fprintf(out, "soak: FAILED: %v\n", err)
		return 1
	}
	return 0
}

func parse(args []string) (config, error) {
	c := config{}
	fs := flag.NewFlagSet("soak", flag.ContinueOnError)
	fs.DurationVar(&c.time, "for", time.Minute, "how long instances join and leave")
	fs.Uint64Var(&c.seed, "seed", 0, "of the script of events; 0 draws one")
	fs.IntVar(&c.partitions, "partitions", 4, "of each topic")
	fs.IntVar(&c.keys, "keys", 500, "different keys")
	fs.IntVar(&c.rate, "rate", 500, "records a second")
	fs.BoolVar(&c.freeze, "freeze", false, "also stop processes for longer than their session, and let them go on")
	fs.StringVar(&c.dir, "dir", "", "`folder` for topics, tables and logs, which stay; without it a temporary one")
	if err := fs.Parse(args); err != nil {
		return c, err
	}
	if c.seed == 0 {
		c.seed = rand.Uint64()
	}
	if fs.NArg() > 0 || c.time <= 0 || c.partitions < 1 || c.keys < 1 || c.rate < 1 {
		return c, errors.New("soak: flags only, and positive ones")
	}
	return c, nil
}
