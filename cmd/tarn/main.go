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

const (
	exitOK    = 0
	exitError = 1
	exitUsage = 2
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// A command is one word after tarn.
type command struct {
	name  string
	about string
	run   func(ctx context.Context, args []string, stdout, stderr io.Writer) error
}

func commands() []command {
	return []command{
		{"dev", "run a broker inside this process, for development only", dev},
		{"state", "look at state on disk, compare it with Kafka, or remove it", state},
	}
}

// errUsage is a command line that was not understood, and of which the user has been told.
var errUsage = errors.New("usage")

// run does what the arguments say and gives the exit code.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	if len(args) == 0 {
		usage(stderr)
		return exitUsage
	}
	if isHelp(args[0]) {
		usage(stdout)
		return exitOK
	}
	for _, c := range commands() {
		if c.name == args[0] {
			return exit(c.run(ctx, args[1:], stdout, stderr), stderr)
		}
	}
	fmt.Fprintf(stderr, "tarn: unknown command %q\n", args[0])
	usage(stderr)
	return exitUsage
}

func exit(err error, stderr io.Writer) int {
	switch {
	case err == nil, errors.Is(err, flag.ErrHelp):
		return exitOK
	case errors.Is(err, errUsage):
		return exitUsage
	}
	fmt.Fprintf(stderr, "tarn: %v\n", err)
	return exitError
}

func usage(w io.Writer) {
	fmt.Fprintln(w, "usage: tarn <command> [flags]")
	list(w, commands())
	fmt.Fprintln(w, "tarn <command> -h tells a command's flags.")
}

// list writes what each command does, between empty lines.
func list(w io.Writer, all []command) {
	fmt.Fprintln(w)
	for _, c := range all {
		fmt.Fprintf(w, "  %-8s %s\n", c.name, c.about)
	}
	fmt.Fprintln(w)
}
