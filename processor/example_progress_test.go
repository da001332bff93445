package processor_test

import (
	"context"
	"fmt"
	"os"

	"github.com/tarnstream/tarn/codec"
	"github.com/tarnstream/tarn/devbroker"
	"github.com/tarnstream/tarn/policy"
	"github.com/tarnstream/tarn/processor"
	"github.com/tarnstream/tarn/topology"
)

// A table can be asked for, and waited for, by itself: whether it is current, how far its restore is, and, before that, what
// it had when it was last here.
func ExampleProcessor_AwaitCurrent() {
	broker := must(devbroker.Start()) // in real life: Kafka
	defer broker.Close()
	dir := must(os.MkdirTemp("", "progress"))
	defer os.RemoveAll(dir)
	ctx := context.Background()
	options := []processor.Option{processor.Brokers(broker.Addrs()...), processor.StateDir(dir), quiet()}
	readings := topology.NewStream("readings", codec.Float64)
	newest := topology.NewTable("newest", codec.Float64)
	check(processor.CreateTopics(ctx, options, readings, newest))
	check(broker.Produce("newest", 0, devbroker.Record{Key: []byte("oven"), Value: must(codec.Float64.Encode(nil, 181.5))}))

	group := must(topology.Define("keeper", topology.Persist(newest), topology.Input(readings, func(ctx *topology.Context, degrees float64) error {
		return newest.Set(ctx, degrees)
	})))
	p := must(processor.New(group, append(options, processor.Inputs(policy.OnLost(policy.LostEarliest)))...))
	fmt.Println(p.Current(newest)) // not yet
	var worth policy.Staleness
	_, _, err := processor.Get(p, newest, "oven", policy.AllowStale(&worth))
	fmt.Println(err) // and there is nothing from before
	run, stop := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() { done <- p.Run(run) }()
	check(p.AwaitCurrent(ctx, newest))
	fmt.Println(p.Current(newest))
	degrees, _, err := processor.Get(p, newest, "oven")
	check(err)
	fmt.Println(degrees)
	fmt.Println(p.Progress())
	stop()
	check(<-done)
	// Output:
	// false
	// processor: the table is not current yet: wait for Ready
	// true
	// 181.5
	// 1 of 1 table partitions current, 100 % of 1 offsets
}
