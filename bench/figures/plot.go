package figures

import (
	"errors"
	"fmt"
	"os"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgimg"
)

// panel is one of a picture's charts.
type panel struct {
	title, format string
	value         func(Summary) float64
	// spread gives the ends of an error bar; nil draws none.
	spread func(Summary) (low, high float64)
}

func memoryPanel() panel {
	return panel{title: "peak memory, MiB", format: "%.0f", value: func(s Summary) float64 { return float64(s.Peak) / (1 << 20) }}
}

func ratePanels(unit Unit) []panel {
	panels := []panel{{title: "thousand " + string(unit) + " a second, slowest to fastest", format: "%.0f",
		value:  func(s Summary) float64 { return s.Rate / 1000 },
		spread: func(s Summary) (low, high float64) { return s.Slowest / 1000, s.Fastest / 1000 }}}
	if unit.alone() {
		panels = append(panels, panel{title: "CPU seconds for a million " + string(unit), format: "%.2f", value: func(s Summary) float64 { return s.CPU }})
	}
	return append(panels, memoryPanel())
}

func timePanels() []panel {
	return []panel{
		{title: "ms to the first record, shortest to longest", format: "%.0f",
			value:  func(s Summary) float64 { return s.Seconds * 1000 },
			spread: func(s Summary) (low, high float64) { return s.Shortest * 1000, s.Longest * 1000 }},
		{title: "CPU seconds", format: "%.2f", value: func(s Summary) float64 { return s.Spent }},
		memoryPanel(),
	}
}

const (
	panelWidth = 5.2 * vg.Inch
	pad        = vg.Millimeter * 4
)

// draws puts charts beside each other into a PNG file.
func draws(path string, height vg.Length, charts []*plot.Plot) error {
	png := vgimg.PngCanvas{Canvas: vgimg.New(panelWidth*vg.Length(len(charts)), height)}
	tiles := draw.Tiles{Rows: 1, Cols: len(charts), PadX: 2 * pad, PadTop: pad, PadBottom: pad, PadLeft: pad, PadRight: pad}
	for i, c := range plot.Align([][]*plot.Plot{charts}, tiles, draw.New(png))[0] {
		charts[i].Draw(c)
	}
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	_, err = png.WriteTo(f)
	return errors.Join(err, f.Close())
}

// charted draws a chart for each panel.
func charted(panels []panel, path string, height vg.Length, chart func(panel) (*plot.Plot, error)) error {
	var charts []*plot.Plot
	for _, p := range panels {
		c, err := chart(p)
		if err != nil {
			return fmt.Errorf("figures: plot %s: %w", p.title, err)
		}
		charts = append(charts, c)
	}
	if err := draws(path, height, charts); err != nil {
		return fmt.Errorf("figures: plot: %w", err)
	}
	return nil
}
