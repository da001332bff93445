package child_test

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/tarnstream/tarn/internal/child"
)

// echo is the argument that makes the test binary a child: it repeats its input, and ends with it.
const echo = "echo"

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == echo {
		for in := bufio.NewScanner(os.Stdin); in.Scan(); {
			fmt.Println(in.Text())
		}
		fmt.Fprintln(os.Stderr, "bye")
		os.Exit(7)
	}
	goleak.VerifyTestMain(m)
}

func start(t *testing.T) (p *child.Process, said *bufio.Scanner, log string) {
	log = filepath.Join(t.TempDir(), "logs", "a.log")
	r, w := io.Pipe()
	p, err := child.Start(child.Config{Log: log, Said: w, Args: []string{echo}})
	require.NoError(t, err)
	t.Cleanup(p.Kill)
	return p, bufio.NewScanner(r), log
}

func hears(t *testing.T, p *child.Process, said *bufio.Scanner, line string) {
	require.NoError(t, p.Tell(line))
	require.True(t, said.Scan())
	require.Equal(t, line, said.Text())
}

func TestClose_EndsTheInput(t *testing.T) {
	p, said, log := start(t)
	hears(t, p, said, "one")
	require.NoError(t, p.Close())
	err := <-p.Ended()
	var status *exec.ExitError
	require.ErrorAs(t, err, &status)
	require.Equal(t, 7, status.ExitCode())
	require.ErrorContains(t, err, log)
	text, err := os.ReadFile(log)
	require.NoError(t, err)
	require.Equal(t, "bye\n", string(text))
}

func TestKill(t *testing.T) {
	p, said, log := start(t)
	hears(t, p, said, "one")
	p.Kill()
	require.Error(t, <-p.Ended())
	p.Kill() // again
	text, err := os.ReadFile(log)
	require.NoError(t, err)
	require.Empty(t, text)
}

func TestFreeze(t *testing.T) {
	if !child.CanFreeze {
		t.Skip("processes cannot be frozen here")
	}
	p, said, _ := start(t)
	hears(t, p, said, "one")
	require.NoError(t, p.Freeze())
	require.NoError(t, p.Tell("two"))
	heard := make(chan bool)
	go func() { heard <- said.Scan() }()
	select {
	case <-heard:
		require.Fail(t, "it runs")
	case <-time.After(100 * time.Millisecond):
	}
	require.NoError(t, p.Thaw())
	require.True(t, <-heard)
	require.Equal(t, "two", said.Text())
	p.Kill()
	<-p.Ended()
}
