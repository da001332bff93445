package figures

import (
	"fmt"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"
)

// Table shows the summaries, each with its ratio to the same work of the peer. Markdown makes one for a document.
func Table(all []Summary, peer string, markdown bool) string {
	t := table.NewWriter()
	t.SetStyle(table.StyleLight)
	t.Style().Format.Header = text.FormatDefault
	t.AppendHeader(table.Row{"work", "client", "runs", "records/s", "slowest to fastest", "of " + peer, "CPU s per 1 M", "peak MiB", "added MiB"})
	var right []table.ColumnConfig
	for n := 3; n <= 9; n++ {
		right = append(right, table.ColumnConfig{Number: n, Align: text.AlignRight})
	}
	t.SetColumnConfigs(right)
	for _, s := range all {
		t.AppendRow(table.Row{s.Work, s.Client, s.Runs, thousands(s.Rate), thousands(s.Slowest) + " to " + thousands(s.Fastest),
			ratioText(all, s, peer), fmt.Sprintf("%.2f", s.CPU), mib(s.Peak), mib(s.Added)})
	}
	if markdown {
		return t.RenderMarkdown()
	}
	return t.Render()
}

func ratioText(all []Summary, s Summary, peer string) string {
	ratio, ok := Ratio(all, s.Work, s.Client, peer)
	if !ok {
		return ""
	}
	return fmt.Sprintf("%.2f", ratio)
}

// thousands writes a rate in thousands a second.
func thousands(rate float64) string { return fmt.Sprintf("%.0f k", rate/1000) }

func mib(bytes int64) string {
	if bytes <= 0 {
		return "?"
	}
	return fmt.Sprintf("%.0f", float64(bytes)/(1<<20))
}
