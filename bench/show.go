package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/tarnstream/tarn/bench/figures"
	"github.com/tarnstream/tarn/bench/streams"
	"github.com/tarnstream/tarn/bench/workload"
)

// Places of the document beside those of the sections.
const (
	surroundingsPlace = "surroundings"
	targetsPlace      = "targets"
)

// all measures every section that was asked for, and shows each when it is done. What fails takes no other section with it.
func (b *bench) all(ctx context.Context) error {
	if err := b.places(); err != nil {
		return err
	}
	s := surroundings(b.brokerText())
	fmt.Fprint(b.log, s.text(b.takesPart))
	if err := b.write(surroundingsPlace, s, "```\n"+s.text(func(string) bool { return true })+"```\n"); err != nil {
		return err
	}
	var errs []error
	var summaries []figures.Summary
	for _, section := range b.sections {
		r, err := b.section(ctx, section)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if r.Kind != figures.Grows { // a size's figures are no work's
			summaries = append(summaries, r.Summaries...)
		}
		errs = append(errs, err, b.show(r))
	}
	errs = append(errs, b.judge(summaries))
	if b.out != "" {
		fmt.Fprintf(b.log, "\nJSON, Markdown and plots are in %s\n", b.out)
	}
	return errors.Join(errs...)
}

// section measures one.
func (b *bench) section(ctx context.Context, s section) (figures.Report, error) {
	r := figures.Report{Section: s.name, Kind: s.kind, About: s.about, Setup: s.setup(), Size: s.size, Began: time.Now(), Load: loadNow(), Runs: b.runs, Warmups: b.warmups}
	fmt.Fprintf(b.log, "\n== %s: %s\n", s.name, s.about)
	var err error
	switch s.name {
	case latencySection:
		err = b.latency(ctx, s.trials[0], &r)
	case memorySection:
		err = b.pressure(ctx, s.trials[0], &r)
	default:
		err = b.rates(ctx, s, &r)
	}
	return r, err
}

// show prints a section's figures and writes them where asked.
func (b *bench) show(r figures.Report) error {
	if r.Empty() {
		return nil
	}
	fmt.Fprintf(b.log, "\n%s, %s; %.0f s\n%s\n", r.Section, strings.Join(r.Setup, "; "), time.Since(r.Began).Seconds(), r.Table(figures.Terminal))
	if b.out == "" {
		return nil
	}
	if err := r.Write(b.out); err != nil {
		return err
	}
	return b.insert(r.Section, r.Markdown)
}

// judge shows how the figures stand to those to reach, and fails for those that flags ask for.
func (b *bench) judge(all []figures.Summary) error {
	if b.targets {
		verdicts := figures.Judge(all, targets())
		fmt.Fprintf(b.log, "\nfigures to reach\n%s\n%s\n", figures.TargetTable(verdicts, figures.Terminal), figures.Tally(verdicts))
		text := fmt.Sprintf("%s: %s.\n\n%s\n", time.Now().Format("2 January 2006"), figures.Tally(verdicts), figures.TargetTable(verdicts, figures.Markdown))
		if err := b.write(targetsPlace, verdicts, text); err != nil {
			return err
		}
	}
	return figures.Missed(figures.Judge(all, b.asked))
}

// write puts something into NAME.json and NAME.md of the folder, and into the document.
func (b *bench) write(name string, v any, markdown string) error {
	if b.out == "" {
		return nil
	}
	return errors.Join(figures.WriteJSON(filepath.Join(b.out, name+".json"), v),
		os.WriteFile(filepath.Join(b.out, name+".md"), []byte(markdown), 0o644),
		b.insert(name, func(string) string { return markdown }))
}

// insert puts what markdown gives for the folder of the plots, as the document names it, into the document.
func (b *bench) insert(place string, markdown func(folder string) string) error {
	if b.doc == "" {
		return nil
	}
	folder, err := filepath.Rel(filepath.Dir(b.doc), b.out)
	if err != nil {
		return err
	}
	text, err := os.ReadFile(b.doc)
	if err != nil {
		return err
	}
	changed, err := figures.Insert(string(text), place, markdown(folder))
	if err != nil {
		return fmt.Errorf("%s: %w", b.doc, err)
	}
	return os.WriteFile(b.doc, []byte(changed), 0o644)
}

