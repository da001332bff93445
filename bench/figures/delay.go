package figures

import (
	"fmt"
	"slices"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"
)

// Delay is how long the records of one run took from end to end.
type Delay struct {
	Client        string
	Records       int
	P50, P99, Max time.Duration
}

// DelayOf sums up what each record took. It panics without any.
func DelayOf(client string, took []time.Duration) Delay {
	sorted := slices.Sorted(slices.Values(took))
	return Delay{Client: client, Records: len(sorted), P50: percentile(sorted, 50), P99: percentile(sorted, 99), Max: sorted[len(sorted)-1]}
}

// percentile is the least of the values that so many of a hundred do not exceed (nearest rank).
func percentile(sorted []time.Duration, of int) time.Duration {
	return sorted[(len(sorted)*of+99)/100-1]
}

// DelayTable shows them, beside the interval at which commits are made.
func DelayTable(all []Delay, interval time.Duration) string {
	t := table.NewWriter()
	t.SetStyle(table.StyleLight)
	t.Style().Format.Header = text.FormatDefault
	t.AppendHeader(table.Row{"client", "records", "p50 ms", "p99 ms", "max ms", "p50 of interval", "p99 of interval"})
	var right []table.ColumnConfig
	for n := 2; n <= 7; n++ {
		right = append(right, table.ColumnConfig{Number: n, Align: text.AlignRight})
	}
	t.SetColumnConfigs(right)
	for _, d := range all {
		t.AppendRow(table.Row{d.Client, d.Records, millis(d.P50), millis(d.P99), millis(d.Max), ofInterval(d.P50, interval), ofInterval(d.P99, interval)})
	}
	return t.Render()
}

func millis(d time.Duration) string { return fmt.Sprintf("%.1f", d.Seconds()*1000) }

func ofInterval(d, interval time.Duration) string {
	return fmt.Sprintf("%.2f", float64(d)/float64(interval))
}
