package main

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/tarnstream/tarn/bench/streams"
	"github.com/tarnstream/tarn/bench/workload"
)

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
		Machine: fmt.Sprintf("%s, %s of memory, %s/%s", processors(), memorySize(), runtime.GOOS, runtime.GOARCH)}
	for _, of := range settings() {
		s.Settings[of.client] = of.text
	}
	return s
}

// setting says how a client is set up, in all its guises.
type setting struct{ client, text string }

func settings() []setting {
	return []setting{{workload.Tarn, workload.TarnSettings}, {workload.Goka, workload.GokaSettings}, {workload.Streams, workload.StreamsSettings()},
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

// lines are names and what is to be said of each: the settings are those of who takes part.
func (s surrounding) lines(takesPart func(client string) bool) (lines [][2]string) {
	lines = [][2]string{{"machine", s.Machine + "; load " + s.Load},
		{"versions", s.Go + ", goka " + s.Modules["github.com/lovoo/goka"] + ", Kafka Streams " + streams.Version + " on " + s.Java + ", sarama " +
			s.Modules["github.com/IBM/sarama"] + ", goleveldb " + s.Modules["github.com/syndtr/goleveldb"]},
		{"broker", s.Broker}}
	for _, of := range settings() {
		if takesPart(of.client) {
			lines = append(lines, [2]string{of.client, s.Settings[of.client]})
		}
	}
	return lines
}

// markdown is for a document, with the settings of all.
func (s surrounding) markdown() string {
	var b strings.Builder
	for _, l := range s.lines(func(string) bool { return true }) {
		fmt.Fprintf(&b, "- **%s**: %s\n", l[0], l[1])
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

// commit is the one that tarn was built from, "" where nobody knows. "+" says that files were changed, but for those in docs,
// where figures go. `go run` does not note it in the program, but runs in the folder that it takes the program from.
func commit() string {
	if info, ok := debug.ReadBuildInfo(); ok {
		of := map[string]string{}
		for _, s := range info.Settings {
			of[s.Key] = s.Value
		}
		if at := of["vcs.revision"]; len(at) > shortCommit {
			return noted(at[:shortCommit], of["vcs.modified"] == "true")
		}
	}
	at, err := exec.Command("git", "rev-parse", fmt.Sprintf("--short=%d", shortCommit), "HEAD").Output()
	if err != nil {
		return ""
	}
	return noted(strings.TrimSpace(string(at)), exec.Command("git", "diff", "--quiet", "HEAD", "--", ":/", ":!/docs").Run() != nil)
}

const shortCommit = 7

func noted(commit string, changed bool) string {
	if changed {
		return commit + "+"
	}
	return commit
}

// loadNow is the load average, "unknown" where the system does not tell: a busy machine makes low figures.
func loadNow() string {
	data, err := os.ReadFile("/proc/loadavg")
	if f := strings.Fields(string(data)); err == nil && len(f) > 3 {
		return strings.Join(f[:3], " ")
	}
	return "unknown"
}

// processors are what a program may use, and their model.
func processors() string { return fmt.Sprintf("%d CPUs (%s)", runtime.NumCPU(), cpuModel()) }

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
