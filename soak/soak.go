package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/tarnstream/tarn/devbroker"
	"github.com/tarnstream/tarn/processor"
)

// soak is the whole run.
func soak(ctx context.Context, c config, out io.Writer) (err error) {
	if c.dir == "" {
		if c.dir, err = os.MkdirTemp("", "soak"); err != nil {
			return err
		}
		dir := c.dir
		defer func() {
			if err == nil {
				err = os.RemoveAll(dir)
			}
		}()
	}
	if err := os.MkdirAll(c.dir, 0o755); err != nil {
		return err
	}
	fmt.Fprintf(out, "seed %d: %v, %d partitions, %d keys, %d records a second; logs in %s\n", c.seed, c.time, c.partitions, c.keys, c.rate, c.dir)
	before, err := count()
	if err != nil {
		return err
	}
	if err := inOneProcess(ctx, c, out); err != nil {
		return err
	}
	if err := before.compare(); err != nil {
		return err
	}
	fmt.Fprintf(out, "no goroutine is left; %d file handles were open before, %d are after\nsoak: ok\n", before.files, openFiles())
	return nil
}

// inOneProcess does everything that has to leave nothing behind in this process.
func inOneProcess(ctx context.Context, c config, out io.Writer) (err error) {
	logs, err := os.Create(filepath.Join(c.dir, "soak.log"))
	if err != nil {
		return err
	}
	defer logs.Close()
	log := slog.New(slog.NewTextHandler(logs, nil))
	b, err := devbroker.Start(devbroker.Dir(filepath.Join(c.dir, "kafka")), devbroker.Relaxed(), devbroker.GroupMinSession(session/2))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.Close()) }()
	opts := options(b.Addrs()[0], filepath.Join(c.dir, "emitter"), log)
	if err := b.CreateTopic(numbers.Name(), c.partitions, nil); err != nil {
		return err
	}
	w := newCrew(b, c, log, out)
	sent, err := w.underLoad(ctx, c, opts)
	if err != nil {
		return errors.Join(err, w.end())
	}
	fmt.Fprintf(out, "events: %s\n", summary(w.events))
	return w.check(ctx, c, sent, opts)
}

// underLoad lets instances join and leave while records come.
func (w *crew) underLoad(ctx context.Context, c config, opts []processor.Option) (sent map[string]int64, err error) {
	ctx, cancel := context.WithTimeout(ctx, c.time)
	defer cancel()
	loaded := make(chan error, 1)
	go func() {
		var err error
		sent, err = load(ctx, c, opts)
		if err != nil {
			cancel()
		}
		loaded <- err
	}()
	err = w.soak(ctx)
	cancel()
	return sent, errors.Join(err, <-loaded)
}

// end stops what still runs after a failure.
func (w *crew) end() error {
	var all error
	for _, s := range w.slots {
		all = errors.Join(all, s.leave())
	}
	return all
}

func summary(events map[string]int) string {
	var parts []string
	for _, what := range slices.Sorted(maps.Keys(events)) {
		parts = append(parts, fmt.Sprintf("%d %s", events[what], what))
	}
	return strings.Join(parts, ", ")
}

// patience is how long the group may take for the rest of its input.
const patience = 2 * time.Minute
