// Command bench measures tarn beside goka and Kafka Streams, which do the same work on the same topics of the same broker.
//
//	go run ./bench                        # count and rebuild, 5 runs of each client by turns: a quarter of an hour
//	go run ./bench -targets               # count, rebuild and restart, and how they stand to the figures to reach
//	go run ./bench count map -runs 3      # only these sections; go run ./bench -h names them
//	go run ./bench all -out docs/benchmarks -doc docs/benchmarks.md   # everything, and all files: four hours
//	go run ./bench count -clients tarn,tarn-at-least-once             # only these clients
//	go run ./bench -quick                 # small, tarn and goka alone: is it still about as fast as it was?
//
// Sections are named before the flags. The broker is an Apache Kafka that is started for it, which needs Java and Maven;
// -embedded takes tarn's development broker instead, -brokers a Kafka of your own. The broker and every client run in
// processes of their own. docs/benchmarks.md describes the method and shows the figures of a run.
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
	c, err := parse(args, os.Stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	return exit(c.with(ctx, out, func(b *bench) error { return b.all(ctx) }))
}

func exit(err error) int {
	if err != nil {
		fmt.Fprintf(os.Stderr, "bench: %v\n", err)
		return 1
	}
	return 0
}
