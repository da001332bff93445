package figures

import (
	"errors"
	"fmt"
	"image/color"
	"os"
	"slices"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgimg"
)

// panel is one of the plot's bar charts.
type panel struct {
	title, format string
	value         func(Summary) float64
	// spread gives the ends of an error bar; nil draws none.
	spread func(Summary) (low, high float64)
}

func panels() []panel {
	return []panel{
		{title: "thousand records a second, slowest to fastest", format: "%.0f",
			value:  func(s Summary) float64 { return s.Rate / 1000 },
			spread: func(s Summary) (low, high float64) { return s.Slowest / 1000, s.Fastest / 1000 }},
		{title: "CPU seconds for a million records", format: "%.1f", value: func(s Summary) float64 { return s.CPU }},
		{title: "peak memory in MiB", format: "%.0f", value: func(s Summary) float64 { return float64(s.Peak) / (1 << 20) }},
	}
}

const (
	panelWidth  = 5.2 * vg.Inch
	panelHeight = 3 * vg.Inch
	barWidth    = 0.45 * vg.Inch
)

// Plot writes a PNG with a bar for each summary.
func Plot(all []Summary, path string) error {
	if len(all) == 0 {
		return errors.New("figures: plot: there is nothing to show")
	}
	png, err := drawPanels(all)
	if err != nil {
		return fmt.Errorf("figures: plot: %w", err)
	}
	f, err := os.Create(path)
	if err != nil {
		return fmt.Errorf("figures: plot: %w", err)
	}
	_, err = png.WriteTo(f)
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("figures: plot: %w", err)
	}
	return nil
}

func drawPanels(all []Summary) (vgimg.PngCanvas, error) {
	png := vgimg.PngCanvas{Canvas: vgimg.New(panelWidth*vg.Length(len(panels())), panelHeight)}
	var row []*plot.Plot
	for _, p := range panels() {
		chart, err := p.chart(all)
		if err != nil {
			return png, err
		}
		row = append(row, chart)
	}
	const pad = vg.Millimeter * 4
	tiles := draw.Tiles{Rows: 1, Cols: len(row), PadX: 2 * pad, PadTop: pad, PadBottom: pad, PadLeft: pad, PadRight: pad}
	for i, c := range plot.Align([][]*plot.Plot{row}, tiles, draw.New(png))[0] {
		row[i].Draw(c)
	}
	return png, nil
}

// chart draws one bar for each summary, in its client's colour.
func (p panel) chart(all []Summary) (*plot.Plot, error) {
	c := plot.New()
	c.Title.Text = p.title
	var names, texts []string
	var tops spreads
	clients := []string{}
	for i, s := range all {
		if !slices.Contains(clients, s.Client) {
			clients = append(clients, s.Client)
		}
		bar, err := plotter.NewBarChart(plotter.Values{p.value(s)}, barWidth)
		if err != nil {
			return nil, err
		}
		bar.XMin, bar.LineStyle.Width = float64(i), 0
		bar.Color = shade(slices.Index(clients, s.Client))
		c.Add(bar)
		names, texts = append(names, strings.Replace(s.Client, "-", "\n", 1)+"\n"+s.Work), append(texts, fmt.Sprintf(p.format, p.value(s)))
		tops.add(i, p, s)
	}
	c.NominalX(names...)
	c.Y.Min = 0
	c.Y.Max *= 1.12 // room for the figures
	return c, p.annotate(c, tops, texts)
}

// annotate writes each bar's figure above it, and its spread.
func (p panel) annotate(c *plot.Plot, tops spreads, texts []string) error {
	labels, err := plotter.NewLabels(plotter.XYLabels{XYs: tops.ends(), Labels: texts})
	if err != nil {
		return err
	}
	labels.Offset.Y = vg.Points(3)
	for i := range labels.TextStyle {
		labels.TextStyle[i].XAlign = draw.XCenter
	}
	c.Add(labels)
	if p.spread == nil {
		return nil
	}
	bars, err := plotter.NewYErrorBars(tops)
	if err != nil {
		return err
	}
	c.Add(bars)
	return nil
}

// spreads are the tops of the bars with what lies below and above each.
type spreads struct {
	plotter.XYs
	plotter.YErrors
}

func (s *spreads) add(i int, p panel, of Summary) {
	top := plotter.XY{X: float64(i), Y: p.value(of)}
	low, high := top.Y, top.Y
	if p.spread != nil {
		low, high = p.spread(of)
	}
	s.XYs = append(s.XYs, top)
	s.YErrors = append(s.YErrors, struct{ Low, High float64 }{top.Y - low, high - top.Y})
}

// ends are the upper ends of the error bars.
func (s *spreads) ends() plotter.XYs {
	out := slices.Clone(s.XYs)
	for i := range out {
		out[i].Y += s.YErrors[i].High
	}
	return out
}

func shade(i int) color.Color {
	shades := []color.Color{color.Gray{Y: 160}, color.RGBA{R: 31, G: 119, B: 180, A: 255}, color.RGBA{R: 134, G: 187, B: 216, A: 255}, color.RGBA{R: 230, G: 126, B: 34, A: 255}}
	return shades[i%len(shades)]
}
