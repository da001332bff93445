package processor_test

import (
	"context"
	"fmt"
	"log"
	"log/slog"
	"os"
	"time"

	"github.com/tarnstream/tarn/codec"
	"github.com/tarnstream/tarn/devbroker"
	"github.com/tarnstream/tarn/observe"
	"github.com/tarnstream/tarn/policy"
	"github.com/tarnstream/tarn/processor"
	"github.com/tarnstream/tarn/topology"
)

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

func must[T any](v T, err error) T {
	check(err)
	return v
}

// quiet keeps an example's log out of its output.
func quiet() processor.Option { return processor.Logger(slog.New(slog.DiscardHandler)) }

// A process that does not write a table keeps it all the same, and answers from memory and disk.
func ExampleView() {
	broker := must(devbroker.Start()) // in real life: Kafka
	defer broker.Close()
	dir := must(os.MkdirTemp("", "view"))
	defer os.RemoveAll(dir)
	options := []processor.Option{processor.Brokers(broker.Addrs()...), processor.StateDir(dir), quiet()}
	prices := topology.NewTable("prices", codec.Int64, topology.Partitions(3))
	check(processor.CreateTopics(context.Background(), options, prices))
	shop := must(processor.NewEmitter(topology.NewStream("prices", codec.Int64), options...)) // in real life: a group
	for key, price := range map[string]int64{"fruit/apple": 30, "fruit/pear": 45, "tool/saw": 900} {
		check(shop.Emit(context.Background(), key, price))
	}
	check(shop.Close(context.Background()))

	view := must(processor.NewView(prices, options...))
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- view.Run(ctx) }()
	<-view.Ready()

	price, ok, err := view.Get("tool/saw", policy.MaxAge(time.Minute))
	fmt.Println(price, ok, err)
	for row, err := range view.RangePrefix("fruit/") {
		check(err)
		fmt.Println(row.Key, row.Value)
	}
	stop()
	check(<-done)
	// Output:
	// 900 true <nil>
	// fruit/apple 30
	// fruit/pear 45
}

// A view tells what changes, for an index, a cache or a browser that watches.
func ExampleView_OnChange() {
	broker := must(devbroker.Start())
	defer broker.Close()
	dir := must(os.MkdirTemp("", "view"))
	defer os.RemoveAll(dir)
	options := []processor.Option{processor.Brokers(broker.Addrs()...), processor.StateDir(dir), quiet()}
	owners := topology.NewTable("owners", codec.String, topology.Partitions(1))
	check(processor.CreateTopics(context.Background(), options, owners))
	set := func(key, owner string) {
		check(broker.Produce("owners", 0, devbroker.Record{Key: []byte(key), Value: []byte(owner)}))
	}
	set("bike", "ann")
	set("boat", "bob")

	view := must(processor.NewView(owners, options...))
	byOwner := map[string][]string{}
	changed := make(chan bool, 10)
	check(view.OnChange(func(c observe.Change[string]) error {
		if c.Kind != observe.Start {
			fmt.Printf("%s: %q -> %q\n", c.Key, c.Old, c.New)
		}
		if c.Exists {
			byOwner[c.New] = append(byOwner[c.New], c.Key)
		}
		changed <- true
		return nil
	}))
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- view.Run(ctx) }()
	<-view.Ready() // the rows of the start have been told
	<-changed
	<-changed
	set("boat", "ann")
	<-changed
	fmt.Println("ann has", byOwner["ann"])
	stop()
	check(<-done)
	// Output:
	// boat: "bob" -> "ann"
	// ann has [bike boat]
}

// Views and emitters of one process share connections.
func ExampleClient() {
	broker := must(devbroker.Start())
	defer broker.Close()
	dir := must(os.MkdirTemp("", "view"))
	defer os.RemoveAll(dir)
	client := must(processor.NewClient(processor.Brokers(broker.Addrs()...), quiet()))
	defer client.Close()
	options := []processor.Option{client.Option(), processor.StateDir(dir), quiet()}
	names, ages := topology.NewTable("names", codec.String), topology.NewTable("ages", codec.Int64)
	ctx, stop := context.WithCancel(context.Background())
	check(processor.CreateTopics(ctx, options, names, ages))
	writer := must(processor.NewEmitter(topology.NewStream("ages", codec.Int64), options...)) // in real life: a group
	check(writer.Emit(ctx, "ann", 30))
	check(writer.Close(ctx))

	byName, byAge := must(processor.NewView(names, options...)), must(processor.NewView(ages, options...))
	done := make(chan error, 2)
	go func() { done <- byName.Run(ctx) }()
	go func() { done <- byAge.Run(ctx) }()
	<-byName.Ready()
	<-byAge.Ready()
	fmt.Println(byName.Get("ann"))
	fmt.Println(byAge.Get("ann"))
	stop()
	check(<-done)
	check(<-done)
	// Output:
	//  false <nil>
	// 30 true <nil>
}
