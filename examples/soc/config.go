package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"iter"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/tarnstream/tarn/examples/soc/sshlog"
)

// generatedRate is the default for generated lines: with some 2,000 of them a
// run of about 20 s. A file is fed as fast as it goes.
const generatedRate = 100

// config is the command line. What is empty or 0 is the default that its flag
// names; parseConfig has filled it in where that needs no broker.
type config struct {
	// Log is the file to feed; empty for generated lines.
	Log string
	// Year is that of the lines.
	Year int
	// Rate is in lines a second; 0 is as fast as it goes.
	Rate int
	// Brokers of a real Kafka; none for the embedded one.
	Brokers []string
	// Prefix of topics and groups.
	Prefix string
	// Keep holds the embedded broker's data and the state; empty for a folder
	// that is thrown away.
	Keep string
	// State is the state directory; empty for one that is thrown away.
	State string
	// Feed says that this instance feeds the lines.
	Feed bool
	// HTTP is the address to serve on; empty for none.
	HTTP string
	// Expire shows what happens when the table's records are deleted.
	Expire bool
	// Seed of the generator.
	Seed uint64
}

// parseConfig reads the arguments behind the program's name; now gives the
// default year and the fresh prefix. All faults are reported in one error; the
// usage goes to out. flag.ErrHelp is returned for -h.
func parseConfig(args []string, now time.Time, out io.Writer) (config, error) {
	var c config
	var brokers string
	set := flag.NewFlagSet("soc", flag.ContinueOnError)
	set.SetOutput(out)
	set.StringVar(&c.Log, "log", "", "feed this sshd log `file` instead of generated lines")
	set.IntVar(&c.Year, "year", now.Year(), "`year` of the lines, which do not name it")
	set.IntVar(&c.Rate, "rate", 0, fmt.Sprintf("`lines` to feed a second (0: %d for generated lines, as fast as it goes for a file)", generatedRate))
	set.StringVar(&brokers, "brokers", "", "use the Kafka at these `host:port`s, with commas, instead of the embedded broker")
	set.StringVar(&c.Prefix, "prefix", "", "put this `name` before topics and groups (with -brokers by default a fresh one)")
	set.StringVar(&c.Keep, "keep", "", "hold the embedded broker's data and the state in this `folder`, and go on from there")
	set.StringVar(&c.State, "state", "", "keep the state in this `folder`")
	set.BoolVar(&c.Feed, "feed", true, "feed lines; false for a further instance")
	set.StringVar(&c.HTTP, "http", "", "serve GET /attackers?top=10, /attackers/ADDRESS, /alerts?since=TIME, /ready and /metrics on this `address` until interrupted")
	set.BoolVar(&c.Expire, "expire", false, "show how the table follows when its records are deleted (embedded broker only)")
	set.Uint64Var(&c.Seed, "seed", 1, "`seed` of the generated lines")
	if err := set.Parse(args); err != nil {
		return config{}, err
	}
	if brokers != "" {
		c.Brokers = strings.Split(brokers, ",")
	}
	given := make(map[string]bool)
	set.Visit(func(f *flag.Flag) { given[f.Name] = true })
	if err := c.check(set.Args(), given); err != nil {
		return config{}, err
	}
	c.fill(now)
	return c, nil
}

// check returns every fault of the command line, joined.
func (c *config) check(rest []string, given map[string]bool) error {
	var faults []error
	when := func(bad bool, format string, args ...any) {
		if bad {
			faults = append(faults, fmt.Errorf("soc: "+format, args...))
		}
	}
	when(len(rest) > 0, "unexpected argument %q", strings.Join(rest, " "))
	when(c.Year < 1970 || c.Year > 9998, "-year %d is not a year from 1970 to 9998", c.Year)
	when(c.Rate < 0, "-rate %d is negative", c.Rate)
	for _, broker := range c.Brokers {
		_, _, err := net.SplitHostPort(broker)
		when(err != nil, "-brokers: %q is not host:port", broker)
	}
	when(strings.Trim(c.Prefix, prefixLetters) != "" || len(c.Prefix) > 100,
		"-prefix %q: letters, digits, '.', '_' and '-' only, 100 at most", c.Prefix)
	if c.HTTP != "" {
		_, _, err := net.SplitHostPort(c.HTTP)
		when(err != nil, "-http: %q is not host:port or :port", c.HTTP)
	}
	real := len(c.Brokers) > 0
	when(real && c.Keep != "", "-keep holds the embedded broker's data: with -brokers give -state")
	when(real && c.Expire, "-expire needs the embedded broker: leave -brokers out")
	when(c.Keep != "" && c.State != "", "-keep holds the state too: leave -state out")
	when(!c.Feed && c.Expire, "-expire feeds on: leave -feed=false out")
	when(!c.Feed && given["log"], "-feed=false feeds nothing: leave -log out")
	when(!c.Feed && real && c.Prefix == "", "-feed=false needs the -prefix of the instance that feeds")
	when(!c.Feed && !real && c.Keep == "", "-feed=false needs -brokers, or -keep with what was fed before")
	return errors.Join(faults...)
}

const prefixLetters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-"

func (c *config) fill(now time.Time) {
	if c.Log == "" && c.Rate == 0 {
		c.Rate = generatedRate
	}
	if len(c.Brokers) > 0 && c.Prefix == "" {
		c.Prefix = fmt.Sprintf("soc-%s-%03d-", now.UTC().Format("20060102-150405"), now.Nanosecond()/1e6)
	}
	if c.Keep != "" {
		c.State = filepath.Join(c.Keep, "state")
	}
}

// lines are the input: of the file, or generated. Each call starts anew; the
// sequence may be walked once, and closes the file at its end.
func (c config) lines() (iter.Seq2[sshlog.Line, error], error) {
	if c.Log == "" {
		return generate(c.Seed, c.Year), nil
	}
	file, err := os.Open(c.Log)
	if err != nil {
		return nil, fmt.Errorf("soc: -log: %w", err)
	}
	return func(yield func(sshlog.Line, error) bool) {
		defer file.Close()
		sshlog.Lines(file)(yield)
	}, nil
}
