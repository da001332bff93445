// Command wordcount: words in, a table of counts out.
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

var words = topology.NewStream("words", codec.String)
var counts = topology.NewTable("word-counts", codec.Int64)

func count(ctx *topology.Context, _ string) error {
	n, _, err := counts.Get(ctx) // of this record's key
	if err != nil {
		return err
	}
	return counts.Set(ctx, n+1)
}

func main() {
	ctx, stop := context.WithCancel(context.Background())
	broker := must(devbroker.Start()) // embedded, for development; in real life: Kafka
	dir := processor.StateDir(must(os.MkdirTemp("", "wordcount")))
	options := []processor.Option{processor.Brokers(broker.Addrs()...), dir}

	check(processor.CreateTopics(ctx, options, words))
	emitter := must(processor.NewEmitter(words, options...))
	for _, word := range []string{"streams", "in", "tables", "out", "streams", "in", "streams"} {
		check(emitter.Emit(ctx, word, ""))
	}
	check(emitter.Close(ctx))
	group := must(topology.Define("wordcount", topology.Input(words, count), topology.Persist(counts)))
	p := must(processor.New(group, options...))
	done := make(chan error, 1)
	go func() { done <- p.Run(ctx) }()
	for must(processor.Lag(ctx, group, options...)) > 0 { // until every word is counted
	}
	for _, word := range []string{"streams", "in", "tables", "out"} {
		n, _, err := processor.Get(p, counts, word)
		check(err)
		fmt.Println(word, n)
	}
	stop()
	check(<-done)
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
func must[T any](v T, err error) T { check(err); return v }
