package main

import (
	"bytes"
	"flag"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

var started = time.Date(2026, 11, 24, 3, 11, 22, 5e6, time.UTC)

func parse(args string) (config, error) {
	return parseConfig(strings.Fields(args), started, io.Discard)
}

func TestConfig_Good(t *testing.T) {
	for args, want := range map[string]config{
		"":                          {Year: 2026, Rate: 100, Feed: true, Seed: 1},
		"-log a.log -year 2015":     {Log: "a.log", Year: 2015, Feed: true, Seed: 1},
		"-log a.log -rate 500":      {Log: "a.log", Year: 2026, Rate: 500, Feed: true, Seed: 1},
		"-keep d -expire -http :80": {Year: 2026, Rate: 100, Keep: "d", State: filepath.Join("d", "state"), Feed: true, HTTP: ":80", Expire: true, Seed: 1},
		"-keep d -feed=false":       {Year: 2026, Rate: 100, Keep: "d", State: filepath.Join("d", "state"), Seed: 1},
		"-brokers a:1,b:2 -seed 7":  {Year: 2026, Rate: 100, Brokers: []string{"a:1", "b:2"}, Prefix: "soc-20261124-031122-005-", Feed: true, Seed: 7},
		"-brokers a:1 -prefix p- -state s -feed=false": {Year: 2026, Rate: 100, Brokers: []string{"a:1"}, Prefix: "p-", State: "s", Seed: 1},
	} {
		got, err := parse(args)
		require.NoError(t, err, args)
		require.Equal(t, want, got, args)
	}
}

// Every fault of a command line is in the one error.
func TestConfig_AllFaultsAtOnce(t *testing.T) {
	for args, want := range map[string][]string{
		"-year 15 -rate -1 -http 80 extra word": {
			`unexpected argument "extra word"`,
			"-year 15 is not a year from 1970 to 9998",
			"-rate -1 is negative",
			`-http: "80" is not host:port or :port`,
		},
		"-brokers a:1,b -prefix a/b -keep d -state s -expire": {
			`-brokers: "b" is not host:port`,
			`-prefix "a/b": letters, digits, '.', '_' and '-' only, 100 at most`,
			"-keep holds the embedded broker's data: with -brokers give -state",
			"-expire needs the embedded broker: leave -brokers out",
			"-keep holds the state too: leave -state out",
		},
		"-feed=false -expire -log a": {
			"-expire feeds on: leave -feed=false out",
			"-feed=false feeds nothing: leave -log out",
			"-feed=false needs -brokers, or -keep with what was fed before",
		},
		"-feed=false -brokers a:1": {"-feed=false needs the -prefix of the instance that feeds"},
	} {
		_, err := parse(args)
		require.EqualError(t, err, "soc: "+strings.Join(want, "\nsoc: "), args)
	}
}

func TestConfig_Usage(t *testing.T) {
	var out bytes.Buffer
	_, err := parseConfig([]string{"-h"}, started, &out)
	require.ErrorIs(t, err, flag.ErrHelp)
	for _, name := range []string{"-log file", "-year year", "-rate lines", "-brokers", "-prefix", "-keep", "-state", "-feed", "-http", "-expire", "-seed"} {
		require.Contains(t, out.String(), name)
	}
	_, err = parse("-nonsense")
	require.Error(t, err)
}

func TestConfig_MissingLog(t *testing.T) {
	_, err := config{Log: filepath.Join(t.TempDir(), "none")}.lines()
	require.ErrorIs(t, err, os.ErrNotExist)
}
