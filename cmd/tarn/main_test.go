package main

import (
	"bytes"
	"context"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

// asTarn makes the test binary behave as the command, for tests that need a process.
const asTarn = "TARN_TEST_AS_COMMAND"

func TestMain(m *testing.M) {
	if os.Getenv(asTarn) != "" {
		main()
	}
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("github.com/syndtr/goleveldb/leveldb.(*DB).mpoolDrain")) // ends a second after its DB
}

func runFor(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var out, errs bytes.Buffer
	code = run(ctx, args, &out, &errs)
	require.NoError(t, ctx.Err(), "the command did not end")
	return code, out.String(), errs.String()
}

func TestUsageErrorsExit2(t *testing.T) {
	for name, tc := range map[string]struct {
		args []string
		says string
	}{
		"nothing":          {nil, "usage: tarn"},
		"unknown command":  {[]string{"devv"}, `unknown command "devv"`},
		"unknown flag":     {[]string{"dev", "-dta", "x"}, "-dta"},
		"no number":        {[]string{"dev", "-port", "many"}, "many"},
		"no port":          {[]string{"dev", "-port", "70000"}, "-port 70000 is no port"},
		"extra argument":   {[]string{"dev", "now"}, `unexpected argument "now"`},
		"relaxed of what?": {[]string{"dev", "-relaxed"}, "-relaxed"},
	} {
		t.Run(name, func(t *testing.T) {
			code, stdout, stderr := runFor(t, tc.args...)
			require.Equal(t, exitUsage, code)
			require.Contains(t, stderr, tc.says)
			require.Empty(t, stdout)
		})
	}
}

func TestHelpExits0(t *testing.T) {
	for _, args := range [][]string{{"help"}, {"-h"}, {"dev", "-h"}} {
		code, stdout, stderr := runFor(t, args...)
		require.Equal(t, exitOK, code, args)
		require.NotEmpty(t, stdout, args)
		require.Empty(t, stderr, args)
	}
}

func TestTakenPortIsAnError(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer ln.Close()
	_, port, err := net.SplitHostPort(ln.Addr().String())
	require.NoError(t, err)
	code, _, stderr := runFor(t, "dev", "-port", port)
	require.Equal(t, exitError, code)
	require.Contains(t, stderr, "address already in use")
	require.Contains(t, stderr, port)
}

func TestUnwritableFolderIsAnError(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	code, _, stderr := runFor(t, "dev", "-port", "0", "-data", filepath.Join(file, "data"))
	require.Equal(t, exitError, code)
	require.Contains(t, stderr, file)
}

func TestDevEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	out, in := io.Pipe()
	done := make(chan int, 1)
	go func() {
		done <- run(ctx, []string{"dev", "-port", "0", "-data", t.TempDir()}, in, io.Discard)
		in.Close()
	}()
	addr := readAddress(t, out)
	conn, err := net.Dial("tcp", addr)
	require.NoError(t, err)
	conn.Close()
	cancel()
	rest, err := io.ReadAll(out)
	require.NoError(t, err)
	require.Contains(t, string(rest), "ended")
	require.Equal(t, exitOK, <-done)
}

func TestSignalsEndTheProcessCleanly(t *testing.T) {
	for _, sig := range []os.Signal{os.Interrupt, syscall.SIGTERM} {
		t.Run(sig.String(), func(t *testing.T) {
			cmd := exec.CommandContext(t.Context(), os.Args[0], "dev", "-port", "0", "-data", t.TempDir())
			cmd.Env = append(os.Environ(), asTarn+"=1")
			out, err := cmd.StdoutPipe()
			require.NoError(t, err)
			require.NoError(t, cmd.Start())
			readAddress(t, out)
			require.NoError(t, cmd.Process.Signal(sig))
			io.Copy(io.Discard, out)
			require.NoError(t, cmd.Wait(), "exit code 0")
		})
	}
}

// readAddress reads the greeting up to its last line and gives the address it told.
func readAddress(t *testing.T, r io.Reader) string {
	t.Helper()
	var text strings.Builder
	buf := make([]byte, 1)
	for !strings.Contains(text.String(), "ends it.\n") {
		_, err := io.ReadFull(r, buf)
		require.NoError(t, err, text.String())
		text.Write(buf)
	}
	require.Contains(t, text.String(), "for development only")
	for line := range strings.Lines(text.String()) {
		if f := strings.Fields(line); len(f) == 2 && f[0] == "address" {
			return f[1]
		}
	}
	t.Fatal("no address in: " + text.String())
	return ""
}
