package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	pretty "github.com/jedib0t/go-pretty/v6/progress"

	"github.com/tarnstream/tarn/observe"
)

// restored is what has tables to be read from their topics before it is ready.
type restored struct {
	name     string
	ready    <-chan struct{}
	progress func() observe.Progress // nil: it has no tables
}

// restore waits until all are ready. On a terminal it draws how far their tables are, unless that is done in a moment.
func (a *app) restore(ctx context.Context, all ...restored) error {
	var ready []<-chan struct{}
	for _, r := range all {
		ready = append(ready, r.ready)
	}
	if !isTerminal(a.out) {
		return wait(ctx, ready...)
	}
	moment, cancel := context.WithTimeout(ctx, unseen)
	defer cancel()
	if wait(moment, ready...) == nil {
		return nil
	}
	drawn := start(ctx, part{"bars", func(ctx context.Context) error { drawBars(ctx, a.out, all); return nil }})
	return errors.Join(wait(ctx, ready...), drawn.stop())
}

// unseen is how long a restore may take without a bar.
const unseen = 300 * time.Millisecond

const drawEvery = 100 * time.Millisecond

// drawBars draws a bar for each that has something left to read, until ctx ends. What is done stays in sight.
func drawBars(ctx context.Context, out io.Writer, all []restored) {
	b := newBars(out)
	drawn := start(context.WithoutCancel(ctx), part{"draw", func(context.Context) error { b.Render(); return nil }})
	for b.update(all); pause(ctx, drawEvery) == nil; b.update(all) {
	}
	b.update(all)
	for !b.IsRenderInProgress() && pause(drawn.ctx, time.Millisecond) == nil { // to be stopped it must have begun
	}
	b.Stop()
	_ = drawn.stop() // drawing has no error
}

// bars are those of the parts, by name.
type bars struct {
	pretty.Writer
	of map[string]*pretty.Tracker
}

func newBars(out io.Writer) *bars {
	b := &bars{pretty.NewWriter(), map[string]*pretty.Tracker{}}
	b.SetOutputWriter(out)
	b.SetTrackerLength(30)
	b.SetUpdateFrequency(drawEvery)
	style := b.Style()
	style.Options.PercentFormat, style.Options.Separator, style.Options.DoneString = "%3.0f%%", "  ", "done"
	style.Visibility = pretty.StyleVisibility{Percentage: true, Tracker: true}
	return b
}

// update moves the bars, and adds those of parts that have something to read now.
func (b *bars) update(all []restored) {
	for _, r := range all {
		bar := b.of[r.name]
		if r.progress == nil || bar != nil && bar.IsDone() {
			continue
		}
		p := r.progress()
		if bar == nil && p.Sum.Position < p.Sum.End {
			bar = &pretty.Tracker{AutoStopDisabled: true} // the end may rise
			b.of[r.name] = bar
			b.AppendTracker(bar)
		}
		if bar != nil {
			move(bar, r.name, p)
		}
	}
}

// move shows progress in a bar.
func move(bar *pretty.Tracker, name string, p observe.Progress) {
	bar.UpdateTotal(p.Sum.End)
	bar.SetValue(p.Sum.Position)
	bar.UpdateMessage(name + ": " + caption(p))
	if p.Sum.Done {
		bar.MarkAsDone()
	}
}

// caption is what stands beside a bar.
func caption(p observe.Progress) string {
	if p.Sum.Done {
		return fmt.Sprintf("%d records of %d partitions in %v", p.Sum.Records, len(p.Tables), p.Sum.Took.Round(time.Millisecond))
	}
	text := fmt.Sprintf("%d of %d partitions, %d records, %.0f/s", p.Current, len(p.Tables), p.Sum.Records, p.Sum.Rate)
	if left, known := p.Remaining(); known {
		text += fmt.Sprintf(", %v left", left)
	}
	return text
}
