package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/tarnstream/tarn/bench/figures"
	"github.com/tarnstream/tarn/devbroker"
	"github.com/tarnstream/tarn/internal/kafka"
)

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == clientCommand { // a job is done by this very program
		os.Exit(run(context.Background(), os.Args[1:], os.Stdout))
	}
	goleak.VerifyTestMain(m)
}

// embedded is a broker, and what a bench is told of it.
func embedded(t *testing.T) (b *devbroker.Broker, flags []string) {
	t.Helper()
	b, err := devbroker.Start()
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, b.Close()) })
	return b, []string{"-brokers", b.Addrs()[0], "-scale", "0.001", "-clients", "tarn,tarn-at-least-once,goka,fetch", "-runs", "1"}
}

func benched(t *testing.T, status int, args ...[]string) string {
	t.Helper()
	var all []string
	for _, some := range args {
		all = append(all, some...)
	}
	var out bytes.Buffer
	require.Equal(t, status, run(t.Context(), all, &out), out.String())
	return out.String()
}

func read(t *testing.T, path string, v any) {
	t.Helper()
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(data, v))
}

// Every client does the whole of each work, which is verified; all figures are shown and written, the targets' too, and
// nothing is left in the broker.
func TestBench(t *testing.T) {
	b, flags := embedded(t)
	folder := t.TempDir()
	doc := filepath.Join(folder, "benchmarks.md")
	places := ""
	for _, place := range []string{"surroundings", "count", "map", "rebuild", "targets"} {
		places += "<!-- figures: " + place + " -->\n<!-- end of figures -->\n"
	}
	require.NoError(t, os.WriteFile(doc, []byte(places), 0o644))
	out := filepath.Join(folder, "benchmarks")
	shown := benched(t, 0, []string{"rebuild", "map", "count"}, flags, []string{"-targets", "-out", out, "-doc", doc})

	text, err := os.ReadFile(doc)
	require.NoError(t, err)
	for section, clients := range map[string][]string{
		"count":   {"tarn count", "tarn-at-least-once count", "goka count", "fetch fetch"},
		"map":     {"tarn map", "tarn-at-least-once map", "goka map"},
		"rebuild": {"tarn rebuild", "goka rebuild"},
	} {
		var r figures.Report
		read(t, filepath.Join(out, section+".json"), &r)
		var done []string
		for _, s := range r.Summaries {
			require.Positive(t, s.Rate)
			require.Equal(t, 1, s.Runs, "the warm-up does not count")
			done = append(done, s.Client+" "+s.Work)
		}
		require.Equal(t, clients, done)
		require.Contains(t, shown, r.Table(figures.Terminal))
		require.Contains(t, string(text), r.Table(figures.Markdown))
		require.Contains(t, string(text), "](benchmarks/"+section+".png)")
		require.FileExists(t, filepath.Join(out, section+".md"))
		require.FileExists(t, filepath.Join(out, section+".png"))
	}
	var verdicts []figures.Verdict
	read(t, filepath.Join(out, "targets.json"), &verdicts)
	require.Len(t, verdicts, len(targets()))
	require.True(t, verdicts[0].Measured)
	require.Contains(t, shown, figures.TargetTable(verdicts, figures.Terminal))
	require.Contains(t, string(text), figures.TargetTable(verdicts, figures.Markdown))
	require.FileExists(t, filepath.Join(out, "surroundings.json"))
	nothingLeft(t, b)

	shown = benched(t, 0, []string{"map"}, flags, []string{"-targets", "-out", out})
	var counted figures.Report
	read(t, filepath.Join(out, "count.json"), &counted)
	require.Contains(t, shown, "; count is of another run: "+counted.When())
	require.NotContains(t, shown, "restart is of")
	var again []figures.Verdict
	read(t, filepath.Join(out, "targets.json"), &again)
	require.Equal(t, verdicts, again, "what was not measured now is there still")
}

// nothingLeft looks at a broker's topics.
func nothingLeft(t *testing.T, b *devbroker.Broker) {
	t.Helper()
	client, err := kafka.NewClient(kafka.Config{Brokers: b.Addrs()})
	require.NoError(t, err)
	defer client.Close()
	topics, err := client.Topics(t.Context())
	require.NoError(t, err)
	delete(topics, "__consumer_offsets")
	require.Empty(t, topics)
}

// Growth is shown by size, and is no figure of the work that targets speak of.
func TestBench_Growth(t *testing.T) {
	b, flags := embedded(t)
	out := t.TempDir()
	shown := benched(t, 0, []string{"grow-partitions"}, flags, []string{"-clients", "tarn", "-out", out, "-warmups", "0", "-targets"})
	var r figures.Report
	read(t, filepath.Join(out, "grow-partitions.json"), &r)
	var sizes []float64
	for _, s := range r.Summaries {
		sizes = append(sizes, s.X)
	}
	require.Equal(t, []float64{1, 4, 16, 64}, sizes)
	require.FileExists(t, filepath.Join(out, "grow-partitions.png"))
	require.Contains(t, shown, "0 of 29 reached, 0 missed, 29 not measured")
	nothingLeft(t, b)
}

