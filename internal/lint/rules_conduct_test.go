package lint

const (
	testSource = "package codec\n\nimport \"testing\"\n\nfunc TestA(t *testing.T) {}\n"
	leakCheck  = "package codec\n\nimport \"go.uber.org/goleak\"\n\nfunc TestMain(m M) { goleak.VerifyTestMain(m) }\n"
	sleeping   = "package codec\n\nimport \"time\"\n\nfunc wait() { time.Sleep(1) }\n"
)

var conductRules = []rule{
	{
		name:  "go statements",
		check: checkGoStatements,
		bad: map[string]string{"processor/a.go": `package processor

func f() {
	go f()
	func() { go func() {}() }()
	var wg sync.WaitGroup
	wg.Go(f)
}
`},
		want: []string{
			"processor/a.go:4: go statement: goroutines are started through internal/task",
			"processor/a.go:5: go statement: goroutines are started through internal/task",
			"processor/a.go:7: Go of a wait group: goroutines are started through internal/task",
		},
		good: map[string]string{
			"internal/task/a.go":  "package task\n\nfunc f() { go f() }\n",
			"processor/a_test.go": "package processor\n\nfunc f() { go f() }\n",
			"cmd/tarn/a.go":       "package main\n\nfunc f() { go f() }\n",
			"processor/a.go":      "package processor\n\nfunc f() { tasks.Go(\"reader\", f) }\n",
		},
	},
	{
		name:  "init",
		check: checkInit,
		bad:   map[string]string{"codec/a.go": "package codec\n\nfunc init() {}\n"},
		want:  []string{"codec/a.go:3: init function: nothing happens by importing a package"},
		good:  map[string]string{"codec/a.go": "package codec\n\nfunc (t T) init() { initial() }\n\nfunc initial() {}\n"},
	},
	{
		name:  "sleep",
		check: checkSleep,
		bad: map[string]string{
			"codec/a_test.go":      sleeping,
			"codec/b_test.go":      "package codec\n\nimport clock \"time\"\n\nfunc wait() { clock.Sleep(1) }\n",
			"state/a.go":           file("state", "testing/synctest"), // no test
			"state/a_test.go":      "package state\n\nimport \"time\"\n\nfunc wait() { time.Sleep(1) }\n",
			"state/b_test.go":      file("state", module+"/streamtestlike"),
			"state/statetest/a.go": "package statetest\n\nimport \"time\"\n\nfunc wait() { time.Sleep(1) }\n",
		},
		want: []string{
			"codec/a_test.go:5: time.Sleep in a test outside virtual time: wait for a signal",
			"codec/b_test.go:5: time.Sleep in a test outside virtual time: wait for a signal",
			"state/a_test.go:5: time.Sleep in a test outside virtual time: wait for a signal",
			"state/statetest/a.go:5: time.Sleep in a test outside virtual time: wait for a signal",
		},
		good: map[string]string{
			"codec/a.go":           sleeping,
			"codec/a_test.go":      "package codec\n\nfunc wait() { clock.Sleep(1) }\n",
			"processor/a_test.go":  file("processor", module+"/streamtest"),
			"processor/b_test.go":  "package processor_test\n\nimport \"time\"\n\nfunc wait() { time.Sleep(1) }\n",
			"state/a_test.go":      "package state\n\nimport (\n\t\"testing/synctest\"\n\t\"time\"\n)\n\nfunc wait() { time.Sleep(1) }\n",
			"state/statetest/a.go": "package statetest\n\nimport (\n\t\"time\"\n\n\t\"" + module + "/internal/bubbletest\"\n)\n\nfunc wait() { time.Sleep(1) }\n",
		},
	},
	{
		name:  "virtual time",
		check: checkBubbles,
		bad: map[string]string{
			"codec/a_test.go":      "package codec\n\nimport \"testing/synctest\"\n\nfunc a() { synctest.Test(t, f) }\n",
			"codec/b_test.go":      "package codec\n\nimport bubble \"testing/synctest\"\n\nvar enter = bubble.Test\n",
			"state/statetest/a.go": "package statetest\n\nimport \"testing/synctest\"\n\nfunc a() { synctest.Test(t, f) }\n",
		},
		want: []string{
			"codec/a_test.go:5: synctest.Test: enter virtual time through internal/bubbletest",
			"codec/b_test.go:5: synctest.Test: enter virtual time through internal/bubbletest",
			"state/statetest/a.go:5: synctest.Test: enter virtual time through internal/bubbletest",
		},
		good: map[string]string{
			"internal/bubbletest/a.go": "package bubbletest\n\nimport \"testing/synctest\"\n\nfunc Run() { synctest.Test(t, f) }\n",
			"codec/a_test.go":          "package codec\n\nimport \"testing/synctest\"\n\nfunc a() { synctest.Wait() }\n",
			"codec/b_test.go":          "package codec\n\nfunc a() { synctest.Test(t, f) }\n",
		},
	},
	{
		name:  "leak check",
		check: checkLeaks,
		bad: map[string]string{
			"codec/a_test.go": testSource,
			"codec/b_test.go": "package codec\n\nfunc TestMain(m M) { m.Run() }\n",
			"state/a_test.go": "package state\n\nfunc FuzzA(f *testing.F) {}\n",
		},
		want: []string{
			"codec/a_test.go:5: package codec has tests but no TestMain with goleak.VerifyTestMain",
			"state/a_test.go:3: package state has tests but no TestMain with goleak.VerifyTestMain",
		},
		good: map[string]string{
			"codec/a_test.go":        testSource,
			"codec/b_test.go":        leakCheck,
			"examples/soc/a_test.go": "package main\n\nfunc TestA(t *testing.T) {}\n",
			"state/a.go":             "package state\n",
			"state/a_test.go":        "package state\n\nfunc requireSame(t *testing.T) {}\n",
		},
	},
	{
		name:  "fuzz targets",
		check: checkFuzzTargets,
		bad: map[string]string{
			"codec/a.go":              "package codec\n",
			"codec/a_test.go":         testSource,
			"state/a.go":              "package state\n\nfunc FuzzNothing(f *testing.F) {}\n",
			"examples/soc/rules/a.go": "package rules\n",
		},
		want: []string{
			"codec/a.go:1: package codec decodes what others wrote and has no fuzz target",
			"state/a.go:1: package state decodes what others wrote and has no fuzz target",
			"examples/soc/rules/a.go:1: package examples/soc decodes what others wrote and has no fuzz target",
		},
		good: map[string]string{
			"codec/a_test.go":               "package codec\n\nfunc FuzzA(f *testing.F) {}\n",
			"topology/a.go":                 "package topology\n",
			"examples/soc/a.go":             "package main\n",
			"examples/soc/sshlog/a_test.go": "package sshlog\n\nfunc FuzzA(f *testing.F) {}\n",
		},
	},
	{
		name:  "error text",
		check: checkErrorText,
		bad: map[string]string{"codec/a.go": `package codec

import "strings"

func a(err error) bool { return strings.Contains(err.Error(), "closed") }

func b(err error) bool { return err.Error() == "EOF" }

func c(err error) bool { return "EOF" != err.Error() }
`},
		want: []string{
			"codec/a.go:5: an error is matched by its text: use errors.Is or errors.AsType",
			"codec/a.go:7: an error is matched by its text: use errors.Is or errors.AsType",
			"codec/a.go:9: an error is matched by its text: use errors.Is or errors.AsType",
		},
		good: map[string]string{
			"codec/a.go":      "package codec\n\nimport \"strings\"\n\nvar a = strings.ToUpper(err.Error()) + err.Error()\n",
			"codec/a_test.go": "package codec\n\nimport \"strings\"\n\nvar a = strings.Contains(err.Error(), \"x\")\n",
		},
	},
}
