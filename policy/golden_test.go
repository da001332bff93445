package policy_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tarnstream/tarn/policy"
)

// The files of testdata/format are kept for ever: dead letters wait in their topics until somebody looks at them, with
// whatever program that is. docs/format.md has the newest.

var addGolden = flag.Bool("golden", false, "write the files of testdata/format, where they are missing")

// linesOf writes headers a line each: name, and the value quoted, or null.
func linesOf(headers []policy.Header) string {
	var b strings.Builder
	for _, h := range headers {
		value := "null"
		if h.Value != nil {
			value = strconv.Quote(string(h.Value))
		}
		fmt.Fprintf(&b, "%-20s %s\n", h.Key, value)
	}
	return b.String()
}

// headersOf reads what linesOf has written.
func headersOf(t *testing.T, lines string) (all []policy.Header) {
	t.Helper()
	for line := range strings.Lines(lines) {
		name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		h := policy.Header{Key: []byte(name)}
		if value = strings.TrimSpace(value); value != "null" {
			text, err := strconv.Unquote(value)
			require.NoError(t, err)
			h.Value = []byte(text)
		}
		all = append(all, h)
	}
	return all
}

func TestGoldenDeadLetter(t *testing.T) {
	l := letter()
	path := filepath.Join("testdata", "format", "deadletter.v1.txt")
	if _, err := os.Stat(path); *addGolden && os.IsNotExist(err) {
		require.NoError(t, os.WriteFile(path, []byte(linesOf(l.Encode())), 0o644))
	}
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	got, err := policy.DeadLetterOf(headersOf(t, string(text)))
	require.NoError(t, err)
	require.Equal(t, l, got, "read")
	require.Equal(t, string(text), linesOf(l.Encode()), "written: what changes needs names of its own, and a file beside this one")

	page, err := os.ReadFile(filepath.Join("..", "docs", "format.md"))
	require.NoError(t, err)
	require.True(t, strings.Contains(string(page), string(text)), "docs/format.md has not what the file has")
}
