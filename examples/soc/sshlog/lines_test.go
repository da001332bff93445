package sshlog_test

import (
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"

	"github.com/tarnstream/tarn/examples/soc/sshlog"
)

func read(t *testing.T, text string) []sshlog.Line {
	t.Helper()
	var lines []sshlog.Line
	for line, err := range sshlog.Lines(strings.NewReader(text)) {
		require.NoError(t, err)
		lines = append(lines, line)
	}
	return lines
}

func TestLines_Endings(t *testing.T) {
	want := []sshlog.Line{{Number: 1, Text: "a"}, {Number: 2, Text: ""}, {Number: 3, Text: "b"}}
	for _, text := range []string{"a\n\nb\n", "a\n\nb", "a\r\n\r\nb\r\n", "a\r\n\nb", "a\n\nb\r"} {
		require.Equal(t, want, read(t, text), "%q", text)
	}
	require.Empty(t, read(t, ""))
}

// Around the limit a line is whole or still too long; the lines behind it are
// not touched.
func TestLines_OverLong(t *testing.T) {
	for _, size := range []int{sshlog.MaxLine - 1, sshlog.MaxLine, sshlog.MaxLine + 1, sshlog.MaxLine + 2, 3*sshlog.MaxLine + 7} {
		for _, ending := range []string{"\n", "\r\n"} {
			lines := read(t, head+strings.Repeat("x", size-len(head))+ending+head+"hello"+ending)
			require.Len(t, lines, 2)
			_, err := sshlog.Parse(lines[0].Text, 2020)
			require.Equal(t, size > sshlog.MaxLine, err != nil, "%d bytes: %v", size, err)
			require.LessOrEqual(t, len(lines[0].Text), sshlog.MaxLine+2)
			require.Equal(t, sshlog.Line{Number: 2, Text: head + "hello"}, lines[1])
		}
	}
}

func TestLines_ReadError(t *testing.T) {
	broken := errors.New("disk on fire")
	in := io.MultiReader(strings.NewReader("a\nb"), iotest.ErrReader(broken))
	var texts []string
	var got error
	for line, err := range sshlog.Lines(in) {
		if err != nil {
			require.EqualValues(t, 2, line.Number)
			got = err
			continue
		}
		texts = append(texts, line.Text)
	}
	require.ErrorIs(t, got, broken)
	require.Equal(t, []string{"a"}, texts)
}

func TestLines_StopsWhenAsked(t *testing.T) {
	for line := range sshlog.Lines(strings.NewReader("a\nb\n")) {
		require.Equal(t, "a", line.Text)
		break
	}
}
