package main

import (
	"context"
	"iter"
	"strconv"
	"sync"
	"time"

	"github.com/tarnstream/tarn/examples/soc/sshlog"
	"github.com/tarnstream/tarn/processor"
	"github.com/tarnstream/tarn/topology"
)

// progress is what has been fed already: the highest line number of each logging host. A host's lines are in one
// partition, in their order, so that all before the highest are there too; between hosts that does not hold.
type progress struct {
	mu   sync.Mutex
	last map[string]int64
}

func (p *progress) note(host string, n int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.last == nil {
		p.last = map[string]int64{}
	}
	p.last[host] = max(p.last[host], n)
}

func (p *progress) has(host string, n int64) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return n <= p.last[host]
}

// feed writes the lines that are not in the topic yet.
func (c feedConfig) feed(ctx context.Context, lines iter.Seq2[sshlog.Line, error]) error {
	emitter, err := processor.NewEmitter(c.stream, c.options...)
	if err != nil {
		return err
	}
	pace := newPace(c.rate)
	for line, err := range lines {
		if err != nil {
			return err
		}
		host := sshlog.Host(line.Text)
		if c.to > 0 && line.Number > c.to {
			break
		}
		if c.fed.has(host, line.Number) {
			continue
		}
		number := topology.Header{Key: []byte(lineHeader), Value: strconv.AppendInt(nil, line.Number, 10)}
		year := topology.Header{Key: []byte(yearHeader), Value: strconv.AppendInt(nil, int64(c.year), 10)}
		if err := emitter.Emit(ctx, host, line.Text, number, year); err != nil {
			return err
		}
		c.fed.note(host, line.Number)
		if err := pace.wait(ctx, emitter.Flush); err != nil {
			return err
		}
	}
	return emitter.Close(ctx)
}

// feedConfig says how to feed.
type feedConfig struct {
	stream  *topology.Stream[string]
	options []processor.Option
	fed     *progress
	year    int
	// rate is in lines a second; 0 is as fast as it goes.
	rate int
	// to is the last line to feed; 0 means all.
	to int64
}

// pace keeps a rate by bursts of a tenth of a second.
type pace struct {
	rate, burst, n int
	start          time.Time
}

func newPace(rate int) *pace {
	return &pace{rate: rate, burst: max(1, rate/10), start: time.Now()}
}

// wait flushes after each burst and waits until the next is due.
func (p *pace) wait(ctx context.Context, flush func(context.Context) error) error {
	if p.n++; p.rate == 0 || p.n%p.burst != 0 {
		return nil
	}
	if err := flush(ctx); err != nil {
		return err
	}
	due := p.start.Add(time.Duration(p.n) * time.Second / time.Duration(p.rate))
	timer := time.NewTimer(time.Until(due))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	return nil
}
