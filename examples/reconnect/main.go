// Command reconnect keeps a view while Kafka goes away and comes back: reads go on being answered, those that ask for a
// fresh table are refused meanwhile, and nothing is started anew.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"os"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/tarnstream/tarn/codec"
	"github.com/tarnstream/tarn/devbroker"
	"github.com/tarnstream/tarn/observe"
	"github.com/tarnstream/tarn/policy"
	"github.com/tarnstream/tarn/processor"
	"github.com/tarnstream/tarn/topology"
)

// prices is kept by another program, which writes its topic.
var prices = topology.NewReadTable("prices", codec.Int64)

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
	dir, err := os.MkdirTemp("", "reconnect")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	options := []processor.Option{processor.Brokers(broker.Addrs()...), processor.StateDir(dir),
		processor.Logger(slog.New(slog.NewTextHandler(io.Discard, nil)))} // it says that the broker is away
	if err := processor.CreateTopics(ctx, options, prices); err != nil {
		return err
	}
	view, err := processor.NewView(prices, options...)
	if err != nil {
		return err
	}
	if err := view.OnChange(told); err != nil {
		return err
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	parts, ctx := errgroup.WithContext(ctx)
	parts.Go(func() error { return view.Run(ctx) })
	parts.Go(func() error {
		defer stop()
		return story(ctx, broker, view, options)
	})
	return parts.Wait()
}

// told hears of every change, with the value before it.
func told(c observe.Change[int64]) error {
	fmt.Printf("changed: %s from %d to %d\n", c.Key, c.Old, c.New)
	return nil
}

func story(ctx context.Context, broker *devbroker.Broker, view *processor.View[int64], options []processor.Option) error {
	if err := write(ctx, options, "tea", 250); err != nil {
		return err
	}
	if err := view.Sync(ctx); err != nil {
		return err
	}
	broker.Stop()
	if err := outage(ctx, view); err != nil {
		return err
	}
	if err := broker.Resume(); err != nil {
		return err
	}
	if err := write(ctx, options, "tea", 275); err != nil {
		return err
	}
	if err := view.Sync(ctx); err != nil {
		return err
	}
	price, _, err := view.Get("tea", policy.MaxAge(time.Minute))
	fmt.Println("Kafka is back: tea is", price)
	return err
}

// fresh is how old a price may be for those who care.
const fresh = 2 * time.Second

// outage reads while Kafka is away.
func outage(ctx context.Context, view *processor.View[int64]) error {
	for {
		_, _, err := view.Get("tea", policy.MaxAge(fresh))
		if stale, ok := errors.AsType[*policy.StaleError](err); ok && stale.Age > fresh {
			fmt.Println("Kafka is away: no answer where a price must be fresh")
			break
		}
		if err != nil {
			return err
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	price, _, err := view.Get("tea")
	fmt.Println("Kafka is away: tea is", price)
	return err
}

// write does what the other program does.
func write(ctx context.Context, options []processor.Option, key string, price int64) error {
	emitter, err := processor.NewEmitter(topology.NewStream(prices.Name(), prices.Codec()), options...)
	if err != nil {
		return err
	}
	if err := emitter.Emit(ctx, key, price); err != nil {
		return err
	}
	return emitter.Close(ctx)
}
