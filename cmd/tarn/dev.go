package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"

	"github.com/tarnstream/tarn/devbroker"
)

type devFlags struct {
	data    string
	port    int
	relaxed bool
	verbose bool
}

// dev runs a broker until ctx ends.
func dev(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	f, err := parseDev(args, stdout, stderr)
	if err != nil {
		return err
	}
	opts := []devbroker.Option{devbroker.Port(f.port)}
	if f.data != "" {
		opts = append(opts, devbroker.Dir(f.data))
	}
	if f.relaxed {
		opts = append(opts, devbroker.Relaxed())
	}
	if f.verbose {
		opts = append(opts, devbroker.Logger(slog.New(slog.NewTextHandler(stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))))
	}
	b, err := devbroker.Start(opts...)
	if err != nil {
		return err
	}
	greet(stdout, b.Addrs()[0], f)
	<-ctx.Done()
	if err := b.Close(); err != nil {
		return err
	}
	fmt.Fprintln(stdout, "ended")
	return nil
}

func parseDev(args []string, stdout, stderr io.Writer) (devFlags, error) {
	var f devFlags
	fs := flag.NewFlagSet("tarn dev", flag.ContinueOnError)
	fs.SetOutput(stderr)
	fs.StringVar(&f.data, "data", "", "`folder` to keep the data in; without it all is in memory and gone at the end")
	fs.IntVar(&f.port, "port", 9092, "`port` on 127.0.0.1; 0 takes a free one")
	fs.BoolVar(&f.relaxed, "relaxed", false, "do not sync -data to disk for every write: faster, safe against a kill, not against a loss of power")
	fs.BoolVar(&f.verbose, "verbose", false, "write the broker's log to standard error")
	if len(args) > 0 && (args[0] == "-h" || args[0] == "-help" || args[0] == "--help") {
		fs.SetOutput(stdout) // asked for, thus no error
	}
	if err := fs.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return f, err
		}
		return f, errUsage // the flag package has told why
	}
	fault := ""
	switch {
	case fs.NArg() > 0:
		fault = fmt.Sprintf("unexpected argument %q", fs.Arg(0))
	case f.port < 0 || f.port > 65535:
		fault = fmt.Sprintf("-port %d is no port", f.port)
	case f.relaxed && f.data == "":
		fault = "-relaxed means nothing without -data"
	}
	if fault != "" {
		fmt.Fprintf(stderr, "tarn dev: %s\n", fault)
		fs.Usage()
		return f, errUsage
	}
	return f, nil
}

func greet(w io.Writer, addr string, f devFlags) {
	where := "in memory (gone at the end, and growing with what is written)"
	if f.data != "" {
		where = "in " + f.data
	}
	fmt.Fprintf(w, `A broker that speaks Kafka's protocol, for development only: never for data that matters.

  address   %s
  data      %s

Try it:
  go run ./examples/soc -brokers %s
  kafka-topics.sh --bootstrap-server %s --list

Interrupt (ctrl-c) ends it.
`, addr, where, addr, addr)
}