// A ratio that is asked for and not reached is an error, also where it was not measured.
func TestBench_Ratios(t *testing.T) {
	_, flags := embedded(t)
	flags = append(flags, "-warmups", "0")
	benched(t, 0, []string{"count"}, flags, []string{"-count-ratio", "0.001", "-cpu-ratio", "0.001", "-guarantee-ratio", "0.001"})
	benched(t, 1, []string{"count"}, flags, []string{"-clients", "tarn,tarn-at-least-once", "-guarantee-ratio", "1000"})
	benched(t, 1, []string{"rebuild"}, flags, []string{"-clients", "tarn", "-restore-ratio", "0.001"})
}

// A client that fails again takes no further part; the others' figures are shown, and the command fails.
func TestBench_ClientThatFails(t *testing.T) {
	broker, flags := embedded(t)
	c, err := parse(append(append([]string{"count"}, flags...), "-runs", "2"), io.Discard)
	require.NoError(t, err)
	c.sections[0].trials[0].clients = []entrant{{name: "nobody", client: "nobody"}, {name: "tarn", client: "tarn"}}
	var out bytes.Buffer
	err = c.with(t.Context(), &out, func(b *bench) error { return b.all(t.Context()) })
	require.ErrorContains(t, err, "count: nobody: ")
	require.Regexp(t, `warm-up +nobody +FAILED`, out.String())
	require.Regexp(t, `1 of 2 +nobody +FAILED`, out.String())
	require.NotRegexp(t, `2 of 2 +nobody`, out.String())
	require.Regexp(t, `│ count │ tarn +│ +2 │`, out.String())
	nothingLeft(t, broker)
}

// Each guarantee's records are timed on their way through a group.
func TestBench_Latency(t *testing.T) {
	b, flags := embedded(t)
	shown := benched(t, 0, []string{"latency"}, flags, []string{"-runs", "2", "-latency-rate", "500", "-latency-time", "400ms", "-latency-warmup", "200ms", "-commit-intervals", "50ms,10ms"})
	require.Regexp(t, `│ tarn +│ +50ms │ +2 │ +400 │`, shown, "those after the warm-up")
	require.Regexp(t, `│ tarn +│ +10ms │ +2 │ +400 │`, shown)
	require.Regexp(t, `│ tarn-at-least-once +│ +10ms │ +2 │ +400 │`, shown)
	require.Regexp(t, `│ goka +│ +│ +2 │ +400 │`, shown, "it cannot be told when to commit")
	nothingLeft(t, b)
}

// So is one that fails while latencies are measured.
func TestBench_LatencyOfAClientThatFails(t *testing.T) {
	broker, flags := embedded(t)
	c, err := parse(append(append([]string{"latency"}, flags...), "-runs", "3", "-latency-rate", "500", "-latency-time", "200ms", "-latency-warmup", "100ms", "-commit-intervals", "10ms"), io.Discard)
	require.NoError(t, err)
	c.sections[0].trials[0].clients = []entrant{{name: "nobody", client: "nobody"}, {name: "tarn", client: "tarn"}}
	var out bytes.Buffer
	err = c.with(t.Context(), &out, func(b *bench) error { return b.all(t.Context()) })
	require.ErrorContains(t, err, "latency: nobody, 10ms: ")
	require.Regexp(t, `2 of 3 +nobody, 10ms +FAILED`, out.String())
	require.NotRegexp(t, `3 of 3 +nobody`, out.String())
	require.Regexp(t, `│ tarn +│ +10ms │ +3 │ +300 │`, out.String())
	nothingLeft(t, broker)
}

func TestBench_Memory(t *testing.T) {
	b, flags := embedded(t)
	shown := benched(t, 0, []string{"memory"}, flags, []string{"-partitions", "3", "-memory-options", "64", "-memory-rate", "0"})
	require.Regexp(t, `│ 64 +│ crowd +│ +28 │`, shown, "the bound is 7/16 of the option")
	require.Regexp(t, `│ 64 +│ again +│ +28 │`, shown)
	nothingLeft(t, b)
}

func TestClientRefusesNonsense(t *testing.T) {
	require.Error(t, client(t.Context(), bytes.NewReader(nil), io.Discard))
	require.Error(t, client(t.Context(), bytes.NewBufferString(`{"Client":"nobody"}`), io.Discard))
}

// A document that has no place for what is asked for is told of before anything is measured.
func TestBench_DocumentWithoutPlace(t *testing.T) {
	_, flags := embedded(t)
	folder := t.TempDir()
	doc := filepath.Join(folder, "doc.md")
	require.NoError(t, os.WriteFile(doc, []byte("<!-- figures: surroundings -->\n<!-- end of figures -->\n"), 0o644))
	began := time.Now()
	require.NotContains(t, benched(t, 1, []string{"count"}, flags, []string{"-out", folder, "-doc", doc}), "== count", "after %v", time.Since(began))
	require.NoFileExists(t, filepath.Join(folder, "count.json"))
}

// The document of the project has a place for everything.
func TestDocumentHasAllPlaces(t *testing.T) {
	c, err := parse([]string{"all", "-targets", "-out", "../docs/benchmarks", "-doc", "../docs/benchmarks.md"}, io.Discard)
	require.NoError(t, err)
	require.NoError(t, (&bench{config: c}).places())
}
