package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tarnstream/tarn/bench/figures"
	"github.com/tarnstream/tarn/bench/workload"
)

type config struct {
	sections []section
	clients  []string // only these; none for all
	runs     int
	warmups  int
	scale    float64
	shape    workload.Shape // over each work's own where above 0
	brokers  []string
	own      bool // the broker is run by us: none was given
	embedded bool // and is tarn's
	out      string
	doc      string
	profile  string
	targets  bool
	asked    []figures.Target // which the command fails for

	load      workload.Steady // of the latency
	intervals []time.Duration // its commit intervals
	memory    memoryConfig
}

// quickScale and quickRuns are -quick's.
const (
	quickScale = 0.25
	quickRuns  = 3
)

func parse(args []string, stderr io.Writer) (c config, err error) {
	at := slices.IndexFunc(args, func(a string) bool { return strings.HasPrefix(a, "-") })
	if at < 0 {
		at = len(args)
	}
	names, args := args[:at], args[at:]
	fs := flag.NewFlagSet("bench", flag.ContinueOnError)
	fs.SetOutput(stderr)
	fs.Usage = func() { usage(fs) }
	var clients, brokers, intervals, options string
	var quick bool
	fs.StringVar(&clients, "clients", "", "only these `clients`, separated by commas, of those that each section has")
	fs.StringVar(&brokers, "brokers", "", "`addresses` of a Kafka to use, separated by commas, instead of one that is started")
	fs.StringVar(&intervals, "commit-intervals", "100ms,20ms", "latency: `intervals` at which tarn and Kafka Streams commit, separated by commas")
	fs.StringVar(&options, "memory-options", "0,128", "memory: values of processor.MemoryBytes in `MiB`, separated by commas; 0 is the default")
	fs.BoolVar(&quick, "quick", false, fmt.Sprintf("small, tarn and goka alone: -scale %g, %d runs without a warm-up; other flags win", quickScale, quickRuns))
	c.flags(fs)
	asked := asks(fs)
	if err := fs.Parse(args); err != nil {
		return c, err
	}
	if fs.NArg() > 0 {
		return c, fmt.Errorf("bench: unexpected argument %q: sections go before the flags", fs.Arg(0))
	}
	if quick {
		c.quick(fs, &clients)
	}
	if c.clients, c.brokers = list(clients), list(brokers); len(c.brokers) == 0 {
		c.own = true
	}
	c.asked = asked()
	if c.memory.options, err = mebibytes(options); err != nil {
		return c, err
	}
	if c.intervals, err = durations(intervals); err != nil {
		return c, err
	}
	if err := c.fault(); err != nil {
		return c, err
	}
	return c, c.choose(names)
}

// flags are those that go into the config as they are.
func (c *config) flags(fs *flag.FlagSet) {
	fs.BoolVar(&c.targets, "targets", false, "print how the figures stand to those to reach; without sections: of count, rebuild and restart; of those that are not measured now as the folder of -out has them")
	fs.IntVar(&c.runs, "runs", 5, "runs of each client that count")
	fs.IntVar(&c.warmups, "warmups", 1, "runs of each client before them, that do not")
	fs.Float64Var(&c.scale, "scale", 1, "the part of each work's records and keys that is measured")
	fs.IntVar(&c.shape.Records, "records", 0, "records of each topic; 0 for each work's own")
	fs.IntVar(&c.shape.Keys, "keys", 0, "different keys; 0 for each work's own")
	fs.IntVar(&c.shape.Partitions, "partitions", 0, "partitions of each topic; 0 for each work's own")
	fs.IntVar(&c.shape.ValueBytes, "value", 0, "`bytes` of a value; 0 for each work's own")
	fs.Uint64Var(&c.shape.Seed, "seed", 1, "draws keys and values")
	fs.BoolVar(&c.embedded, "embedded", false, "run tarn's development broker instead of Apache Kafka")
	fs.StringVar(&c.out, "out", "", "`folder` for figures as JSON and Markdown, and plots")
	fs.StringVar(&c.doc, "doc", "", "Markdown `file` whose marked places get the figures; with -out")
	fs.StringVar(&c.profile, "profile", "", "`folder` for a processor and a heap profile of each run")
	fs.IntVar(&c.load.Rate, "latency-rate", 10_000, "latency: records a second")
	fs.DurationVar(&c.load.Measured, "latency-time", 20*time.Second, "latency: how long records are timed")
	fs.DurationVar(&c.load.Warmup, "latency-warmup", 5*time.Second, "latency: how long they are not, before that")
	fs.IntVar(&c.memory.rate, "memory-rate", 8<<20, "memory: what may be written to the broker, in `bytes` a second; 0 for as fast as it takes it")
}

