package lint

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// rule is one check, with sources that break it and sources that come close and do not.
type rule struct {
	name  string
	check func(*repo) []finding
	// bad maps a source's path to its text; want are the findings it must give, in order.
	bad  map[string]string
	want []string
	good map[string]string
}

var rules = slices.Concat(importRules, budgetRules, docRules, conductRules, faultRules)

func TestEveryRuleCanFail(t *testing.T) {
	for _, rule := range rules {
		t.Run(rule.name, func(t *testing.T) {
			require.NotEmpty(t, rule.want)
			require.Equal(t, rule.want, findings(t, rule, rule.bad))
			require.NotEmpty(t, rule.good)
			require.Empty(t, findings(t, rule, rule.good))
		})
	}
}

func findings(t *testing.T, rule rule, files map[string]string) []string {
	t.Helper()
	r, err := load(files)
	require.NoError(t, err)
	var texts []string
	for _, f := range rule.check(r) {
		texts = append(texts, f.String())
	}
	return texts
}

var importRules = []rule{
	{
		name:  "layers",
		check: checkLayers,
		bad: map[string]string{
			"codec/a.go":               file("codec", module+"/internal/task"),
			"extras/a.go":              file("extras"),
			"state/a.go":               file("state", module+"/codec", module+"/topology"),
			"topology/a.go":            file("topology", module+"/processor", module+"/nowhere"),
			"examples/soc/a.go":        file("main", module+"/examples/wordcount/text", module+"/examples/soc/sshlog"),
			"examples/soc/sshlog/a.go": file("sshlog", module+"/codec"),
		},
		want: []string{
			"extras/a.go:1: package extras stands in no row of the layers: enter it in internal/lint/layers_test.go",
			"codec/a.go:3: codec (row 0) imports internal/task (row 0): imports go to lower rows only",
			"examples/soc/a.go:3: examples/soc imports examples/wordcount/text, a part of another program",
			"state/a.go:4: state (row 2) imports topology (row 2): imports go to lower rows only",
			"topology/a.go:3: topology (row 2) imports processor (row 5): imports go to lower rows only",
			"topology/a.go:4: topology (row 2) imports nowhere (row -1): imports go to lower rows only",
		},
		good: map[string]string{
			"codec/a.go":           file("codec", "fmt", "github.com/anyone/anything"),
			"state/a_test.go":      file("state_test", module+"/state/statetest", module+"/devbroker"),
			"processor/a.go":       file("processor", module+"/internal/kafka", module+"/topology", module+"/state"),
			"cmd/tarn/main.go":     file("main", module+"/devbroker", module+"/processor"),
			"examples/soc/a.go":    file("main", module+"/examples/soc/sshlog", module+"/streamtest"),
			"bench/a.go":           file("main", module+"/bench/load"),
			"state/statetest/a.go": file("statetest", module+"/state"),
		},
	},
	{
		name:  "clients",
		check: checkClients,
		bad: map[string]string{
			"processor/a.go":      file("processor", "github.com/IBM/sarama"),
			"state/a_test.go":     file("state_test", "github.com/syndtr/goleveldb/leveldb/opt"),
			"streamtest/a.go":     file("streamtest", "github.com/twmb/franz-go/pkg/kfake"),
			"internal/kafka/a.go": file("kafka", "github.com/twmb/franz-go/pkg/kerr", "github.com/lovoo/goka"),
		},
		want: []string{
			"internal/kafka/a.go:3: internal/kafka imports github.com/twmb/franz-go/pkg/kerr, which only devbroker, bench, bench/* may",
			"internal/kafka/a.go:4: internal/kafka imports github.com/lovoo/goka, which only bench, bench/* may",
			"processor/a.go:3: processor imports github.com/IBM/sarama, which only internal/kafka, bench, bench/*, chaos may",
			"state/a_test.go:3: state imports github.com/syndtr/goleveldb/leveldb/opt, which only internal/ldb, bench, bench/* may",
			"streamtest/a.go:3: streamtest imports github.com/twmb/franz-go/pkg/kfake, which only devbroker, bench, bench/* may",
		},
		good: map[string]string{
			"internal/kafka/a.go":  file("kafka", "github.com/IBM/sarama"),
			"internal/ldb/a.go":    file("ldb", "github.com/syndtr/goleveldb/leveldb"),
			"devbroker/a.go":       file("devbroker", "github.com/twmb/franz-go/pkg/kfake", "github.com/twmb/franz-go/pkg/kmsg"),
			"processor/a_test.go":  file("processor_test", "github.com/IBM/sarama"),
			"bench/a.go":           file("main", "github.com/lovoo/goka", "github.com/IBM/sarama"),
			"bench/load/a.go":      file("load", "github.com/twmb/franz-go/pkg/kgo"),
			"processor/other/a.go": file("other", "github.com/IBM/saramalike"),
		},
	},
	{
		name:  "testing import",
		check: checkTestingImport,
		bad: map[string]string{
			"codec/a.go":     file("codec", "testing"),
			"processor/a.go": file("processor", "testing/iotest"),
		},
		want: []string{
			"codec/a.go:3: codec imports testing: only tests and packages named *test may",
			"processor/a.go:3: processor imports testing/iotest: only tests and packages named *test may",
		},
		good: map[string]string{
			"codec/a_test.go":      file("codec", "testing"),
			"state/statetest/a.go": file("statetest", "testing", "testing/synctest"),
		},
	},
	{
		name:  "examples",
		check: checkExamples,
		bad:   map[string]string{"examples/soc/a.go": file("main", module+"/processor", module+"/internal/task")},
		want: []string{
			"examples/soc/a.go:4: example examples/soc imports " + module + "/internal/task: examples import public packages only",
		},
		good: map[string]string{
			"examples/soc/a.go": file("main", module+"/processor"),
			"processor/a.go":    file("processor", module+"/internal/task"),
		},
	},
	{
		name:  "slog only",
		check: checkLog,
		bad:   map[string]string{"processor/a.go": file("processor", "log")},
		want:  []string{"processor/a.go:3: processor imports log: a library logs with log/slog"},
		good:  map[string]string{"processor/a.go": file("processor", "log/slog"), "cmd/tarn/a.go": file("main", "log")},
	},
}

// file is a source with imports only: the package clause stands in line 1, the first import in line 3.
func file(name string, imports ...string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "package %s\n\n", name)
	for _, path := range imports {
		fmt.Fprintf(&b, "import _ %q\n", path)
	}
	return b.String()
}

func TestRulesHaveDifferentNames(t *testing.T) {
	names := map[string]bool{}
	for _, rule := range rules {
		names[rule.name] = true
	}
	require.Len(t, slices.Collect(maps.Keys(names)), len(rules))
}
