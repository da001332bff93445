package figures

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

const linesHeight = 3.4 * vg.Inch

// Growth says what grows: what X is called, and how one is written.
type Growth struct {
	Name  string
	Write func(float64) string
}

// ValueBytes is a size that is written in bytes.
const ValueBytes = "values"

// GrowthOf is how a size is shown: a number of what it is called, or bytes.
func GrowthOf(size string) Growth {
	if size == ValueBytes {
		return Growth{"bytes of a value", Bytes}
	}
	return Growth{size, Count}
}

// PlotGrowth writes a PNG with a line for each client: its rate, processor time and memory by X. Both axes are logarithmic.
func PlotGrowth(all []Summary, g Growth, path string) error {
	return charted(ratePanels(Records), path, linesHeight, func(p panel) (*plot.Plot, error) { return p.lines(all, g) })
}

// lines draws a line for each client.
func (p panel) lines(all []Summary, g Growth) (*plot.Plot, error) {
	c := plot.New()
	c.Title.Text, c.X.Label.Text = p.title, g.Name
	c.X.Scale, c.Y.Scale = plot.LogScale{}, plot.LogScale{}
	c.X.Tick.Marker, c.Y.Tick.Marker = sizes(all, g), plot.TickerFunc(steps)
	c.Legend.Top, c.Legend.TextStyle.Font.Size = true, vg.Points(9)
	for client, of := range byClient(all) {
		var points spreadsAbove
		for _, s := range of {
			points.add(p, s)
		}
		line, dots, err := plotter.NewLinePoints(points.XYs)
		if err != nil {
			return nil, err
		}
		line.Color, line.Width = shade(client), vg.Points(2)
		if strings.Contains(client, "-") { // another setting of the same program
			line.Dashes = []vg.Length{vg.Points(5), vg.Points(3)}
		}
		dots.Color, dots.Shape = shade(client), draw.CircleGlyph{}
		c.Add(line, dots)
		c.Legend.Add(client, line)
		if p.spread != nil {
			ends, err := plotter.NewYErrorBars(points)
			if err != nil {
				return nil, err
			}
			c.Add(ends)
		}
	}
	c.Y.Max *= 4 // room for the legend
	return c, nil
}

// byClient gives each client's summaries by X, the clients in the order in which they come first.
func byClient(all []Summary) func(yield func(string, []Summary) bool) {
	return func(yield func(string, []Summary) bool) {
		seen := map[string]bool{}
		for _, s := range all {
			if seen[s.Client] {
				continue
			}
			seen[s.Client] = true
			of := slices.DeleteFunc(slices.Clone(all), func(o Summary) bool { return o.Client != s.Client })
			slices.SortFunc(of, func(a, b Summary) int { return cmp.Compare(a.X, b.X) })
			if !yield(s.Client, of) {
				return
			}
		}
	}
}

// sizes are marks at the sizes that were measured.
func sizes(all []Summary, g Growth) plot.ConstantTicks {
	var ticks plot.ConstantTicks
	for _, s := range all {
		if !slices.ContainsFunc(ticks, func(t plot.Tick) bool { return t.Value == s.X }) {
			ticks = append(ticks, plot.Tick{Value: s.X, Label: g.Write(s.X)})
		}
	}
	return ticks
}

// steps are the marks of an axis of logarithms: 1, 2 and 5 of each power of ten.
func steps(low, high float64) (ticks []plot.Tick) {
	for power := math.Pow(10, math.Floor(math.Log10(low))); power <= high; power *= 10 {
		for _, n := range []float64{1, 2, 5} {
			if at := n * power; at >= low && at <= high {
				ticks = append(ticks, plot.Tick{Value: at, Label: fmt.Sprintf("%.6g", at)})
			}
		}
	}
	return ticks
}

// spreadsAbove are points with what lies below and above each.
type spreadsAbove struct {
	plotter.XYs
	plotter.YErrors
}

// add takes a point. An axis of logarithms has no place for 0.
func (s *spreadsAbove) add(p panel, of Summary) {
	const least = 1e-3
	at := plotter.XY{X: of.X, Y: max(p.value(of), least)}
	low, high := at.Y, at.Y
	if p.spread != nil {
		low, high = p.spread(of)
	}
	s.XYs = append(s.XYs, at)
	s.YErrors = append(s.YErrors, struct{ Low, High float64 }{at.Y - math.Max(low, least), high - at.Y})
}
