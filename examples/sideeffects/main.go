// Command sideeffects copies what a group handles into a database, in batches: the rows are there before the offsets of
// their records are committed. The database fails once; after a new start nothing is missing, and nothing is there twice,
// because a row is written under a key of its own.
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"sync"
	"time"

	"github.com/tarnstream/tarn/codec"
	"github.com/tarnstream/tarn/devbroker"
	"github.com/tarnstream/tarn/processor"
	"github.com/tarnstream/tarn/topology"
)

// row is what the database keeps of a payment.
type row struct {
	id    string
	cents int64
}

// database stands for one that is asked over a network.
type database struct {
	mu    sync.Mutex
	rows  map[string]int64
	fails int // how often it still fails, after it has written
}

var errAway = errors.New("the database does not answer")

// upsert writes a batch; a row that is there already is written over.
func (d *database) upsert(_ context.Context, batch []row) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, r := range batch {
		d.rows[r.id] = r.cents
	}
	if d.fails > 0 {
		d.fails--
		return errAway
	}
	return nil
}

var (
	payments = topology.NewStream("payments", codec.Int64)
	totals   = topology.NewTable("totals", codec.Int64)
)

func define(db *database) (*topology.Group, error) {
	rows := topology.NewEffect("payments into the database", db.upsert)
	onPayment := func(ctx *topology.Context, cents int64) error {
		id := fmt.Sprintf("%s/%d@%d", ctx.Topic(), ctx.Partition(), ctx.Offset())
		if err := rows.Add(ctx, row{id, cents}); err != nil {
			return err
		}
		total, _, err := totals.Get(ctx)
		if err != nil {
			return err
		}
		return totals.Set(ctx, total+cents)
	}
	return topology.Define("bookkeeping", topology.Input(payments, onPayment), topology.Persist(totals), topology.BeforeCommit(rows))
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
	dir, err := os.MkdirTemp("", "sideeffects")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	options := []processor.Option{processor.Brokers(broker.Addrs()...), processor.StateDir(dir)}
	if err := feed(ctx, options); err != nil {
		return err
	}
	db := &database{rows: map[string]int64{}, fails: 1}
	group, err := define(db)
	if err != nil {
		return err
	}
	err = once(ctx, group, options)
	failed, ok := errors.AsType[*processor.EffectError](err)
	if !ok {
		return fmt.Errorf("the first run was to end by its database: %w", err)
	}
	fmt.Println("first run:", failed.Cause)
	if err := once(ctx, group, options); err != nil {
		return err
	}
	var sum int64
	for _, cents := range db.rows {
		sum += cents
	}
	fmt.Printf("database: %d payments, %d cents\n", len(db.rows), sum)
	return nil
}

// once runs the group until every payment is handled, or it fails, and prints the totals.
func once(ctx context.Context, group *topology.Group, options []processor.Option) error {
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

func show(ctx context.Context, p *processor.Processor, group *topology.Group, options []processor.Option) error {
	for left := int64(1); left > 0; time.Sleep(20 * time.Millisecond) {
		var err error
		if left, err = processor.Lag(ctx, group, options...); err != nil {
			return err
		}
	}
	for _, customer := range []string{"ada", "bob"} {
		total, _, err := processor.Get(p, totals, customer)
		if err != nil {
			return err
		}
		fmt.Printf("table: %s paid %d cents\n", customer, total)
	}
	return nil
}

func feed(ctx context.Context, options []processor.Option) error {
	if err := processor.CreateTopics(ctx, options, payments); err != nil {
		return err
	}
	emitter, err := processor.NewEmitter(payments, options...)
	if err != nil {
		return err
	}
	for i := range int64(100) {
		if err := emitter.Emit(ctx, [...]string{"ada", "bob"}[i%2], i); err != nil {
			return err
		}
	}
	return emitter.Close(ctx)
}
