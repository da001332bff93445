package lint

import (
	"fmt"
	"strings"
)

var budgetRules = []rule{
	{
		name:  "file length",
		check: checkFileLength,
		bad:   map[string]string{"codec/a.go": "package codec\n" + strings.Repeat("\n", maxFileLines)},
		want:  []string{"codec/a.go:801: 801 lines, limit 800"},
		good:  map[string]string{"codec/a.go": "package codec\n" + strings.Repeat("\n", maxFileLines-1)},
	},
	{
		name:  "function length",
		check: checkFunctionLength,
		bad: map[string]string{
			"codec/a.go":      "package codec\n\nfunc long() {" + strings.Repeat("\n", 80) + "}\n",
			"codec/a_test.go": "package codec\n\nvar f = func() {" + strings.Repeat("\n", 90) + "}\n",
		},
		want: []string{
			"codec/a.go:3: long has 81 lines, limit 80",
			"codec/a_test.go:3: a function literal has 91 lines, limit 80",
		},
		good: map[string]string{
			"codec/a.go": "package codec\n\n" + strings.Repeat("// why\n", 50) + "func long() {" + strings.Repeat("\n", 79) + "}\n",
		},
	},
	{
		name:  "parameters",
		check: checkParameters,
		bad: map[string]string{"codec/a.go": `package codec

func five(a, b, c int, d, e string) {}

type t struct{}

func (t) five(int, int, int, int, int) {}

var f = func(a, b, c, d, e int) {}
`},
		want: []string{
			"codec/a.go:3: five has 5 parameters, limit 4",
			"codec/a.go:7: five has 5 parameters, limit 4",
			"codec/a.go:9: a function literal has 5 parameters, limit 4",
		},
		good: map[string]string{"codec/a.go": "package codec\n\nfunc (t) four(a, b int, c string, d ...int) (e, f int) { return }\n"},
	},
	{
		name:  "exported names",
		check: checkExportedNames,
		bad: map[string]string{
			"state/a.go":      "package state\n\nconst (\n" + names(30) + ")\n\ntype T int\nfunc F() {}\nvar A, B = 1, 2\n",
			"state/b.go":      "package state\n\ntype (\n\tU int\n\tV int\n)\n",
			"state/a_test.go": "package state\n\nfunc TestMain() {}\n",
		},
		want: []string{"state/a.go:1: package state exports 36 names, limit 35"},
		good: map[string]string{
			"state/a.go": "package state\n\nconst (\n" + names(34) + ")\n\ntype T int\nfunc (T) M() {}\nfunc f() {}\n",
			"state/b.go": "//go:build race\n\npackage state\n\nconst N1 = 2\n",
			"codec/a.go": "package codec\n\nconst (\n" + names(50) + ")\n",
		},
	},
}

func names(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "\tN%d = 1\n", i)
	}
	return b.String()
}

var docRules = []rule{
	{
		name:  "package documentation",
		check: checkPackageDoc,
		bad: map[string]string{
			"codec/a.go":      "package codec\n",
			"codec/a_test.go": "// Package codec is documented in the wrong place.\npackage codec\n",
			"cmd/tarn/a.go":   "//go:build linux\n\npackage main\n",
			"helpers/a.go":    "// Package helpers helps.\npackage helpers\n",
		},
		want: []string{
			"cmd/tarn/a.go:3: package cmd/tarn has no package comment: write a doc.go",
			"codec/a.go:1: package codec has no package comment: write a doc.go",
			"helpers/a.go:2: package name helpers says nothing",
		},
		good: map[string]string{
			"codec/a.go":      "package codec\n",
			"codec/doc.go":    "// Package codec is documented.\npackage codec\n",
			"bench/a_test.go": "package bench\n",
		},
	},
	{
		name:  "exported documentation",
		check: checkExportedDocs,
		bad: map[string]string{"codec/a.go": `package codec

type T[K any] struct{}

func (*T[K]) Method() {}

func F() {}

const C = 1

var (
	A, b = 1, 2
)

// Documented as a group, which is no documentation of a type.
type (
	U int
)
`},
		want: []string{
			"codec/a.go:3: exported T is not documented",
			"codec/a.go:5: exported Method is not documented",
			"codec/a.go:7: exported F is not documented",
			"codec/a.go:9: exported C is not documented",
			"codec/a.go:12: exported A is not documented",
			"codec/a.go:17: exported U is not documented",
		},
		good: map[string]string{
			"codec/a.go": `package codec

// T is documented.
type T struct{}

func (T) Error() string { return "" }

func (t *T) private() {}

type hidden struct{}

func (hidden) Method() {}

// Values that stand for something.
const (
	A = 1
	B = 2
)

var (
	C = 1 // C is documented.
)
`,
			"codec/a_test.go":  "package codec\n\nfunc TestF() {}\n",
			"cmd/tarn/main.go": "package main\n\nfunc Exported() {}\n",
		},
	},
	{
		name:  "marks",
		check: checkMarks,
		bad: map[string]string{
			"codec/a.go":      "package codec\n\n// TODO: more\nvar a = 1 // see FIXME\n",
			"codec/a_test.go": "package codec\n\n/* XXX */\n",
		},
		want: []string{
			"codec/a.go:3: mark TODO: file an issue instead",
			"codec/a.go:4: mark FIXME: file an issue instead",
			"codec/a_test.go:3: mark XXX: file an issue instead",
		},
		good: map[string]string{"codec/a.go": "package codec\n\n// Todos are XXXL here.\nvar a = \"TODO\"\n"},
	},
}