// asks are the flags that ask for a ratio. What it gives is known after Parse.
func asks(fs *flag.FlagSet) func() []figures.Target {
	all := ratios()
	for i := range all {
		fs.Float64Var(&all[i].Least, all[i].name, 0, all[i].usage)
	}
	return func() (asked []figures.Target) {
		for _, r := range all {
			if r.Least > 0 {
				asked = append(asked, r.Target)
			}
		}
		return asked
	}
}

func usage(fs *flag.FlagSet) {
	out := fs.Output()
	fmt.Fprint(out, "usage: bench [sections] [flags]\n\nSections, count and rebuild by default, all for all of them:\n\n")
	for _, s := range sections() {
		fmt.Fprintf(out, "  %-16s %s\n", s.name, s.about)
		for _, line := range s.setup() {
			fmt.Fprintf(out, "  %-16s   %s\n", "", line)
		}
	}
	fmt.Fprintf(out, "\nClients, each in the sections whose work it can do:\n\n  %s\n\nFlags:\n\n", strings.Join(clientNames(), ", "))
	fs.PrintDefaults()
}

// quick makes small what was not asked for.
func (c *config) quick(fs *flag.FlagSet, clients *string) {
	asked := map[string]bool{}
	fs.Visit(func(f *flag.Flag) { asked[f.Name] = true })
	small(asked["runs"], &c.runs, quickRuns)
	small(asked["warmups"], &c.warmups, 0)
	small(asked["scale"], &c.scale, quickScale)
	small(asked["clients"], clients, strings.Join([]string{workload.Tarn, workload.TarnAtLeastOnce, workload.Goka}, ","))
}

func small[T any](asked bool, at *T, v T) {
	if !asked {
		*at = v
	}
}

// choose takes the sections that were named, or those of the flags.
func (c *config) choose(names []string) (err error) {
	switch {
	case len(names) > 0:
	case c.targets:
		names = targetSections()
	default:
		names = []string{countWork, rebuildWork}
	}
	if c.sections, err = pick(names); err != nil {
		return err
	}
	for _, client := range c.clients {
		if !slices.Contains(clientNames(), client) {
			return fmt.Errorf("bench: no client %q; -h names them", client)
		}
	}
	for i := range c.sections {
		if c.sections[i], err = c.sections[i].only(c.clients).sized(*c); err != nil {
			return err
		}
	}
	return nil
}

func (c *config) fault() error {
	switch {
	case c.runs < 1 || c.warmups < 0:
		return fmt.Errorf("bench: -runs %d, -warmups %d: at least 1 and 0", c.runs, c.warmups)
	case c.scale <= 0:
		return fmt.Errorf("bench: -scale %g: above 0", c.scale)
	case c.embedded && !c.own:
		return fmt.Errorf("bench: -embedded and -brokers: one of them")
	case c.doc != "" && c.out == "":
		return fmt.Errorf("bench: -doc %s: its plots need -out", c.doc)
	}
	return nil
}

func list(text string) (items []string) {
	for _, item := range strings.Split(text, ",") {
		if item = strings.TrimSpace(item); item != "" {
			items = append(items, item)
		}
	}
	return items
}

func durations(text string) (all []time.Duration, err error) {
	for _, item := range list(text) {
		d, err := time.ParseDuration(item)
		if err != nil || d <= 0 || d%time.Millisecond != 0 || slices.Contains(all, d) {
			return nil, fmt.Errorf("bench: -commit-intervals %q: not whole milliseconds above 0, or twice", item)
		}
		all = append(all, d)
	}
	if len(all) == 0 {
		return nil, errors.New("bench: -commit-intervals: none")
	}
	return all, nil
}

func mebibytes(text string) (bytes []int64, err error) {
	for _, item := range list(text) {
		n, err := strconv.ParseInt(item, 10, 32)
		if err != nil || n < 0 {
			return nil, fmt.Errorf("bench: -memory-options %q: not a number of MiB", item)
		}
		bytes = append(bytes, n<<20)
	}
	return bytes, nil
}
