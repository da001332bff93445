package figures

import (
	"fmt"
	"math"
	"slices"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"
)

// Form is for whom a table is.
type Form int

// A table for a terminal has lines around its cells, Markdown is for a document.
const (
	Terminal Form = iota
	Markdown
)

// Peer is whom the others are compared to: the client of the same guarantee where it has two.
type Peer struct{ Name, ExactlyOnce, AtLeastOnce string }

// Peers are those of all works.
func Peers() []Peer {
	return []Peer{{"goka", "goka", "goka"}, {"Kafka Streams", "streams", "streams-at-least-once"}}
}

// of is the peer's summary that s is to be compared to.
func (p Peer) of(all []Summary, s Summary) (Summary, bool) {
	order := []string{p.AtLeastOnce, p.ExactlyOnce}
	if s.Client == "tarn" || s.Client == "streams" {
		slices.Reverse(order)
	}
	for _, client := range order {
		if peer, ok := find(all, s.Work, s.X, client); ok {
			return peer, true
		}
	}
	return Summary{}, false
}

// column is one of a table of summaries.
type column struct {
	title string
	left  bool
	cell  func(Summary) string
}

// Unit is what a rate counts.
type Unit string

// What rates count.
const (
	Records Unit = "records"
	Lookups Unit = "lookups"
)

// alone tells that a process's time went into what is counted: before lookups it has rebuilt its table.
func (u Unit) alone() bool { return u != Lookups }

// RateTable shows how fast each client was, and how many times as fast as its peers. size writes X, nil where there is none.
func RateTable(all []Summary, unit Unit, size func(float64) string, form Form) string {
	columns := append(names(size), column{title: string(unit) + "/s", cell: func(s Summary) string { return thousands(s.Rate) }},
		column{title: "slowest to fastest", cell: func(s Summary) string { return thousands(s.Slowest) + " to " + thousands(s.Fastest) }})
	if slices.ContainsFunc(all, func(s Summary) bool { return s.Warm > 0 }) {
		columns = append(columns, column{title: "warm", cell: func(s Summary) string { return thousands(s.Warm) }})
	}
	columns = append(columns, ratios(all, rateRatio)...)
	if unit.alone() {
		columns = append(columns, column{title: "CPU s per 1 M", cell: func(s Summary) string { return fmt.Sprintf("%.2f", s.CPU) }})
	}
	return render(all, append(columns, memory()...), form)
}

// TimeTable shows how long each client took, and how many times as long its peers did.
func TimeTable(all []Summary, form Form) string {
	columns := append(names(nil), column{title: "ms", cell: func(s Summary) string { return milliseconds(s.Seconds) }},
		column{title: "shortest to longest", cell: func(s Summary) string { return milliseconds(s.Shortest) + " to " + milliseconds(s.Longest) }})
	columns = append(columns, ratios(all, timeRatio)...)
	columns = append(columns, column{title: "records restored", cell: func(s Summary) string { return known(s.Restored) }},
		column{title: "CPU s", cell: func(s Summary) string { return fmt.Sprintf("%.2f", s.Spent) }})
	return render(all, append(columns, memory()...), form)
}

// names tell whose figures stand in a row.
func names(size func(float64) string) []column {
	columns := []column{{title: "work", left: true, cell: func(s Summary) string { return s.Work }}}
	if size != nil {
		columns = []column{{title: "size", cell: func(s Summary) string { return size(s.X) }}}
	}
	return append(columns, column{title: "client", left: true, cell: func(s Summary) string { return s.Client }},
		column{title: "runs", cell: func(s Summary) string { return fmt.Sprint(s.Runs) }})
}

func memory() []column {
	return []column{{title: "peak MiB", cell: func(s Summary) string { return mib(s.Peak) }},
		{title: "added MiB", cell: func(s Summary) string { return mib(s.Added) }}}
}

// ratios are columns with how many times as good as each peer a client is.
func ratios(all []Summary, ratio func(client, peer Summary) float64) (columns []column) {
	for _, p := range Peers() {
		cell := func(s Summary) string {
			peer, ok := p.of(all, s)
			if !ok {
				return ""
			}
			return times(ratio(s, peer))
		}
		if slices.ContainsFunc(all, func(s Summary) bool { return cell(s) != "" }) {
			columns = append(columns, column{title: "x " + p.Name, cell: cell})
		}
	}
	return columns
}

func rateRatio(client, peer Summary) float64 { return client.Rate / peer.Rate }
func timeRatio(client, peer Summary) float64 { return peer.Seconds / client.Seconds }

func render(all []Summary, columns []column, form Form) string {
	var header []string
	var right []int
	for i, c := range columns {
		header = append(header, c.title)
		if !c.left {
			right = append(right, i+1)
		}
	}
	rows := make([][]string, len(all))
	for i, s := range all {
		for _, c := range columns {
			rows[i] = append(rows[i], c.cell(s))
		}
	}
	return tabulate(header, rows, right, form)
}

// tabulate lays out a table; the columns in right, counted from 1, have figures.
func tabulate(header []string, rows [][]string, right []int, form Form) string {
	t := table.NewWriter()
	t.SetStyle(table.StyleLight)
	t.Style().Format.Header = text.FormatDefault
	t.AppendHeader(row(header))
	for _, r := range rows {
		t.AppendRow(row(r))
	}
	var columns []table.ColumnConfig
	for _, n := range right {
		columns = append(columns, table.ColumnConfig{Number: n, Align: text.AlignRight, AlignHeader: text.AlignRight})
	}
	t.SetColumnConfigs(columns)
	if form == Markdown {
		return t.RenderMarkdown()
	}
	return t.Render()
}

func row(cells []string) (out table.Row) {
	for _, c := range cells {
		out = append(out, c)
	}
	return out
}

// thousands writes a rate in thousands a second; nothing where there is none.
func thousands(rate float64) string {
	switch {
	case rate <= 0:
		return ""
	case rate < 10_000:
		return fmt.Sprintf("%.1f k", rate/1000)
	}
	return fmt.Sprintf("%.0f k", rate/1000)
}

func milliseconds(seconds float64) string { return fmt.Sprintf("%.0f", seconds*1000) }

func times(ratio float64) string {
	if math.IsInf(ratio, 0) || math.IsNaN(ratio) {
		return ""
	}
	return fmt.Sprintf("%.2f", ratio)
}

func known(n int64) string {
	if n < 0 {
		return "?"
	}
	return fmt.Sprint(n)
}

func mib(bytes int64) string {
	if bytes <= 0 {
		return "?"
	}
	return fmt.Sprintf("%.0f", float64(bytes)/(1<<20))
}
