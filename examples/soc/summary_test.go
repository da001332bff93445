package main

import (
	"errors"
	"io/fs"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tarnstream/tarn/examples/soc/sshlog"
)

// count is the direct count of a file.
func count(t *testing.T, path string, year int) Snapshot {
	t.Helper()
	lines, err := config{Log: path, Year: year}.lines()
	require.NoError(t, err)
	s, err := direct(lines, year)
	require.NoError(t, err)
	return s
}

// forms.log holds every form of line, with both line endings, bytes that are no
// text and no newline at the end; forms.txt is its summary.
func TestSummary_EveryFormOfLine(t *testing.T) {
	s := count(t, "testdata/forms.log", 2016)
	got := summary(s, &s)
	if *update {
		require.NoError(t, os.WriteFile("testdata/forms.txt", []byte(got), 0o644))
	}
	want, err := os.ReadFile("testdata/forms.txt")
	require.NoError(t, err)
	require.Equal(t, string(want), got)
}

// The figures of a public log of 2,000 lines, which is not part of this module.
func TestSummary_OpenSSH2k(t *testing.T) {
	const path = "../../../shared/data/openssh/OpenSSH_2k.log"
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		t.Skipf("the log is not here: %s", path)
	}
	s := count(t, path, 2015)
	text := summary(s, &s)
	for _, line := range []string{
		"2000 lines read",
		`520 lines "Failed password", 2 of them repeated: 528 failures`,
		"1 accepted login from 119.137.62.142",
		"85 break-in warnings",
		"1281 lines parsed, of no counted kind",
		"0 lines rejected",
		"11 addresses with a brute-force alert",
		"3 addresses with a user-enumeration alert",
		"0 addresses with a compromise alert",
		"183.62.140.253 286 failures, 10 users",
		"187.141.143.180 80 failures, 28 users",
		"103.99.0.122 46 failures, 19 users",
		"difference to a direct count of the input: 0",
	} {
		require.Contains(t, "\n"+text, "\n"+line)
	}
	var counted int64
	for _, row := range s.Attackers {
		counted += row.Failures
	}
	require.EqualValues(t, 528, counted)
}

func TestSummary_WithoutInput(t *testing.T) {
	text := summary(Snapshot{}, nil)
	require.Contains(t, text, "0 lines read\n")
	require.NotContains(t, text, "difference")
}

// What one side has and the other has not is found, in every figure.
func TestDifference(t *testing.T) {
	want := count(t, "testdata/forms.log", 2016)
	total, items := difference(want, want)
	require.Zero(t, total)
	require.Empty(t, items)

	for name, change := range map[string]func(*Snapshot){
		"lines":                      func(s *Snapshot) { s.Lines++ },
		`lines "Failed password"`:    func(s *Snapshot) { s.FailedLines-- },
		"repeated lines":             func(s *Snapshot) { s.RepeatedLines++ },
		"failures":                   func(s *Snapshot) { s.Failures++ },
		"invalid users":              func(s *Snapshot) { s.InvalidUsers++ },
		"accepted":                   func(s *Snapshot) { s.Accepted++ },
		"break-in warnings":          func(s *Snapshot) { s.BreakIns++ },
		"other lines":                func(s *Snapshot) { s.Other++ },
		"rejects, new":               func(s *Snapshot) { s.Rejects["new"]++ },
		"198.51.100.5 failures":      func(s *Snapshot) { edit(s, func(a *Attacker) { a.Failures++ }) },
		"198.51.100.5 invalid users": func(s *Snapshot) { edit(s, func(a *Attacker) { a.InvalidUsers++ }) },
		"198.51.100.5 users":         func(s *Snapshot) { edit(s, func(a *Attacker) { a.Users = nil }) },
		"198.51.100.5 accepted":      func(s *Snapshot) { edit(s, func(a *Attacker) { a.Accepted++ }) },
		"198.51.100.5 break-in":      func(s *Snapshot) { edit(s, func(a *Attacker) { a.BreakIns++ }) },
		"alert 2016-03-03":           func(s *Snapshot) { s.Alerts = s.Alerts[1:] },
		"alert 0001-01-01":           func(s *Snapshot) { s.Alerts = append(s.Alerts, Alert{}) },
	} {
		got := count(t, "testdata/forms.log", 2016)
		change(&got)
		total, items := difference(got, want)
		require.EqualValues(t, 1, total, name)
		require.Len(t, items, 1, name)
		require.True(t, strings.HasPrefix(items[0], name), "%s: %s", name, items[0])
		require.Contains(t, summary(got, &want), "input: 1\n    "+items[0])
	}

	got := count(t, "testdata/forms.log", 2016)
	got.Attackers = nil
	total, _ = difference(got, want)
	require.Positive(t, total)
}

func edit(s *Snapshot, change func(*Attacker)) {
	for i := range s.Attackers {
		if s.Attackers[i].Address == "198.51.100.5" {
			change(&s.Attackers[i])
		}
	}
}

func TestDirect_ReadErrorEndsIt(t *testing.T) {
	broken := errors.New("disk on fire")
	_, err := direct(func(yield func(sshlog.Line, error) bool) { yield(sshlog.Line{}, broken) }, 2020)
	require.ErrorIs(t, err, broken)
}

// A long line on the way to soc-rejects leaves only its beginning behind.
func TestReject_IsBounded(t *testing.T) {
	r := newReject(strings.Repeat("é", maxRejectLine), &sshlog.RejectError{Reason: sshlog.TooLong, Column: 1})
	require.LessOrEqual(t, len(r.Line), maxRejectLine+3)
	require.Equal(t, sshlog.TooLong, r.Reason)
	require.Equal(t, "a\uFFFD", newReject("a\xff", &sshlog.RejectError{}).Line)
}
