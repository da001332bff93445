package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/tarnstream/tarn/internal/inspect"
)

func stateCommands() []command {
	return []command{
		{"inspect", "what is on disk, and who holds it", stateInspect},
		{"plan", "what a start would do with each store, and why", statePlan},
		{"verify", "compare each store with its topic", stateVerify},
		{"export", "write the rows of a table as JSON lines", stateExport},
		{"reset", "remove the state of a stopped group: on disk, and its offsets", stateReset},
	}
}

// state looks after state directories.
func state(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	if len(args) > 0 {
		for _, c := range stateCommands() {
			if c.name == args[0] {
				return c.run(ctx, args[1:], stdout, stderr)
			}
		}
	}
	if len(args) > 0 && isHelp(args[0]) {
		stateUsage(stdout)
		return nil
	}
	if len(args) > 0 {
		fmt.Fprintf(stderr, "tarn state: unknown command %q\n", args[0])
	}
	stateUsage(stderr)
	return errUsage
}

func stateUsage(w io.Writer) {
	fmt.Fprintln(w, "usage: tarn state <command> DIR [flags]")
	list(w, stateCommands())
	fmt.Fprintln(w, "DIR is a state directory, or the folder of one group or view in it.")
	fmt.Fprintln(w, "tarn state <command> -h tells a command's flags.")
}

// stateFlags are what the commands on a state directory share.
type stateFlags struct {
	set     *flag.FlagSet
	stdout  io.Writer
	stderr  io.Writer
	dir     string
	brokers string
	config  string
	timeout time.Duration
	json    bool
	values  inspect.Values
}

func newStateFlags(name string, stdout, stderr io.Writer) *stateFlags {
	f := &stateFlags{set: flag.NewFlagSet("tarn state "+name, flag.ContinueOnError), stdout: stdout, stderr: stderr, values: inspect.Text}
	f.set.SetOutput(stderr)
	f.set.Usage = func() {
		fmt.Fprintf(f.set.Output(), "usage: %s DIR [flags]\n", f.set.Name())
		f.set.PrintDefaults()
	}
	return f
}

// scripting adds the choice of JSON.
func (f *stateFlags) scripting() *stateFlags {
	f.set.BoolVar(&f.json, "json", false, "write JSON, for scripts")
	return f
}

// asking adds what is needed to ask Kafka.
func (f *stateFlags) asking() *stateFlags {
	f.set.StringVar(&f.brokers, "brokers", "", "`addresses` of brokers, host:port, with commas between them")
	f.set.StringVar(&f.config, "config", "", "`file` with client properties, for TLS and SASL, as Kafka's tools and kcat take it:\n"+
		"security.protocol, ssl.ca.location, ssl.certificate.location, ssl.key.location,\n"+
		"sasl.mechanism (PLAIN, SCRAM-SHA-256, SCRAM-SHA-512), sasl.username, sasl.password.\n"+
		"A password that is not in it is read from "+inspect.PasswordVariable)
	f.set.DurationVar(&f.timeout, "timeout", 30*time.Second, "`time` to reach a broker in")
	return f
}

// parse takes DIR before the flags or after them.
func (f *stateFlags) parse(args []string) error {
	if len(args) > 0 && isHelp(args[0]) {
		f.set.SetOutput(f.stdout)
	}
	if len(args) > 0 && !strings.HasPrefix(args[0], "-") {
		f.dir, args = args[0], args[1:]
	}
	if err := f.set.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return err
		}
		return errUsage // the flag package has told why
	}
	rest := f.set.Args()
	if f.dir == "" && len(rest) > 0 {
		f.dir, rest = rest[0], rest[1:]
	}
	switch {
	case f.dir == "":
		return f.misused("no directory given")
	case len(rest) > 0:
		return f.misused("unexpected argument %q", rest[0])
	case f.timeout <= 0 && f.set.Lookup("timeout") != nil:
		return f.misused("-timeout %v leaves no time", f.timeout)
	}
	if err := f.values.Check(); err != nil {
		return f.misused("-%v", err)
	}
	return nil
}

// misused tells what is wrong with the command line.
func (f *stateFlags) misused(format string, args ...any) error {
	fmt.Fprintf(f.stderr, "%s: %s\n", f.set.Name(), fmt.Sprintf(format, args...))
	f.set.Usage()
	return errUsage
}

// connect reaches the brokers within -timeout.
func (f *stateFlags) connect(ctx context.Context) (*inspect.Kafka, error) {
	brokers := split(f.brokers)
	if len(brokers) == 0 {
		return nil, f.misused("no brokers given: use -brokers")
	}
	ctx, cancel := context.WithTimeout(ctx, f.timeout)
	defer cancel()
	return inspect.Connect(ctx, brokers, f.config)
}

// writeJSON writes v as indented JSON.
func (f *stateFlags) writeJSON(v any) error {
	e := json.NewEncoder(f.stdout)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

func isHelp(arg string) bool {
	return arg == "-h" || arg == "-help" || arg == "--help" || arg == "help"
}
