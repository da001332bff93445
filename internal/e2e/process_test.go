//go:build kafka

package e2e_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tarnstream/tarn/codec"
	"github.com/tarnstream/tarn/internal/child"
	"github.com/tarnstream/tarn/observe"
	"github.com/tarnstream/tarn/processor"
	"github.com/tarnstream/tarn/topology"
)

// asMember is the first argument of a child: this test program as one member of a counting group. What follows are the
// beginning of the names, the state directory and the brokers.
const asMember = "member"

// member counts the records of "input" by key until SIGTERM. What happens is a line of its standard output.
func member(name, dir string, brokers []string) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	go func() { // with the parent it ends at once
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(1)
	}()
	s := &site{name: name}
	group, _, err := s.counting(func(string) {})
	if err != nil {
		return err
	}
	p, err := processor.New(group, processor.Brokers(brokers...), processor.StateDir(dir), processor.Logger(slog.New(slog.NewTextHandler(os.Stderr, nil))),
		processor.Observe(observe.Observer{
			Rebalance:      func(r observe.Rebalance) { fmt.Println("rebalance", r.Kind, len(r.Tasks)) },
			RestorePlanned: func(r observe.Restore) { fmt.Println("plan", r.Plan.Decision) },
		}))
	if err != nil {
		return err
	}
	go func() {
		<-p.Ready()
		fmt.Println("ready")
	}()
	return p.Run(ctx)
}

// counting is the group that counts the records of "input" by key, in "count".
func (s *site) counting(each func(key string)) (*topology.Group, *topology.Table[int64], error) {
	input, table := topology.NewStream(s.topic("input"), codec.String), topology.NewTable(s.topic("count"), codec.Int64)
	group, err := topology.Define(s.topic("group"), topology.Persist(table), topology.Input(input, func(ctx *topology.Context, _ string) error {
		each(ctx.Key())
		n, _, err := table.Get(ctx)
		if err != nil {
			return err
		}
		return table.Set(ctx, n+1)
	}))
	return group, table, err
}

// process is a child.
type process struct {
	*site
	*child.Process

	mu    sync.Mutex
	lines []string
}

func (s *site) startMember(dir string) *process {
	s.Helper()
	p := &process{site: s}
	out, said := io.Pipe()
	var err error
	p.Process, err = child.Start(child.Config{Log: filepath.Join(dir, "log"), Said: said, Args: append([]string{asMember, s.name, dir}, s.cluster.Addrs()...)})
	require.NoError(s, err)
	read := make(chan struct{})
	go func() {
		defer close(read)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			p.mu.Lock()
			p.lines = append(p.lines, lines.Text())
			p.mu.Unlock()
		}
	}()
	s.Cleanup(func() {
		p.Kill()
		_ = said.Close()
		<-read
		if s.Failed() {
			text, _ := os.ReadFile(filepath.Join(dir, "log"))
			s.Logf("log of %s:\n%s\n%s", dir, text, strings.Join(p.said(""), "\n"))
		}
	})
	return p
}

// said are the lines so far that begin so.
func (p *process) said(begin string) (lines []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, line := range p.lines {
		if strings.HasPrefix(line, begin) {
			lines = append(lines, line)
		}
	}
	return lines
}

// awaitLine waits until n lines that begin so have been said.
func (p *process) awaitLine(begin string, n int) {
	p.Helper()
	require.Eventually(p, func() bool { return len(p.said(begin)) >= n }, patience, 5*time.Millisecond, begin)
}

// requireEnd requires that the process ends by itself, with status 0, and tells how long that took.
func (p *process) requireEnd() (took time.Duration) {
	p.Helper()
	began := time.Now()
	select {
	case err := <-p.Ended():
		require.NoError(p, err)
	case <-time.After(patience):
		require.FailNow(p, "the process does not end")
	}
	return time.Since(began)
}
