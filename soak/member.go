package main

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"os"

	"github.com/tarnstream/tarn/internal/child"
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
type outside struct{ *child.Process }

func startOutside(broker, dir, log string) (instance, error) {
	p, err := child.Start(child.Config{Log: log, Args: []string{memberCommand, broker, dir}})
	if err != nil {
		return nil, err
	}
	return &outside{p}, nil
}

func (o *outside) stop()               { _ = o.Close() }
func (o *outside) ended() <-chan error { return o.Ended() }

// kill is kill -9. The end that follows is no fault.
func (o *outside) kill() {
	o.Kill()
	<-o.Ended()
}
