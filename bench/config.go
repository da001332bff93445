package main

import (
	"flag"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/tarnstream/tarn/bench/workload"
)

type config struct {
	shape   workload.Shape
	runs    int
	warmups int
	brokers []string
	own     bool // the broker is run by us: none was given
	out     string
	profile string
	command string // "" compares everything
	// countRatio and restoreRatio are the least that tarn must reach of goka's speed, guaranteeRatio what exactly-once must
	// reach of at-least-once; 0 asks for nothing.
	countRatio, restoreRatio, guaranteeRatio float64
}

const (
	// rebuildCommand compares restores alone, where a fold in memory has the least to gain: every other record is of a new key.
	rebuildCommand = "rebuild"
	// guaranteesCommand compares counts of tarn's two guarantees alone, on a real Kafka: what a transaction costs there.
	guaranteesCommand = "guarantees"
)

// onKafka tells that the broker of the command is Apache Kafka: in the embedded one a transaction costs too little.
func (c config) onKafka() bool { return c.command == guaranteesCommand || c.command == latencyCommand }

// counters are the clients whose counts are compared, restorers those whose restores are.
func (c config) counters() []string {
	switch c.command {
	case rebuildCommand:
		return nil
	case guaranteesCommand:
		return []string{workload.Tarn, workload.TarnAtLeastOnce}
	}
	return []string{workload.Tarn, workload.TarnAtLeastOnce, workload.Goka}
}

func (c config) restorers() []string {
	if c.command == guaranteesCommand {
		return nil
	}
	return []string{workload.Tarn, workload.Goka}
}

// peer is whom the others are compared to.
func (c config) peer() string {
	if c.command == guaranteesCommand {
		return workload.TarnAtLeastOnce
	}
	return workload.Goka
}

func parse(args []string, stderr io.Writer) (config, error) {
	c, runs, records, keys := config{warmups: 1}, 5, 1_000_000, 100_000
	if len(args) > 0 && (args[0] == rebuildCommand || args[0] == guaranteesCommand) {
		c.command, args = args[0], args[1:]
	}
	switch c.command {
	case rebuildCommand:
		records, keys = 2_000_000, 1_000_000
	case guaranteesCommand:
		runs = 3
	}
	var brokers string
	var quick bool
	fs := flag.NewFlagSet("bench", flag.ContinueOnError)
	fs.SetOutput(stderr)
	fs.IntVar(&c.runs, "runs", runs, "runs of each client that count, after a warm-up")
	fs.IntVar(&c.shape.Records, "records", records, "records of each topic")
	fs.IntVar(&c.shape.Keys, "keys", keys, "different keys")
	fs.IntVar(&c.shape.Partitions, "partitions", 4, "partitions of each topic")
	fs.IntVar(&c.shape.ValueBytes, "value", 100, "`bytes` of a value")
	fs.Uint64Var(&c.shape.Seed, "seed", 1, "draws keys and values")
	fs.StringVar(&brokers, "brokers", "", "`addresses` of a Kafka to use, separated by commas; without it one is run: tarn dev, for guarantees Apache Kafka")
	fs.StringVar(&c.out, "out", "", "`folder` for results.json, results.md and plot.png")
	fs.StringVar(&c.profile, "profile", "", "`folder` for a processor and a heap profile of each run")
	fs.BoolVar(&quick, "quick", false, "200,000 records, 20,000 keys, 3 runs without a warm-up; other flags win")
	c.ratios(fs)
	if err := fs.Parse(args); err != nil {
		return c, err
	}
	if fs.NArg() > 0 {
		return c, fmt.Errorf("bench: unexpected argument %q", fs.Arg(0))
	}
	if quick {
		c.quick(fs)
	}
	if c.own = brokers == ""; !c.own {
		c.brokers = strings.Split(brokers, ",")
	}
	if c.runs < 1 {
		return c, fmt.Errorf("bench: -runs %d: at least 1", c.runs)
	}
	return c, c.shape.Fault()
}

// ratios are the flags that ask for what the command measures.
func (c *config) ratios(fs *flag.FlagSet) {
	if slices.Contains(c.counters(), workload.Goka) {
		fs.Float64Var(&c.countRatio, "count-ratio", 0, "fail when tarn's count, at least once as goka's is, is not at least so many times as fast as goka's")
	}
	if c.counters() != nil {
		fs.Float64Var(&c.guaranteeRatio, "guarantee-ratio", 0, "fail when tarn's count exactly once is not at least so many times as fast as at least once")
	}
	if c.restorers() != nil {
		fs.Float64Var(&c.restoreRatio, "restore-ratio", 0, "fail when tarn's restore is not at least so many times as fast as goka's")
	}
}

// quick makes small what was not asked for.
func (c *config) quick(fs *flag.FlagSet) {
	asked := map[string]bool{}
	fs.Visit(func(f *flag.Flag) { asked[f.Name] = true })
	small := func(name string, at *int, n int) {
		if !asked[name] {
			*at = n
		}
	}
	small("runs", &c.runs, 3)
	small("records", &c.shape.Records, 200_000)
	small("keys", &c.shape.Keys, 20_000)
	c.warmups = 0
}
