package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/tarnstream/tarn/processor"
)

// load sends numbered records until ctx ends and gives how many of each key were sent.
func load(ctx context.Context, c config, options []processor.Option) (sent map[string]int64, err error) {
	e, err := processor.NewEmitter(numbers, options...)
	if err != nil {
		return nil, err
	}
	sent = map[string]int64{}
	draw := rand.New(rand.NewPCG(c.seed, 1))
	const rounds = 20 // a second
	tick := time.NewTicker(time.Second / rounds)
	defer tick.Stop()
	whole := context.WithoutCancel(ctx) // what is begun is sent
	for ctx.Err() == nil && err == nil {
		for range max(1, c.rate/rounds) {
			key := fmt.Sprintf("key-%d", draw.IntN(c.keys))
			if err = e.Emit(whole, key, sent[key]); err != nil {
				break
			}
			sent[key]++
		}
		if err == nil {
			err = e.Flush(whole)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
	}
	if closing := e.Close(whole); err == nil {
		err = closing
	}
	if err != nil {
		err = fmt.Errorf("load: %w", err)
	}
	return sent, err
}
