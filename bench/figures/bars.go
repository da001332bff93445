package figures

import (
	"errors"
	"fmt"
	"slices"
	"strconv"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

const barWidth = 0.22 * vg.Inch

// PlotRates writes a PNG with a bar for each summary: its rate, processor time and memory.
func PlotRates(all []Summary, unit Unit, path string) error {
	return bars(all, ratePanels(unit), path)
}

// PlotTimes writes a PNG with a bar for each summary: its time, processor time and memory.
func PlotTimes(all []Summary, path string) error { return bars(all, timePanels(), path) }

func bars(all []Summary, panels []panel, path string) error {
	if len(all) == 0 {
		return errors.New("figures: plot: there is nothing to show")
	}
	downwards := slices.Clone(all)
	slices.Reverse(downwards) // the first is on top
	height := vg.Length(len(all))*1.7*barWidth + 1.1*vg.Inch
	return charted(panels, path, height, func(p panel) (*plot.Plot, error) { return p.bars(downwards) })
}

// bars draws one bar for each summary, in its client's colour.
func (p panel) bars(all []Summary) (*plot.Plot, error) {
	c := plot.New()
	c.Title.Text, c.Title.Padding = p.title, vg.Points(6)
	works := map[string]bool{}
	for _, s := range all {
		works[s.Work] = true
	}
	var names, texts []string
	var ends spreads
	for i, s := range all {
		bar, err := plotter.NewBarChart(plotter.Values{p.value(s)}, barWidth)
		if err != nil {
			return nil, err
		}
		bar.Horizontal, bar.XMin, bar.LineStyle.Width, bar.Color = true, float64(i), 0, shade(s.Client)
		c.Add(bar)
		name := s.Client
		if len(works) > 1 {
			name = s.Work + ": " + name
		}
		names, texts = append(names, name), append(texts, fmt.Sprintf(p.format, p.value(s)))
		ends.add(i, p, s)
	}
	c.NominalY(names...)
	c.X.Min, c.X.Tick.Marker = 0, plot.TickerFunc(even)
	c.X.Max *= 1.15 // room for the figures
	return c, p.annotate(c, ends, texts)
}

// even are the marks of an axis from 0 on, as gonum places them, with plain numbers.
func even(low, high float64) []plot.Tick {
	ticks := plot.DefaultTicks{}.Ticks(low, high)
	for i := range ticks {
		if !ticks[i].IsMinor() {
			ticks[i].Label = strconv.FormatFloat(ticks[i].Value, 'f', -1, 64)
		}
	}
	return ticks
}

// annotate writes each bar's figure beside it, and its spread.
func (p panel) annotate(c *plot.Plot, ends spreads, texts []string) error {
	labels, err := plotter.NewLabels(plotter.XYLabels{XYs: ends.farthest(), Labels: texts})
	if err != nil {
		return err
	}
	labels.Offset.X = vg.Points(4)
	for i := range labels.TextStyle {
		labels.TextStyle[i].YAlign = draw.YCenter
	}
	c.Add(labels)
	if p.spread == nil {
		return nil
	}
	bars, err := plotter.NewXErrorBars(ends)
	if err != nil {
		return err
	}
	c.Add(bars)
	return nil
}

// spreads are the ends of the bars with what lies left and right of each.
type spreads struct {
	plotter.XYs
	plotter.XErrors
}

func (s *spreads) add(i int, p panel, of Summary) {
	end := plotter.XY{X: p.value(of), Y: float64(i)}
	low, high := end.X, end.X
	if p.spread != nil {
		low, high = p.spread(of)
	}
	s.XYs = append(s.XYs, end)
	s.XErrors = append(s.XErrors, struct{ Low, High float64 }{end.X - low, high - end.X})
}

// farthest are the right ends of the error bars.
func (s *spreads) farthest() plotter.XYs {
	out := slices.Clone(s.XYs)
	for i := range out {
		out[i].X += s.XErrors[i].High
	}
	return out
}
