// Command retry tries a failed payment again, later, and lets the others go on: a loop.
//
// A loop's record comes back after the commit it was emitted in. One that is not due yet is emitted once more, so that it
// goes round about ten times a second (processor.CommitInterval) and nobody waits for it.
package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"time"

	"github.com/tarnstream/tarn/codec"
	"github.com/tarnstream/tarn/devbroker"
	"github.com/tarnstream/tarn/processor"
	"github.com/tarnstream/tarn/topology"
)

// attempt is a payment that has failed and is due again.
type attempt struct {
	Cents  int64     `json:"cents"`
	Failed int       `json:"failed"`
	Due    time.Time `json:"due"`
}

const (
	delay    = 300 * time.Millisecond
	attempts = 4
)

var (
	payments = topology.NewStream("payments", codec.Int64) // cents by customer
	again    = topology.NewStream("payments-again", codec.JSON[attempt]())
	outcomes = topology.NewTable("payments-outcome", codec.String)
)

func onPayment(ctx *topology.Context, cents int64) error {
	return pay(ctx, attempt{Cents: cents})
}

func onAgain(ctx *topology.Context, a attempt) error {
	if time.Now().Before(a.Due) {
		return again.Emit(ctx, ctx.Key(), a)
	}
	return pay(ctx, a)
}

func pay(ctx *topology.Context, a attempt) error {
	if charge(ctx.Key(), a.Failed) {
		return outcomes.Set(ctx, fmt.Sprintf("paid %d cents at attempt %d", a.Cents, a.Failed+1))
	}
	a.Failed++
	if a.Failed == attempts {
		return outcomes.Set(ctx, fmt.Sprintf("given up after %d attempts", a.Failed))
	}
	a.Due = time.Now().Add(delay)
	return again.Emit(ctx, ctx.Key(), a)
}

// charge stands for a bank: bob's first two attempts fail, and all of eve's.
func charge(customer string, failed int) bool {
	return customer != "eve" && (customer != "bob" || failed >= 2)
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
	dir, err := os.MkdirTemp("", "retry")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	options := []processor.Option{processor.Brokers(broker.Addrs()...), processor.StateDir(dir)}
	if err := feed(ctx, options); err != nil {
		return err
	}
	group, err := topology.Define("payments", topology.Input(payments, onPayment), topology.Loop(again, onAgain),
		topology.Persist(outcomes))
	if err != nil {
		return err
	}
	p, err := processor.New(group, options...)
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	done := make(chan error, 1)
	go func() {
		err := p.Run(ctx)
		stop(err)
		done <- err
	}()
	err = show(ctx, p, group, options)
	stop(nil)
	if ended := <-done; ended != nil {
		return ended
	}
	return err
}

func feed(ctx context.Context, options []processor.Option) error {
	if err := processor.CreateTopics(ctx, options, payments); err != nil {
		return err
	}
	emitter, err := processor.NewEmitter(payments, options...)
	if err != nil {
		return err
	}
	for _, customer := range []string{"ada", "bob", "eve"} {
		if err := emitter.Emit(ctx, customer, 995); err != nil {
			return err
		}
	}
	return emitter.Close(ctx)
}

// show prints the outcomes once nothing is left in the stream and in the loop.
func show(ctx context.Context, p *processor.Processor, group *topology.Group, options []processor.Option) error {
	for left := int64(1); left > 0; time.Sleep(20 * time.Millisecond) {
		var err error
		if left, err = processor.Lag(ctx, group, options...); err != nil {
			return err
		}
	}
	for _, customer := range []string{"ada", "bob", "eve"} {
		outcome, _, err := processor.Get(p, outcomes, customer)
		if err != nil {
			return err
		}
		fmt.Printf("%s: %s\n", customer, outcome)
	}
	return nil
}
