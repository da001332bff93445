//go:build kafka

package e2e_test

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tarnstream/tarn/codec"
	"github.com/tarnstream/tarn/observe"
	"github.com/tarnstream/tarn/processor"
	"github.com/tarnstream/tarn/state"
	"github.com/tarnstream/tarn/topology"
)

// program is a running view or processor that has the site's topic "table" as a table.
type program struct {
	*site
	*seen
	kind   string
	ready  <-chan struct{}
	try    func() (map[string]string, error) // the rows
	verify func(context.Context) ([]observe.Audit, error)
	cancel context.CancelFunc
	done   chan error
}

// seen is what an observer was told.
type seen struct {
	mu        sync.Mutex
	decisions []state.Decision
	causes    []string
	resets    int
	swept     int
	unproven  bool
	lost      int
}

func (s *seen) observer() observe.Observer {
	locked := func(fn func()) { s.mu.Lock(); defer s.mu.Unlock(); fn() }
	return observe.Observer{
		RestorePlanned: func(r observe.Restore) {
			locked(func() { s.decisions = append(s.decisions, r.Plan.Decision); s.causes = append(s.causes, r.Plan.Cause) })
		},
		RestoreDone: func(r observe.Restore) { locked(func() { s.unproven = s.unproven || r.Outcome.Unproven }) },
		Reset:       func(observe.Reset) { locked(func() { s.resets++ }) },
		Rebalance: func(r observe.Rebalance) {
			if r.Kind == "lost" {
				locked(func() { s.lost++ })
			}
		},
		Swept: func(w observe.Swept) { locked(func() { s.swept += w.Rows }) },
	}
}

func (s *seen) told(fn func(*seen) bool) bool { s.mu.Lock(); defer s.mu.Unlock(); return fn(s) }

// planned are the decisions made so far, and the last one's cause.
func (s *seen) planned() (decisions []state.Decision, cause string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]state.Decision(nil), s.decisions...), s.causes[len(s.causes)-1]
}

// programs are the ways to have a table. Each test of a restore runs with both.
var programs = map[string]func(s *site, dir string, options ...processor.Option) *program{"view": startView, "processor": startProcessor}

func (s *site) options(dir string, told *seen, more []processor.Option) []processor.Option {
	return append([]processor.Option{processor.Brokers(s.cluster.Addrs()...), processor.StateDir(dir), processor.Observe(told.observer()),
		processor.Logger(slog.New(slog.NewTextHandler(testWriter{s.T}, nil)))}, more...)
}

// testWriter gives log lines to the test, where it still runs.
type testWriter struct{ t *testing.T }

func (w testWriter) Write(p []byte) (int, error) {
	w.t.Log(strings.TrimSuffix(string(p), "\n"))
	return len(p), nil
}

func startView(s *site, dir string, options ...processor.Option) *program {
	s.Helper()
	p := &program{site: s, seen: &seen{}, kind: "view", done: make(chan error, 1)}
	v, err := processor.NewView(topology.NewTable(s.topic("table"), codec.String), s.options(dir, p.seen, options)...)
	require.NoError(s, err)
	p.ready, p.verify = v.Ready(), v.Verify
	p.try = func() (map[string]string, error) {
		rows := map[string]string{}
		for row, err := range v.Range() {
			if err != nil {
				return nil, err
			}
			if row.Key != endMark {
				rows[row.Key] = row.Value
			}
		}
		return rows, nil
	}
	p.run(v.Run)
	return p
}

// startProcessor runs a group that keeps the last value of each key of "input", and whose table is "table".
func startProcessor(s *site, dir string, options ...processor.Option) *program {
	s.Helper()
	input, table := topology.NewStream(s.topic("input"), codec.String), topology.NewTable(s.topic("table"), codec.String)
	group, err := topology.Define(s.topic("group"), topology.Persist(table),
		topology.Input(input, func(ctx *topology.Context, value string) error { return table.Set(ctx, value) }))
	require.NoError(s, err)
	p := &program{site: s, seen: &seen{}, kind: "processor", done: make(chan error, 1)}
	proc, err := processor.New(group, s.options(dir, p.seen, options)...)
	require.NoError(s, err)
	p.ready, p.verify = proc.Ready(), proc.Verify
	p.try = func() (map[string]string, error) {
		rows := map[string]string{}
		for key := range s.keys {
			value, ok, err := processor.Get(proc, table, key)
			if err != nil {
				return nil, err
			}
			if ok {
				rows[key] = value
			}
		}
		return rows, nil
	}
	p.run(proc.Run)
	return p
}

func (p *program) run(run func(context.Context) error) {
	ctx, cancel := context.WithCancel(context.Background())
	p.cancel = cancel
	go func() { p.done <- run(ctx) }()
	p.Cleanup(func() { cancel(); <-p.done })
}

// current waits until the table is current.
func (p *program) current() *program {
	p.Helper()
	select {
	case <-p.ready:
	case err := <-p.done:
		p.done <- err
		require.NoError(p, err)
	case <-time.After(patience):
		require.FailNow(p, "the table is not current")
	}
	return p
}

// requireFold requires that the table is what its topic says, by tarn's own audit and by another consumer, and stops.
func (p *program) requireFold() map[string]string {
	p.Helper()
	rows := p.current().rows()
	p.requireAudit()
	p.stop()
	require.Equal(p, p.fold("table"), rows)
	return rows
}

// requireAudit requires that tarn itself finds no difference between table and topic, once all of its tables are current.
func (p *program) requireAudit() {
	p.Helper()
	var audits []observe.Audit
	var err error
	p.eventually("an audit", func() bool {
		audits, err = p.verify(p.Context())
		return !errors.Is(err, processor.ErrNotReady) &&
			!slices.ContainsFunc(audits, func(of observe.Audit) bool { return errors.Is(of.Err, processor.ErrNotReady) })
	})
	require.NoError(p, err)
	require.NotEmpty(p, audits)
	for _, of := range audits {
		require.NoError(p, of.Err)
		require.Empty(p, of.Differences)
	}
}

func (p *program) rows() map[string]string {
	p.Helper()
	rows, err := p.try()
	require.NoError(p, err)
	return rows
}

// stop ends the program in order.
func (p *program) stop() {
	p.Helper()
	p.cancel()
	require.NoError(p, p.ended())
}

// ended waits until Run has returned, and gives its error.
func (p *program) ended() error {
	err := <-p.done
	p.done <- err
	return err
}
