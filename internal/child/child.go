package child

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/tarnstream/tarn/internal/task"
)

// Config says what Start starts.
type Config struct {
	// Log is the file that standard error is appended to. Its folder is made where it is missing.
	Log string
	// Said gets standard output; nil throws it away.
	Said io.Writer
	// Args are the program's arguments.
	Args []string
}

// Process is a started child.
type Process struct {
	cmd   *exec.Cmd
	input io.WriteCloser
	ended chan error
}

// Start starts this program again.
func Start(c Config) (*Process, error) {
	exe, err := os.Executable()
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(filepath.Dir(c.Log), 0o755); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(c.Log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, err
	}
	defer f.Close() // the child has its own
	p := &Process{cmd: exec.Command(exe, c.Args...), ended: make(chan error, 1)}
	p.cmd.Stderr, p.cmd.Stdout = f, c.Said
	if p.input, err = p.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	task.New(context.Background()).Go("child", func(context.Context) error {
		err := p.cmd.Wait()
		if err != nil {
			err = fmt.Errorf("process %d: %w: see %s", p.cmd.Process.Pid, err, c.Log)
		}
		p.ended <- err
		return nil
	})
	return p, nil
}

// Ended gives the process's end, once: nil for status 0, else an error around the *exec.ExitError that names the log.
func (p *Process) Ended() <-chan error { return p.ended }

// Tell writes a line to the process.
func (p *Process) Tell(line string) error {
	_, err := io.WriteString(p.input, line+"\n")
	return err
}

// Close ends the process's input, which asks it to end.
func (p *Process) Close() error { return p.input.Close() }

// Signal sends a signal. It is an error where the process has ended.
func (p *Process) Signal(s os.Signal) error { return p.cmd.Process.Signal(s) }

// Kill is kill -9. A process that has ended is left so.
func (p *Process) Kill() { _ = p.cmd.Process.Kill() }
