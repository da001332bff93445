package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/tarnstream/tarn/processor"
)

// instance is one run of the group, in this process or in one of its own.
type instance interface {
	// stop asks for a clean end.
	stop()
	// ended gives the end's error, once.
	ended() <-chan error
}

// inside is an instance in this process.
type inside struct {
	processor *processor.Processor
	cancel    context.CancelFunc
	done      chan error
}

func startInside(broker, dir string, log *slog.Logger) (*inside, error) {
	g, err := group()
	if err != nil {
		return nil, err
	}
	p, err := processor.New(g, options(broker, dir, log)...)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	i := &inside{processor: p, cancel: cancel, done: make(chan error, 1)}
	go func() { i.done <- p.Run(ctx) }()
	return i, nil
}

func (i *inside) stop()               { i.cancel() }
func (i *inside) ended() <-chan error { return i.done }

// memberCommand makes this program an instance: member BROKER DIR. It ends with its input, so that none outlives the soak.
const memberCommand = "member"

// member runs until it is told to end, and fails when it leaves something behind.
func member(ctx context.Context, args []string) error {
	if len(args) != 2 {
		return errors.New("member BROKER DIR")
	}
	before, err := count()
	if err != nil {
		return err
	}
	i, err := startInside(args[0], args[1], slog.New(slog.NewTextHandler(os.Stderr, nil)))
	if err != nil {
		return err
	}
	defer context.AfterFunc(ctx, i.stop)()
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		i.stop()
	}()
	if err := <-i.ended(); err != nil {
		return err
	}
	return before.compare()
}

// outside is an instance in a process of its own.
type outside struct {
	cmd   *exec.Cmd
	input io.Closer
	done  chan error
}

func startOutside(broker, dir, log string) (*outside, error) {
	exe, err := os.Executable()
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(filepath.Dir(log), 0o755); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	cmd := exec.Command(exe, memberCommand, broker, dir)
	cmd.Stderr = f
	input, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	o := &outside{cmd: cmd, input: input, done: make(chan error, 1)}
	go func() {
		err := cmd.Wait()
		if err != nil {
			err = fmt.Errorf("process of %s: %w: see %s", filepath.Base(dir), err, log)
		}
		o.done <- err
	}()
	return o, nil
}

func (o *outside) stop()               { _ = o.input.Close() }
func (o *outside) ended() <-chan error { return o.done }

// kill is kill -9. The end that follows is no fault.
func (o *outside) kill() {
	_ = o.cmd.Process.Kill()
	<-o.done
}
