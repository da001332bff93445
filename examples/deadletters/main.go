// Command deadletters puts records that a group cannot handle aside in a topic of their own, goes on with the others, and
// has the ones put aside handled again once the fault is mended.
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/tarnstream/tarn/codec"
	"github.com/tarnstream/tarn/devbroker"
	"github.com/tarnstream/tarn/policy"
	"github.com/tarnstream/tarn/processor"
	"github.com/tarnstream/tarn/topology"
)

type order struct {
	Currency string `json:"currency"`
	Cents    int64  `json:"cents"`
}

const deadTopic = "orders-dead"

var (
	orders = topology.NewStream("orders", codec.JSON[order](), topology.Partitions(2))
	totals = topology.NewTable("totals", codec.Int64)
	// raw is the same topic as bytes: what is written again need not be an order.
	raw = topology.NewStream("orders", codec.Bytes)
	// dead are the dead letters, as bytes.
	dead = topology.NewStream(deadTopic, codec.Bytes)
)

var errCurrency = errors.New("no rate for this currency")

// bookkeeping adds orders up in euros.
func bookkeeping(rates map[string]float64) (*topology.Group, error) {
	onOrder := func(ctx *topology.Context, o order) error {
		rate, known := rates[o.Currency]
		if !known {
			return fmt.Errorf("%w: %s", errCurrency, o.Currency)
		}
		total, _, err := totals.Get(ctx)
		if err != nil {
			return err
		}
		return totals.Set(ctx, total+int64(float64(o.Cents)*rate))
	}
	return topology.Define("bookkeeping",
		topology.Input(orders, onOrder, policy.OnError(policy.DeadLetter(deadTopic))), topology.Persist(totals))
}

// replay is a group that writes dead letters to where they came from. What is still no order would come back for ever:
// it is left out.
func replay() (*topology.Group, error) {
	onDead := func(ctx *topology.Context, value []byte) error {
		letter, err := policy.DeadLetterOf(ctx.Headers())
		if err != nil {
			return err
		}
		if letter.Kind == policy.KindDecode {
			fmt.Printf("left out: %s: %s\n", ctx.Key(), value)
			return nil
		}
		fmt.Printf("again: %s: %s\n", ctx.Key(), letter.Error)
		return raw.Emit(ctx, ctx.Key(), value, letter.Headers...)
	}
	return topology.Define("replay", topology.Input(dead, onDead), topology.Output(raw))
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
	dir, err := os.MkdirTemp("", "deadletters")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	options := []processor.Option{processor.Brokers(broker.Addrs()...), processor.StateDir(dir)}
	if err := feed(ctx, options); err != nil {
		return err
	}
	rates := map[string]float64{"EUR": 1}
	if err := work(ctx, options, func() (*topology.Group, error) { return bookkeeping(rates) }, printTotals); err != nil {
		return err
	}
	rates["SEK"] = 0.1 // the fault is mended
	if err := work(ctx, options, replay, nil); err != nil {
		return err
	}
	return work(ctx, options, func() (*topology.Group, error) { return bookkeeping(rates) }, printTotals)
}

// feed writes two orders, one in a currency that nobody has thought of, and something that is no order.
func feed(ctx context.Context, options []processor.Option) error {
	if err := processor.CreateTopics(ctx, options, orders); err != nil {
		return err
	}
	emitter, err := processor.NewEmitter(raw, options...)
	if err != nil {
		return err
	}
	for _, o := range [][2]string{{"ada", `{"currency":"EUR","cents":500}`}, {"ada", `{"currency":"SEK","cents":1000}`}, {"bob", `not an order`},
		{"bob", `{"currency":"EUR","cents":250}`}} {
		if err := emitter.Emit(ctx, o[0], []byte(o[1])); err != nil {
			return err
		}
	}
	return emitter.Close(ctx)
}

// work runs a group until it has handled all there is, and then does after.
func work(ctx context.Context, options []processor.Option, define func() (*topology.Group, error), after func(*processor.Processor) error) error {
	group, err := define()
	if err != nil {
		return err
	}
	p, err := processor.New(group, options...)
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	parts, ctx := errgroup.WithContext(ctx)
	parts.Go(func() error { return p.Run(ctx) })
	parts.Go(func() error {
		defer stop()
		for left := int64(1); left > 0; time.Sleep(20 * time.Millisecond) {
			var err error
			if left, err = processor.Lag(ctx, group, options...); err != nil {
				return err
			}
		}
		if after == nil {
			return nil
		}
		return after(p)
	})
	return parts.Wait()
}

func printTotals(p *processor.Processor) error {
	for _, customer := range []string{"ada", "bob"} {
		total, _, err := processor.Get(p, totals, customer)
		if err != nil {
			return err
		}
		fmt.Printf("%s: %d cents\n", customer, total)
	}
	return nil
}
