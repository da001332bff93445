package lint

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// faults are the numbers of the restore faults that are shown by tests, which have the number in their names.
var faults = []string{
	"R01", "R02", "R03", "R04", "R05", "R06", "R07", "R08", "R09", "R10", "R11", "R12", "R13", "R14", "R15", "R16", "R17", "R18", "R20", "R22", "R24", "R25",
	"R26", "R27", "R28", "R32", "R33", "R35", "R36", "R37", "R38", "R39", "R40", "R41", "R42", "R43", "R44", "R45", "R46", "R47", "R48", "R49", "R50",
	"R51", "R52", "R53", "R54", "R55", "R56", "R57", "R58", "R59", "R60", "R61", "R62", "R63", "R64", "R65", "R66", "R67", "R68", "R69", "R70", "R71",
}

// faultNumber finds the numbers in a name such as TestR08_R11_MarkersEndTheLog.
var faultNumber = regexp.MustCompile(`R[0-9]+`)

// checkFaults looks at the names of test functions, wherever they stand. That the test shows its fault is for its reader
// to see; that there is none is seen here.
func checkFaults(r *repo) []finding {
	shown := r.shownFaults()
	var found []finding
	for _, number := range faults {
		if !shown[number] {
			text := fmt.Sprintf("no test function has %s in its name: a fault is shown by a test", number)
			found = append(found, finding{file: "internal/lint/faults_test.go", line: 1, text: text})
		}
	}
	return found
}

func (r *repo) shownFaults() map[string]bool {
	shown := map[string]bool{}
	for _, f := range r.folders() {
		for _, s := range f.files {
			for d := range functions(s) {
				if !s.test || d.Recv != nil || !isTest(d, "Test") {
					continue
				}
				for _, number := range faultNumber.FindAllString(d.Name.Name, -1) {
					shown[number] = true
				}
			}
		}
	}
	return shown
}

var faultRules = []rule{{
	name:  "faults",
	check: checkFaults,
	bad: map[string]string{
		"state/a_test.go": faultTests("R02", "R09", "R25", "R71") + `
// TestR02_OnlyInAComment is none.

func requireR09(t *testing.T) {}

func (s suite) TestR25(t *testing.T) {}

func TestR710_IsAnotherNumber(t *testing.T) {}
`,
		"state/a.go": "package state\n\nfunc TestR02(t *testing.T) {}\n",
	},
	want: []string{
		"internal/lint/faults_test.go:1: no test function has R02 in its name: a fault is shown by a test",
		"internal/lint/faults_test.go:1: no test function has R09 in its name: a fault is shown by a test",
		"internal/lint/faults_test.go:1: no test function has R25 in its name: a fault is shown by a test",
		"internal/lint/faults_test.go:1: no test function has R71 in its name: a fault is shown by a test",
	},
	good: map[string]string{
		"state/a_test.go":     faultTests("R02", "R09"),
		"processor/a_test.go": "package processor\n\nfunc TestR02_R09_InOne(t *testing.T) {}\n",
	},
}}

// faultTests is a source with a test for each fault but some.
func faultTests(but ...string) string {
	var b strings.Builder
	b.WriteString("package state\n")
	for _, number := range faults {
		if !slices.Contains(but, number) {
			fmt.Fprintf(&b, "\nfunc Test%s_Shown(t *testing.T) {}\n", number)
		}
	}
	return b.String()
}
