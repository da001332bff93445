package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"time"

	"github.com/tarnstream/tarn/bench/figures"
	"github.com/tarnstream/tarn/bench/workload"
	"github.com/tarnstream/tarn/internal/realkafka"
)

// surroundings is what the figures depend on beside the clients.
type surroundings struct {
	Date     time.Time         `json:"date"`
	Machine  string            `json:"machine"`
	Load     string            `json:"load"`
	Go       string            `json:"go"`
	Modules  map[string]string `json:"modules"`
	Broker   string            `json:"broker"`
	Topics   string            `json:"topics"`
	Runs     string            `json:"runs"`
	Settings map[string]string `json:"settings"`
}

func (b *bench) surroundings() surroundings {
	s := surroundings{Date: time.Now(), Go: runtime.Version(), Modules: modules(), Load: loadNow(),
		Machine: fmt.Sprintf("%d CPUs (%s), %s/%s", runtime.NumCPU(), cpuModel(), runtime.GOOS, runtime.GOARCH),
		Broker:  strings.Join(b.config.brokers, ","),
		Topics: fmt.Sprintf("%d partitions, %d records with %d keys, values of %d bytes, seed %d", b.shape.Partitions, b.shape.Records,
			b.shape.Keys, b.shape.ValueBytes, b.shape.Seed),
		Runs:     fmt.Sprintf("%d of each, alternated, after %d warm-up", b.runs, b.warmups),
		Settings: map[string]string{workload.Tarn: workload.TarnSettings}}
	if b.peer() == workload.Goka {
		s.Settings[workload.Goka] = workload.GokaSettings
	}
	switch {
	case b.own && b.onKafka():
		s.Broker = "Apache Kafka " + realkafka.Newest + ", one, on this machine, its files in the temporary folder, replication 1"
	case b.own:
		s.Broker = "tarn dev, in memory, in a process of its own"
	}
	return s
}

// String is for people.
func (s surroundings) String() string {
	var b strings.Builder
	line := func(name, text string) { fmt.Fprintf(&b, "%-8s %s\n", name, text) }
	line("machine", s.Machine+"; load "+s.Load)
	line("versions", s.Go+", goka "+s.Modules["github.com/lovoo/goka"]+", sarama "+s.Modules["github.com/IBM/sarama"]+
		", goleveldb "+s.Modules["github.com/syndtr/goleveldb"])
	line("broker", s.Broker)
	line("topics", s.Topics)
	line("runs", s.Runs)
	line("tarn", s.Settings[workload.Tarn])
	if goka, ok := s.Settings[workload.Goka]; ok {
		line("goka", goka)
	}
	return b.String()
}

func modules() map[string]string {
	out := map[string]string{}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, m := range info.Deps {
			out[m.Path] = m.Version
		}
	}
	return out
}

// loadNow is the load average, "unknown" where the system does not tell: a busy machine makes low figures.
func loadNow() string {
	data, err := os.ReadFile("/proc/loadavg")
	if f := strings.Fields(string(data)); err == nil && len(f) > 3 {
		return strings.Join(f[:3], " ")
	}
	return "unknown"
}

func cpuModel() string {
	data, _ := os.ReadFile("/proc/cpuinfo") // elsewhere: unknown
	for line := range strings.Lines(string(data)) {
		if name, model, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(model)
		}
	}
	return "unknown model"
}

// result is what goes into results.json.
type result struct {
	Surroundings surroundings      `json:"surroundings"`
	Summaries    []figures.Summary `json:"summaries"`
	Samples      []figures.Sample  `json:"samples"`
}

// show prints the figures, writes them where asked, and tells what was missed.
func (b *bench) show(s surroundings) error {
	r := result{Surroundings: s, Summaries: figures.Summarize(b.samples), Samples: b.samples}
	fmt.Fprintf(b.log, "\n%s\n", figures.Table(r.Summaries, b.peer(), false))
	if once, ok := figures.Ratio(r.Summaries, workload.Count, workload.Tarn, workload.TarnAtLeastOnce); ok {
		fmt.Fprintf(b.log, "exactly-once counts %.2f times as fast as at-least-once\n", once)
	}
	if b.out != "" {
		if err := r.write(b.out, b.peer()); err != nil {
			return err
		}
		fmt.Fprintf(b.log, "\nresults.json, results.md and plot.png are in %s\n", b.out)
	}
	return b.missed(r.Summaries)
}

// missed tells which ratio that was asked for is not reached. goka counts at least once, and is compared to what does the same.
func (b *bench) missed(all []figures.Summary) error {
	return errors.Join(target{workload.Count, workload.TarnAtLeastOnce, workload.Goka, b.countRatio}.check(all),
		target{workload.Count, workload.Tarn, workload.TarnAtLeastOnce, b.guaranteeRatio}.check(all),
		target{workload.Restore, workload.Tarn, workload.Goka, b.restoreRatio}.check(all))
}

// target is the least that a client must reach of its peer's speed.
type target struct {
	work, client, peer string
	least              float64
}

func (t target) check(all []figures.Summary) error {
	if ratio, ok := figures.Ratio(all, t.work, t.client, t.peer); ok && ratio < t.least {
		return fmt.Errorf("%s: %s is %.2f times as fast as %s, asked for is %.2f", t.work, t.client, ratio, t.peer, t.least)
	}
	return nil
}

func (r result) write(folder, peer string) error {
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	data, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	markdown := "```\n" + r.Surroundings.String() + "```\n\n" + figures.Table(r.Summaries, peer, true) + "\n"
	return errors.Join(
		os.WriteFile(filepath.Join(folder, "results.json"), append(data, '\n'), 0o644),
		os.WriteFile(filepath.Join(folder, "results.md"), []byte(markdown), 0o644),
		figures.Plot(r.Summaries, filepath.Join(folder, "plot.png")))
}
