package state

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var (
	planLine = regexp.MustCompile(`(?m)^plan: \w+ \[-?\d+, -?\d+\): (.+)$`)
	anyCode  = regexp.MustCompile("`[^`]+`")
	anyDigit = regexp.MustCompile(`\d+`)
)

// Each cause that a scenario prints has its row in docs/restore.md: what it means, and what to do.
func TestCauses_AreExplained(t *testing.T) {
	page, err := os.ReadFile(filepath.Join("..", "docs", "restore.md"))
	require.NoError(t, err)
	_, page2, found := strings.Cut(string(page), "\n## Every cause\n")
	require.True(t, found)
	rows, _, _ := strings.Cut(page2, "\n## ")
	explained := map[string]bool{}
	for _, code := range anyCode.FindAllString(rows, -1) {
		explained[anyDigit.ReplaceAllString(strings.Trim(code, "`"), "N")] = true
	}
	files, err := filepath.Glob(filepath.Join("testdata", "restorer", "*"))
	require.NoError(t, err)
	causes := map[string]bool{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		for _, m := range planLine.FindAllStringSubmatch(string(text), -1) {
			cause, _, _ := strings.Cut(m[1], "; ") // what else is done
			causes[anyDigit.ReplaceAllString(cause, "N")] = true
		}
	}
	require.Len(t, causes, 16, "the scenarios have them all: %v", causes)
	for cause := range causes {
		require.True(t, explained[cause], "docs/restore.md does not explain: %s", cause)
	}
}
