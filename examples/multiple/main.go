// Command multiple reads two streams with one callback, in two instances that share the work: the second joins while the
// first runs, and when the first leaves the second goes on with all of it. In real life they are processes on different
// machines, each with a state directory of its own.
package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/tarnstream/tarn/codec"
	"github.com/tarnstream/tarn/devbroker"
	"github.com/tarnstream/tarn/observe"
	"github.com/tarnstream/tarn/processor"
	"github.com/tarnstream/tarn/topology"
)

const partitions = 6

var (
	web    = topology.NewStream("clicks-web", codec.String, topology.Partitions(partitions))
	app    = topology.NewStream("clicks-app", codec.String, topology.Partitions(partitions))
	counts = topology.NewTable("clicks-count", codec.Int64)
)

func count(ctx *topology.Context, _ string) error {
	n, _, err := counts.Get(ctx)
	if err != nil {
		return err
	}
	return counts.Set(ctx, n+1)
}

func main() {
	if err := run(context.Background()); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context) error {
	broker, err := devbroker.Start()
	if err != nil {
		return err
	}
	defer broker.Close()
	dir, err := os.MkdirTemp("", "multiple")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	group, err := topology.Define("multiple", topology.Input(web, count), topology.Input(app, count), topology.Persist(counts))
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	parts, ctx := errgroup.WithContext(ctx)
	s := &shop{group: group, parts: parts, dir: dir, options: []processor.Option{processor.Brokers(broker.Addrs()...)}}
	parts.Go(func() error {
		defer stop()
		return s.story(ctx)
	})
	return parts.Wait()
}

type shop struct {
	group   *topology.Group
	parts   *errgroup.Group
	dir     string
	options []processor.Option
}

// instance is one of the processes.
type instance struct {
	name string
	p    *processor.Processor
	stop context.CancelFunc
}

// start runs an instance on a state directory of its own.
func (s *shop) start(ctx context.Context, name string) (*instance, error) {
	options := append([]processor.Option{processor.StateDir(filepath.Join(s.dir, name))}, s.options...)
	p, err := processor.New(s.group, options...)
	if err != nil {
		return nil, err
	}
	ctx, stop := context.WithCancel(ctx)
	s.parts.Go(func() error { return p.Run(ctx) })
	return &instance{name: name, p: p, stop: stop}, nil
}

// running counts the tasks that handle records.
func (i *instance) running() (n int) {
	for _, t := range i.p.Stats().Tasks {
		if t.State == observe.TaskRunning {
			n++
		}
	}
	return n
}

func (s *shop) story(ctx context.Context) error {
	if err := processor.CreateTopics(ctx, s.options, web, app); err != nil {
		return err
	}
	a, err := s.start(ctx, "a")
	if err != nil {
		return err
	}
	if err := until(ctx, func() bool { return a.running() == partitions }); err != nil {
		return err
	}
	fmt.Printf("a alone: %d tasks\n", a.running())
	if err := s.click(ctx); err != nil {
		return err
	}
	b, err := s.start(ctx, "b")
	if err != nil {
		return err
	}
	if err := until(ctx, func() bool { return a.running() == partitions/2 && b.running() == partitions/2 }); err != nil {
		return err
	}
	fmt.Printf("a and b: %d and %d tasks\n", a.running(), b.running())
	if err := s.click(ctx); err != nil {
		return err
	}
	a.stop()
	if err := until(ctx, func() bool { return b.running() == partitions }); err != nil {
		return err
	}
	fmt.Printf("b alone: %d tasks\n", b.running())
	return s.print(b)
}

// click lets 60 users click in both streams, and waits until it is counted.
func (s *shop) click(ctx context.Context) error {
	for _, stream := range []*topology.Stream[string]{web, app} {
		emitter, err := processor.NewEmitter(stream, s.options...)
		if err != nil {
			return err
		}
		for i := range 60 {
			if err := emitter.Emit(ctx, fmt.Sprintf("user-%d", i), "click"); err != nil {
				return err
			}
		}
		if err := emitter.Close(ctx); err != nil {
			return err
		}
	}
	var failed error
	err := until(ctx, func() bool {
		var left int64
		left, failed = processor.Lag(ctx, s.group, s.options...)
		return left == 0 || failed != nil
	})
	if failed != nil {
		return failed
	}
	return err
}

func until(ctx context.Context, done func() bool) error {
	for !done() {
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

// print adds up the table, which b has wholly now.
func (s *shop) print(b *instance) error {
	users, clicks := 0, int64(0)
	for i := range 60 {
		n, ok, err := processor.Get(b.p, counts, fmt.Sprintf("user-%d", i))
		if err != nil {
			return err
		}
		if ok {
			users++
			clicks += n
		}
	}
	fmt.Printf("b has %d users with %d clicks\n", users, clicks)
	return nil
}
