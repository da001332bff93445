package lint

import (
	"fmt"
	"path"
	"strings"
)

// layers is the order of the packages: non-test files import from lower rows only. A pattern is one of path.Match.
var layers = [][]string{
	{"internal/invariant", "internal/task", "internal/lint", "internal/layout", "internal/digest", "internal/benchtest", "codec"},
	{"internal/scope", "internal/ldb", "internal/bubbletest", "internal/realkafka", "internal/child"},
	{"topology", "state", "policy"},
	{"internal/kafka", "observe", "state/statetest", "devbroker"},
	{"internal/audit"},
	{"processor", "metrics", "health", "internal/inspect"},
	{"streamtest", "bench/streams"},
	{"examples/*/*", "bench/*"}, // parts of the programs below, for them alone
	{"cmd/tarn", "examples/*", "bench", "soak", "chaos", "internal/e2e"},
}

// client is a library that few packages may know.
type client struct {
	module string
	// users may import it; tests are packages whose tests may, too.
	users, tests []string
	// shown are packages whose exported API may show its types: to serve it is what they are there for.
	shown []string
}

var clients = []client{
	{module: "github.com/IBM/sarama", users: []string{"internal/kafka", "bench", "bench/*", "chaos"}, tests: []string{"processor", "internal/e2e", "examples/*"}},
	{module: "github.com/syndtr/goleveldb", users: []string{"internal/ldb", "bench", "bench/*"}},
	{module: "github.com/twmb/franz-go", users: []string{"devbroker", "bench", "bench/*"}, tests: []string{"internal/kafka", "internal/e2e"}},
	{module: "github.com/lovoo/goka", users: []string{"bench", "bench/*"}},
	{module: "github.com/prometheus", users: []string{"metrics", "examples/*"}, shown: []string{"metrics"}},
}

// checkLayers holds the table above.
func checkLayers(r *repo) []finding {
	var found []finding
	for _, f := range r.folders() {
		if row(f.dir) < 0 {
			text := fmt.Sprintf("package %s stands in no row of the layers: enter it in internal/lint/layers_test.go", f.dir)
			found = append(found, finding{file: f.files[0].path, line: 1, text: text})
		}
	}
	return append(found, r.eachImport(layerOfImport)...)
}

func layerOfImport(f *folder, s *source, target string) string {
	dir, ours := inModule(target)
	if !ours || s.test || row(f.dir) < 0 {
		return ""
	}
	from, to := row(f.dir), row(dir)
	if to < 0 || to >= from {
		return fmt.Sprintf("%s (row %d) imports %s (row %d): imports go to lower rows only", f.dir, from, dir, to)
	}
	if program(dir) != "" && program(dir) != program(f.dir) {
		return fmt.Sprintf("%s imports %s, a part of another program", f.dir, dir)
	}
	return ""
}

// checkClients holds the table of the client libraries, in tests too.
func checkClients(r *repo) []finding {
	return r.eachImport(func(f *folder, s *source, target string) string {
		for _, c := range clients {
			if !within(target, c.module) || matches(c.users, f.dir) || s.test && matches(c.tests, f.dir) {
				continue
			}
			return fmt.Sprintf("%s imports %s, which only %s may", f.dir, target, strings.Join(c.users, ", "))
		}
		return ""
	})
}

// checkTestingImport keeps package testing, and its flags, out of users' programs.
func checkTestingImport(r *repo) []finding {
	return r.eachImport(func(f *folder, s *source, target string) string {
		if s.test || strings.HasSuffix(f.name, "test") || !within(target, "testing") {
			return ""
		}
		return fmt.Sprintf("%s imports %s: only tests and packages named *test may", f.dir, target)
	})
}

// checkExamples keeps examples to what a user has.
func checkExamples(r *repo) []finding {
	return r.eachImport(func(f *folder, _ *source, target string) string {
		if within(f.dir, "examples") && within(target, module+"/internal") {
			return fmt.Sprintf("example %s imports %s: examples import public packages only", f.dir, target)
		}
		return ""
	})
}

// checkLog keeps to one logger.
func checkLog(r *repo) []finding {
	return r.eachImport(func(f *folder, s *source, target string) string {
		if target != "log" || s.test || f.name == "main" {
			return ""
		}
		return fmt.Sprintf("%s imports log: a library logs with log/slog", f.dir)
	})
}

// row is the layer of a directory, -1 where the table does not know it.
func row(dir string) int {
	for i, patterns := range layers {
		if matches(patterns, dir) {
			return i
		}
	}
	return -1
}

// program is the folder of the program that dir is a part of, "" for a library package.
func program(dir string) string {
	parts := strings.Split(dir, "/")
	switch {
	case parts[0] == "bench":
		return "bench"
	case parts[0] == "examples" && len(parts) > 1:
		return path.Join(parts[:2]...)
	}
	return ""
}

func inModule(target string) (dir string, ok bool) {
	if target == module {
		return ".", true
	}
	return strings.CutPrefix(target, module+"/")
}

// within tells whether an import path or directory is tree or lies below it.
func within(name, tree string) bool { return name == tree || strings.HasPrefix(name, tree+"/") }

func matches(patterns []string, dir string) bool {
	for _, p := range patterns {
		if ok, _ := path.Match(p, dir); ok {
			return true
		}
	}
	return false
}
