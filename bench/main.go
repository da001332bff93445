// Command bench measures tarn, exactly-once and at-least-once, beside goka: a stateful count and the restore of a table.
//
//	go run ./bench                      # a million records, 5 runs of each, some minutes
//	go run ./bench -quick               # small: is it still about as fast as it was?
//	go run ./bench -out ./results       # also results.json, results.md and plot.png
//	go run ./bench -brokers host:9092   # a Kafka of your own instead of the embedded broker
//	go run ./bench rebuild              # only the restore, of 2 million records with a million keys
//	go run ./bench guarantees           # only the count, exactly-once and at-least-once, on Apache Kafka
//	go run ./bench latency              # from input to output at a steady rate, in both, on Apache Kafka
//	go run ./bench memory               # what processor.MemoryBytes holds 64 partitions and three tables to
//
// The broker and every client run in processes of their own. docs/benchmarks.md describes the method.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Stdout))
}

// run is main with its surroundings handed in; it gives the exit status.
func run(ctx context.Context, args []string, out io.Writer) int {
	if len(args) > 0 && args[0] == clientCommand {
		return exit(client(ctx, os.Stdin, out))
	}
	if len(args) > 0 && args[0] == memoryCommand {
		c, err := parseMemory(args[1:], os.Stderr)
		return measured(err, func() error { return pressure(ctx, c, out) })
	}
	if len(args) > 0 && args[0] == latencyCommand {
		c, err := parseLatency(args[1:], os.Stderr)
		return measured(err, func() error { return latency(ctx, c, out) })
	}
	c, err := parse(args, os.Stderr)
	return measured(err, func() error { return compare(ctx, c, out) })
}

// measured runs what the command line asks for, unless it was not understood.
func measured(err error, measure func() error) int {
	switch {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	return exit(measure())
}

func exit(err error) int {
	if err != nil {
		fmt.Fprintf(os.Stderr, "bench: %v\n", err)
		return 1
	}
	return 0
}
