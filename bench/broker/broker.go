// Package broker runs tarn's development broker in a process of its own, so that its memory and processor time are not
// the measured program's.
package broker

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// Broker is a running `tarn dev`.
type Broker struct {
	// Addr is its address.
	Addr string
	cmd  *exec.Cmd
}

// Start builds cmd/tarn into dir and runs its dev command on a free port. Its data is in memory. It ends with Stop, or
// with ctx.
func Start(ctx context.Context, dir string) (*Broker, error) {
	program := filepath.Join(dir, "tarn")
	build := exec.CommandContext(ctx, "go", "build", "-o", program, "github.com/tarnstream/tarn/cmd/tarn")
	if out, err := build.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("broker: build: %w\n%s", err, out)
	}
	b := &Broker{cmd: exec.CommandContext(ctx, program, "dev", "-port", "0")}
	b.cmd.Stderr = os.Stderr
	b.cmd.Cancel = func() error { return b.cmd.Process.Signal(os.Interrupt) }
	b.cmd.WaitDelay = 10 * time.Second
	out, err := b.cmd.StdoutPipe()
	if err == nil {
		err = b.cmd.Start()
	}
	if err != nil {
		return nil, fmt.Errorf("broker: start: %w", err)
	}
	if b.Addr, err = addrIn(out); err != nil {
		return nil, errors.Join(fmt.Errorf("broker: start: %w", err), b.Stop())
	}
	return b, nil
}

// addrIn reads the greeting up to the address.
func addrIn(greeting io.Reader) (string, error) {
	lines := bufio.NewScanner(greeting)
	for lines.Scan() {
		if f := strings.Fields(lines.Text()); len(f) == 2 && f[0] == "address" {
			return f[1], nil
		}
	}
	return "", errors.Join(errors.New("it tells no address"), lines.Err())
}

// Stop ends the process and waits for it.
func (b *Broker) Stop() error {
	if err := b.cmd.Process.Signal(os.Interrupt); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("broker: stop: %w", err)
	}
	if err := b.cmd.Wait(); err != nil {
		return fmt.Errorf("broker: stop: %w", err)
	}
	return nil
}
