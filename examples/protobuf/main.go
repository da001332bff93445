// Command protobuf keeps protobuf messages in streams and tables, through a codec of its own.
package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"time"

	"github.com/tarnstream/tarn/devbroker"
	"github.com/tarnstream/tarn/examples/protobuf/sensorpb"
	"github.com/tarnstream/tarn/processor"
	"github.com/tarnstream/tarn/topology"
)

var readings = topology.NewStream("readings", protobufOf[*sensorpb.Reading]())
var sensors = topology.NewTable("sensors", protobufOf[*sensorpb.Summary]())

func summarize(ctx *topology.Context, r *sensorpb.Reading) error {
	s, known, err := sensors.Get(ctx)
	if err != nil {
		return err
	}
	if !known {
		s = &sensorpb.Summary{Lowest: r.Celsius, Highest: r.Celsius}
	}
	s.Readings++
	s.Lowest = min(s.Lowest, r.Celsius)
	s.Highest = max(s.Highest, r.Celsius)
	return sensors.Set(ctx, s)
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
	dir, err := os.MkdirTemp("", "protobuf")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	options := []processor.Option{processor.Brokers(broker.Addrs()...), processor.StateDir(dir)}
	if err := measure(ctx, options); err != nil {
		return err
	}
	group, err := topology.Define("sensors", topology.Input(readings, summarize), topology.Persist(sensors))
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
	if ended := <-done; ended != nil { // the cause of what show could not do
		return ended
	}
	return err
}

// measure writes some readings.
func measure(ctx context.Context, options []processor.Option) error {
	if err := processor.CreateTopics(ctx, options, readings); err != nil {
		return err
	}
	emitter, err := processor.NewEmitter(readings, options...)
	if err != nil {
		return err
	}
	for _, m := range []struct {
		sensor  string
		celsius float64
	}{{"roof", -3.5}, {"cellar", 11}, {"roof", 4}, {"roof", 1.5}, {"cellar", 12.5}} {
		if err := emitter.Emit(ctx, m.sensor, &sensorpb.Reading{Celsius: m.celsius}); err != nil {
			return err
		}
	}
	return emitter.Close(ctx)
}

// show prints the table once all readings are in it.
func show(ctx context.Context, p *processor.Processor, group *topology.Group, options []processor.Option) error {
	for left := int64(1); left > 0; time.Sleep(20 * time.Millisecond) {
		var err error
		if left, err = processor.Lag(ctx, group, options...); err != nil {
			return err
		}
	}
	for _, sensor := range []string{"cellar", "roof"} {
		s, _, err := processor.Get(p, sensors, sensor)
		if err != nil {
			return err
		}
		fmt.Printf("%s: %d readings from %.1f to %.1f\n", sensor, s.Readings, s.Lowest, s.Highest)
	}
	return nil
}
