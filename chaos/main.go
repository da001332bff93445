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

	"github.com/tarnstream/tarn/internal/realkafka"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(program(ctx, os.Args[1:], os.Stdout))
}

// config is what a run is to do.
type config struct {
	time       time.Duration
	seed       uint64
	processes  int
	brokers    int
	guarantee  guarantee
	partitions int
	keys       int
	rate       int // inputs a second
	kafka      string
	dir        string
	broken     breach
}

// The statuses that the program ends with.
const (
	statusOK    = 0
	statusBad   = 1
	statusUsage = 2
	statusFull  = 3 // of a member: the disk is full
)

// program is main with its surroundings handed in; it gives the exit status.
func program(ctx context.Context, args []string, out io.Writer) int {
	if len(args) > 0 && args[0] == memberCommand {
		return member(ctx, args[1:])
	}
	c, err := parse(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return statusOK
	case err != nil:
		fmt.Fprintln(os.Stderr, err)
		return statusUsage
	}
	if err := chaos(ctx, c, out); err != nil {
		fmt.Fprintf(out, "chaos: FAILED: %v\n", err)
		return statusBad
	}
	return statusOK
}

func parse(args []string) (config, error) {
	c := config{}
	fs := flag.NewFlagSet("chaos", flag.ContinueOnError)
	fs.DurationVar(&c.time, "for", time.Minute, "how long faults happen")
	fs.Uint64Var(&c.seed, "seed", 0, "of the scripts; 0 draws one")
	fs.IntVar(&c.processes, "processes", 3, "of the group")
	fs.IntVar(&c.brokers, "brokers", 3, "of the cluster: 1, which nothing happens to, or 3")
	fs.Func("guarantee", "what the group promises: exactly-once or at-least-once", c.setGuarantee)
	fs.IntVar(&c.partitions, "partitions", 6, "of each topic")
	fs.IntVar(&c.keys, "keys", 200, "different keys")
	fs.IntVar(&c.rate, "rate", 300, "inputs a second")
	fs.StringVar(&c.kafka, "kafka", realkafka.Newest, "the `version` of Apache Kafka")
	fs.StringVar(&c.dir, "dir", "", "`folder` for brokers, tables and logs, which stay; without it a temporary one, which stays after a failure")
	fs.Func("broken", "break the group, to see that it is found: outputs are sent after the commit of their inputs, or offsets are committed behind the effects, without a transaction", c.setBroken)
	if err := fs.Parse(args); err != nil {
		return c, err
	}
	if c.guarantee == "" {
		c.guarantee = exactlyOnce
	}
	if c.seed == 0 {
		c.seed = rand.Uint64()
	}
	bad := fs.NArg() > 0 || c.time <= 0 || c.processes < 1 || c.partitions < 1 || c.rate < 1
	switch {
	case bad || c.keys < 1:
		return c, errors.New("chaos: flags only, and positive ones")
	case c.broken == looseOffsets && c.guarantee == atLeastOnce:
		return c, errors.New("chaos: -broken offsets is what at-least-once is")
	case c.brokers != 1 && c.brokers != 3:
		return c, errors.New("chaos: 1 or 3 brokers")
	}
	return c, nil
}

func (c *config) setGuarantee(name string) error {
	c.guarantee = guarantee(name)
	if c.guarantee != exactlyOnce && c.guarantee != atLeastOnce {
		return fmt.Errorf("neither %s nor %s", exactlyOnce, atLeastOnce)
	}
	return nil
}

func (c *config) setBroken(name string) error {
	c.broken = breach(name)
	if c.broken != lateOutputs && c.broken != looseOffsets {
		return fmt.Errorf("neither %s nor %s", lateOutputs, looseOffsets)
	}
	return nil
}
