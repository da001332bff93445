// Command wordcount counts words: lines in, a table of counts out. It brings its own broker.
package main

import (
	"context"
	"fmt"
	"log"
	"os"

	"github.com/tarnstream/tarn/codec"
	"github.com/tarnstream/tarn/devbroker"
	"github.com/tarnstream/tarn/processor"
	"github.com/tarnstream/tarn/topology"
)

var (
	words  = topology.NewStream("words", codec.String, topology.Partitions(4))
	counts = topology.NewTable("word-counts", codec.Int64)
)

// count runs for each record, keyed by its word.
func count(ctx *topology.Context, _ string) error {
	n, _, err := counts.Get(ctx)
	if err != nil {
		return err
	}
	return counts.Set(ctx, n+1)
}

func main() {
	ctx, stop := context.WithCancel(context.Background())
	broker := must(devbroker.Start()) // in real life: Kafka
	dir := must(os.MkdirTemp("", "wordcount"))
	defer os.RemoveAll(dir)
	options := []processor.Option{processor.Brokers(broker.Addrs()...), processor.StateDir(dir)}

	check(processor.CreateTopics(ctx, options, words))
	emitter := must(processor.NewEmitter(words, options...))
	for _, w := range []string{"streams", "in", "tables", "out", "streams", "in", "streams"} {
		check(emitter.Emit(ctx, w, ""))
	}
	check(emitter.Close(ctx))

	group := must(topology.Define("wordcount", topology.Input(words, count), topology.Persist(counts)))
	p := must(processor.New(group, options...))
	done := make(chan error, 1)
	go func() { done <- p.Run(ctx) }()
	for lag := int64(1); lag > 0; { // until everything is counted
		lag = must(processor.Lag(ctx, group, options...))
	}
	for _, w := range []string{"streams", "in", "tables", "out"} {
		n, _, err := processor.Get(p, counts, w)
		check(err)
		fmt.Println(w, n)
	}
	stop()
	check(<-done)
	check(broker.Close())
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

func must[T any](v T, err error) T {
	check(err)
	return v
}