// places tells, before hours go by, whether the document has a place for everything.
func (b *bench) places() error {
	if b.doc == "" {
		return nil
	}
	text, err := os.ReadFile(b.doc)
	if err != nil {
		return err
	}
	wanted := []string{surroundingsPlace}
	if b.targets {
		wanted = append(wanted, targetsPlace)
	}
	for _, s := range b.sections {
		wanted = append(wanted, s.name)
	}
	var errs []error
	for _, place := range wanted {
		_, err := figures.Insert(string(text), place, "")
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// surrounding is what the figures depend on beside the clients.
type surrounding struct {
	Date     time.Time         `json:"date"`
	Machine  string            `json:"machine"`
	Load     string            `json:"load"`
	Go       string            `json:"go"`
	Modules  map[string]string `json:"modules"`
	Java     string            `json:"java"`
	Broker   string            `json:"broker"`
	Settings map[string]string `json:"settings"`
}

func surroundings(broker string) surrounding {
	s := surrounding{Date: time.Now(), Go: runtime.Version(), Modules: modules(), Java: javaVersion(), Load: loadNow(), Broker: broker, Settings: map[string]string{},
		Machine: fmt.Sprintf("%d CPUs (%s), %s of memory, %s/%s", runtime.NumCPU(), cpuModel(), memorySize(), runtime.GOOS, runtime.GOARCH)}
	for _, of := range settings() {
		s.Settings[of.client] = of.text
	}
	return s
}

// setting says how a client is set up, in all its guises.
type setting struct{ client, text string }

func settings() []setting {
	return []setting{{workload.Tarn, workload.TarnSettings}, {workload.Goka, workload.GokaSettings}, {workload.Streams, workload.StreamsSettings},
		{workload.Sarama, workload.SaramaSettings}, {workload.LevelDB, workload.LevelDBSettings}}
}

// takesPart tells whether a client is measured, in any of its guises.
func (b *bench) takesPart(client string) bool {
	for _, s := range b.sections {
		for _, t := range s.trials {
			if slices.ContainsFunc(t.clients, func(e entrant) bool { return strings.HasPrefix(e.client, client) }) {
				return true
			}
		}
	}
	return false
}

// javaVersion is the Java that Kafka Streams and the broker run in.
func javaVersion() string {
	out, err := exec.Command("java", "-version").CombinedOutput()
	if err != nil {
		return "an unknown Java"
	}
	first, _, _ := strings.Cut(string(out), "\n")
	return strings.TrimSpace(first)
}

// text is for people, with the settings of those who take part.
func (s surrounding) text(takesPart func(client string) bool) string {
	var b strings.Builder
	line := func(name, text string) { fmt.Fprintf(&b, "%-8s %s\n", name, text) }
	line("machine", s.Machine+"; load "+s.Load)
	line("versions", s.Go+", goka "+s.Modules["github.com/lovoo/goka"]+", Kafka Streams "+streams.Version+" on "+s.Java+", sarama "+
		s.Modules["github.com/IBM/sarama"]+", goleveldb "+s.Modules["github.com/syndtr/goleveldb"])
	line("broker", s.Broker)
	for _, of := range settings() {
		if takesPart(of.client) {
			line(of.client, s.Settings[of.client])
		}
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
	if model, ok := entry("/proc/cpuinfo", "model name"); ok {
		return model
	}
	return "unknown model"
}

func memorySize() string {
	var kib int64
	if text, ok := entry("/proc/meminfo", "MemTotal"); ok {
		if n, _ := fmt.Sscanf(text, "%d kB", &kib); n == 1 {
			return fmt.Sprintf("%.0f GiB", float64(kib)/(1<<20))
		}
	}
	return "an unknown size"
}

// entry is what a file of lines "name: text" says of a name.
func entry(path, name string) (text string, ok bool) {
	data, _ := os.ReadFile(path) // elsewhere there is none
	for line := range strings.Lines(string(data)) {
		if n, text, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(n) == name {
			return strings.TrimSpace(text), true
		}
	}
	return "", false
}
