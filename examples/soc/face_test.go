package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pterm/pterm"
	"github.com/stretchr/testify/require"
)

func TestFace_PlainWhereNoTerminal(t *testing.T) {
	file, err := os.Create(filepath.Join(t.TempDir(), "out"))
	require.NoError(t, err)
	defer file.Close()
	f := newFace(file)
	s := count(t, "testdata/forms.log", 2016)
	half := s
	half.Lines, half.Alerts = 20, s.Alerts[:1]
	f.Show(half)
	f.Show(half) // nothing new, nothing written
	f.Show(s)
	require.NoError(t, f.Close())

	text, err := os.ReadFile(file.Name())
	require.NoError(t, err)
	lines := strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
	require.Len(t, lines, 2+len(s.Alerts))
	require.Equal(t, `alert: 2016-03-03 10:00:40 brute-force from 198.51.100.5 on gate, 8 failures, user "root"`, lines[0])
	require.Equal(t, "lines 20  failures 25  accepted 2  addresses 6  alerts 1  rejects 9", lines[1])
	require.Equal(t, "lines 55  failures 25  accepted 2  addresses 6  alerts 5  rejects 9", lines[len(lines)-1])
	require.NotContains(t, string(text), "\x1b")
}

type full struct{}

var errFull = errors.New("no space left")

func (full) Write([]byte) (int, error) { return 0, errFull }

func TestFace_WriteErrorIsTold(t *testing.T) {
	f := &plainFace{out: full{}}
	f.Show(Snapshot{})
	require.ErrorIs(t, f.Close(), errFull)
}

// The picture holds the worst attackers and the newest alerts, and stays small
// enough for a terminal whatever there is to show.
func TestRender(t *testing.T) {
	s := count(t, "testdata/forms.log", 2016)
	text := pterm.RemoveColorFromString(render(s))
	require.Contains(t, text, "lines 55  failures 25")
	require.Regexp(t, `203\.0\.113\.40 +\S 10 +\S 10 +\S 0 +\S 2016-03-03 10:11:02 \S failed`, text)
	require.NotContains(t, text, "192.0.2.20") // logged in and did nothing else
	require.Contains(t, text, "compromise from 2001:db8::99 on gate")

	for range 5 {
		s.Alerts = append(s.Alerts, s.Alerts...)
		s.Attackers = append(s.Attackers, s.Attackers...)
	}
	text = pterm.RemoveColorFromString(render(s))
	require.LessOrEqual(t, strings.Count(text, "\n"), liveAttackers+liveAlerts+6)
	require.Contains(t, pterm.RemoveColorFromString(render(Snapshot{})), "attacker")
}
