package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tarnstream/tarn/observe"
)

const openSSH = "../../../shared/data/openssh/OpenSSH_2k.log"

// soc runs the program in this process and gives what it printed.
func soc(t *testing.T, ctx context.Context, args ...string) string {
	t.Helper()
	out, err := os.Create(filepath.Join(t.TempDir(), "out"))
	require.NoError(t, err)
	defer out.Close()
	status := run(ctx, args, out)
	text, err := os.ReadFile(out.Name())
	require.NoError(t, err)
	require.Zero(t, status, "%s", text)
	return string(text)
}

func TestRun_EveryFormOfLine(t *testing.T) {
	text := soc(t, t.Context(), "-log", "testdata/forms.log", "-year", "2024")
	require.Contains(t, text, "difference to a direct count of the input: 0")
	again := soc(t, t.Context(), "-log", "testdata/forms.log", "-year", "2024")
	require.Equal(t, afterSummary(text), afterSummary(again), "two runs give the same table and alerts")
}

func afterSummary(text string) string {
	_, after, _ := strings.Cut(text, " read\n")
	return after
}

func TestRun_OpenSSH2k(t *testing.T) {
	if _, err := os.Stat(openSSH); err != nil {
		t.Skipf("the log is not here: %v", err)
	}
	text := soc(t, t.Context(), "-log", openSSH, "-year", "2015")
	for _, line := range []string{
		"2000 lines read", `520 lines "Failed password", 2 of them repeated: 528 failures`, "183.62.140.253 286 failures",
		"187.141.143.180 80 failures", "103.99.0.122 46 failures", "11 addresses with a brute-force alert",
		"3 addresses with a user-enumeration alert", "187.141.143.180 user-enumeration 28 users", "103.99.0.122 user-enumeration 19 users",
		"183.62.140.253 user-enumeration 10 users", "0 addresses with a compromise alert", "1 accepted login from 119.137.62.142",
		"85 break-in warnings", "1281 lines parsed, of no counted kind", " on LabSZ (lab server of Research, low)", "0 lines rejected", "difference to a direct count of the input: 0"} {
		require.Contains(t, text, line)
	}
}

// Alerts are told with the host's row of soc-assets.
func TestRun_AlertsNameTheAsset(t *testing.T) {
	text := soc(t, t.Context(), "-rate", "5000", "-year", "2026")
	for _, line := range []string{
		`alert: 2026-01-05 08:13:15 compromise from 198.51.100.99 on db1 (customer database of Sales, high), 4 failures, user "backup"`,
		"4 alerts on web1 (web shop of Sales, high)", "difference to a direct count of the input: 0"} {
		require.Contains(t, text, line)
	}
}

func TestRun_ExpireShowsWhatDisappears(t *testing.T) {
	text := soc(t, t.Context(), "-expire", "-rate", "2000")
	require.Contains(t, text, "rebuild: checkpoint")
	require.Contains(t, text, "rightly disappeared")
}

// Killed half-way and started again on the same folder: each line has counted once.
func TestRun_KilledAndStartedAgain(t *testing.T) {
	for name, input := range map[string][]string{"generated": {"-seed", "3"}, "the real log": {"-log", openSSH, "-year", "2017"}} {
		t.Run(name, func(t *testing.T) {
			if _, err := os.Stat(openSSH); name != "generated" && err != nil {
				t.Skip("it is no part of the project:", err)
			}
			args := append([]string{"-keep", t.TempDir()}, input...)
			killedHalfWay(t, append(args, "-rate", "500")...)
			text := soc(t, t.Context(), append(args, "-rate", "5000")...)
			require.Contains(t, text, "\n2000 lines read")
			require.Contains(t, text, "difference to a direct count of the input: 0\n")
		})
	}
}

// killedHalfWay runs the program until some hundred lines are through.
func killedHalfWay(t *testing.T, args ...string) {
	program := exec.Command(os.Args[0])
	program.Env = append(os.Environ(), asProgram+"="+strings.Join(args, "\n"))
	stdout, err := program.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, program.Start())
	half := make([]byte, 4096)
	for fed := 0; fed < 600; {
		n, err := stdout.Read(half)
		require.NoError(t, err)
		fmt.Sscanf(lastFigures(string(half[:n])), "lines %d", &fed)
	}
	require.NoError(t, program.Process.Kill())
	_ = program.Wait() // it was killed
}

func lastFigures(text string) string { return text[max(0, strings.LastIndex(text, "lines ")):] }

func TestRun_AnswersHTTPUntilInterrupted(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	address := l.Addr().String()
	require.NoError(t, l.Close())
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan string, 1)
	go func() { done <- soc(t, ctx, "-log", "testdata/forms.log", "-year", "2024", "-http", address) }()

	var rows []Attacker
	require.Eventually(t, func() bool {
		return get("http://"+address+"/attackers?top=3", &rows) == http.StatusOK && len(rows) == 3
	},
		20*time.Second, 50*time.Millisecond)
	var one Attacker
	require.Equal(t, http.StatusOK, get("http://"+address+"/attackers/"+rows[0].Address, &one))
	require.Equal(t, rows[0].Failures, one.Failures)
	require.Equal(t, http.StatusBadRequest, get("http://"+address+"/attackers?top=x", nil))
	require.Equal(t, http.StatusNotFound, get("http://"+address+"/attackers/192.0.2.254", nil))
	var alerts []Alert
	require.Eventually(t, func() bool {
		return get("http://"+address+"/alerts?since=2024-01-01T00:00:00Z", &alerts) == http.StatusOK && len(alerts) > 0
	},
		20*time.Second, 50*time.Millisecond)
	require.True(t, slices.IsSortedFunc(alerts, earliestFirst))
	var reasons []observe.Reason
	require.Equal(t, http.StatusOK, get("http://"+address+"/ready", &reasons))
	require.Empty(t, reasons)
	text := page(t, "http://"+address+"/metrics")
	require.Contains(t, text, `tarn_ready{group="soc-detect",kind="processor"} 1`)
	require.Contains(t, text, `tarn_table_lag{group="soc-attackers",partition="3",role="viewed",topic="soc-attackers"} 0`)
	cancel()
	require.Contains(t, <-done, " read\n")
	http.DefaultClient.CloseIdleConnections()
}

func page(t *testing.T, url string) string {
	t.Helper()
	res, err := http.Get(url)
	require.NoError(t, err)
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	return string(text)
}

func get(url string, into any) int {
	res, err := http.Get(url)
	if err != nil {
		return 0
	}
	defer res.Body.Close()
	data, err := io.ReadAll(res.Body)
	if err == nil && into != nil {
		err = json.Unmarshal(data, into)
	}
	if err != nil {
		return 0
	}
	return res.StatusCode
}
