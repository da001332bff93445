package figures

import (
	"fmt"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"

	"github.com/tarnstream/tarn/observe"
)

// Held is what one run of tarn took of its memory option.
type Held struct {
	Work   string
	Option int64 // 0: the default
	// InUse is the most of what was in use at a time, Parts the most of each part at any time; Idle and Peak are the process's
	// peak memory before and after. All in bytes.
	InUse      int64
	Parts      observe.MemoryStats
	Idle, Peak int64
	Seconds    float64
}

// HeldTable shows them.
func HeldTable(all []Held) string {
	t := table.NewWriter()
	t.SetStyle(table.StyleLight)
	t.Style().Format.Header = text.FormatDefault
	t.AppendHeader(table.Row{"option MiB", "work", "bound", "in use", "process +", "peak", "layers", "rows", "fetched", "producing", "rebuilds", "stores", "blocks", "fixed", "s"})
	var right []table.ColumnConfig
	for n := 3; n <= 15; n++ {
		right = append(right, table.ColumnConfig{Number: n, Align: text.AlignRight})
	}
	t.SetColumnConfigs(right)
	for _, h := range all {
		option := "default"
		if h.Option > 0 {
			option = fmt.Sprint(h.Option >> 20)
		}
		m := h.Parts
		t.AppendRow(table.Row{option, h.Work, mib(m.Bound), mib(h.InUse), mib(h.Peak - h.Idle), mib(h.Peak), tenths(m.Layers), tenths(m.Rows), tenths(m.Fetched),
			tenths(m.Producing), tenths(m.Rebuilds), tenths(m.Stores), tenths(m.Blocks), tenths(m.Fixed), fmt.Sprintf("%.1f", h.Seconds)})
	}
	return t.Render()
}

func tenths(bytes int64) string { return fmt.Sprintf("%.1f", float64(bytes)/(1<<20)) }
