package processor_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/tarnstream/tarn/codec"
	"github.com/tarnstream/tarn/devbroker"
	"github.com/tarnstream/tarn/observe"
	"github.com/tarnstream/tarn/policy"
	"github.com/tarnstream/tarn/processor"
	"github.com/tarnstream/tarn/topology"
)

// Records are sent in the background. Who wants to know of each asks for its result, who wants to know of all flushes.
func ExampleEmitter() {
	ctx := context.Background()
	broker := must(devbroker.Start()) // in real life: Kafka
	defer broker.Close()
	options := []processor.Option{processor.Brokers(broker.Addrs()...), quiet()}
	readings := topology.NewStream("readings", codec.Float64, topology.Partitions(1))
	check(processor.CreateTopics(ctx, options, readings))

	emitter := must(processor.NewEmitter(readings, options...))
	for i := range 1000 {
		check(emitter.Emit(ctx, fmt.Sprintf("sensor-%d", i%10), float64(i)))
	}
	check(emitter.Flush(ctx)) // they are in Kafka
	at := time.Date(2020, 2, 3, 4, 5, 6, 0, time.UTC)
	check(emitter.WithTimestamp(at).EmitSync(ctx, "sensor-1", 21.5))
	told := emitter.WithResult(func(d observe.Delivery) { fmt.Println("at", d.Offset, d.Err) })
	check(told.Emit(ctx, "sensor-2", 22))
	check(emitter.Close(ctx))
	records := must(broker.Records("readings", 0))
	fmt.Println(len(records), "records, one of", records[1000].Timestamp.UTC())
	// Output:
	// at 1001 <nil>
	// 1002 records, one of 2020-02-03 04:05:06 +0000 UTC
}

// A record that Kafka does not take in time is told, with whether it may be there all the same.
func ExampleBatching() {
	ctx := context.Background()
	broker := must(devbroker.Start())
	defer broker.Close()
	options := []processor.Option{processor.Brokers(broker.Addrs()...), quiet()}
	readings := topology.NewStream("readings", codec.Float64, topology.Partitions(1))
	check(processor.CreateTopics(ctx, options, readings))
	batching := policy.Batching{Linger: 20 * time.Millisecond, Buffer: 64 << 20, Delivery: 200 * time.Millisecond}
	emitter := must(processor.NewEmitter(readings, append(options, processor.Batching(batching))...))
	check(emitter.EmitSync(ctx, "sensor-1", 20))

	const notEnoughReplicas = 19
	broker.Fail(devbroker.Fault{Request: devbroker.Produce, Err: notEnoughReplicas, Count: -1})
	check(emitter.Emit(ctx, "sensor-1", 21))
	check(emitter.Emit(ctx, "sensor-1", 22))
	var failed *policy.EmitError
	fmt.Println(errors.As(emitter.Close(ctx), &failed))
	fmt.Println(failed.Records, "records, in doubt:", failed.Unknown)
	// Output:
	// true
	// 2 records, in doubt: false
}
