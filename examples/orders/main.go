// Command orders enriches orders with what two other programs keep: the customer, from a table that is co-partitioned with
// the orders (a join), and the product, from a table with keys of its own (a lookup).
package main

import (
	"context"
	"fmt"
	"log"
	"maps"
	"os"
	"slices"
	"time"

	"github.com/tarnstream/tarn/codec"
	"github.com/tarnstream/tarn/devbroker"
	"github.com/tarnstream/tarn/processor"
	"github.com/tarnstream/tarn/topology"
)

type order struct {
	Number   int    `json:"number"`
	Product  string `json:"product"`
	Quantity int64  `json:"quantity"`
}

type customer struct {
	Name    string `json:"name"`
	Country string `json:"country"`
}

type product struct {
	Title string `json:"title"`
	Cents int64  `json:"cents"`
}

var (
	orders    = topology.NewStream("orders", codec.JSON[order](), topology.Partitions(4)) // by customer
	customers = topology.NewReadTable("customers", codec.JSON[customer](), topology.Partitions(4))
	products  = topology.NewReadTable("products", codec.JSON[product](), topology.Partitions(1))
	invoices  = topology.NewTable("invoices", codec.String) // the newest of each customer
)

func onOrder(ctx *topology.Context, o order) error {
	c, known, err := customers.Get(ctx) // of this order's key
	if err != nil {
		return err
	}
	if !known {
		c.Name = "somebody we do not know"
	}
	p, sold, err := products.GetKey(ctx, o.Product)
	if err != nil {
		return err
	}
	if !sold {
		return invoices.Set(ctx, fmt.Sprintf("order %d of %s: %s is not sold", o.Number, c.Name, o.Product))
	}
	return invoices.Set(ctx, fmt.Sprintf("order %d of %s: %d x %s, %.2f", o.Number, c.Name, o.Quantity, p.Title, float64(o.Quantity*p.Cents)/100))
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
	dir, err := os.MkdirTemp("", "orders")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	options := []processor.Option{processor.Brokers(broker.Addrs()...), processor.StateDir(dir)}
	if err := feed(ctx, options); err != nil {
		return err
	}
	group, err := topology.Define("invoicing", topology.Input(orders, onOrder), topology.Join(customers),
		topology.Lookup(products), topology.Persist(invoices))
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

// feed does what other programs do: they keep customers and products, and take orders.
func feed(ctx context.Context, options []processor.Option) error {
	if err := processor.CreateTopics(ctx, options, orders, customers, products); err != nil {
		return err
	}
	if err := write(ctx, options, topology.NewStream(customers.Name(), customers.Codec()), map[string]customer{
		"c1": {"Ada", "GB"}, "c2": {"Blaise", "FR"}}); err != nil {
		return err
	}
	if err := write(ctx, options, topology.NewStream(products.Name(), products.Codec()), map[string]product{
		"clock": {"a clock", 2450}, "sieve": {"a sieve", 999}}); err != nil {
		return err
	}
	return write(ctx, options, orders, map[string]order{
		"c1": {1, "clock", 2}, "c2": {2, "sieve", 1}, "c3": {3, "clock", 1}, "c4": {4, "abacus", 1}})
}

func write[T any](ctx context.Context, options []processor.Option, to *topology.Stream[T], values map[string]T) error {
	emitter, err := processor.NewEmitter(to, options...)
	if err != nil {
		return err
	}
	for _, key := range slices.Sorted(maps.Keys(values)) {
		if err := emitter.Emit(ctx, key, values[key]); err != nil {
			return err
		}
	}
	return emitter.Close(ctx)
}

// show prints the invoices once every order is handled.
func show(ctx context.Context, p *processor.Processor, group *topology.Group, options []processor.Option) error {
	for left := int64(1); left > 0; time.Sleep(20 * time.Millisecond) {
		var err error
		if left, err = processor.Lag(ctx, group, options...); err != nil {
			return err
		}
	}
	for _, who := range []string{"c1", "c2", "c3", "c4"} {
		invoice, _, err := processor.Get(p, invoices, who)
		if err != nil {
			return err
		}
		fmt.Println(invoice)
	}
	return nil
}
