package figures

import (
	"fmt"
	"slices"
	"time"
)

// Delay is how long the records of one run took from end to end, or those of several.
type Delay struct {
	Client string `json:"client"`
	// Interval is that of its commits, 0 for one that has none.
	Interval time.Duration `json:"commit_interval_ns,omitempty"`
	Records  int           `json:"records"`
	P50      time.Duration `json:"p50_ns"`
	P99      time.Duration `json:"p99_ns"`
	Max      time.Duration `json:"max_ns"`
	// Runs is of how many runs it is the middle, Each are those; Max is that of all.
	Runs int     `json:"runs"`
	Each []Delay `json:"each,omitempty"`
}

// DelayOf sums up what each record took. It panics without any.
func DelayOf(client string, interval time.Duration, took []time.Duration) Delay {
	sorted := slices.Sorted(slices.Values(took))
	return Delay{Client: client, Interval: interval, Runs: 1, Records: len(sorted), P50: percentile(sorted, 50), P99: percentile(sorted, 99), Max: sorted[len(sorted)-1]}
}

// MedianDelay is what the runs of one client, at one interval, come to. It panics without any.
func MedianDelay(runs []Delay) Delay {
	all := Delay{Client: runs[0].Client, Interval: runs[0].Interval, Each: runs}
	var p50, p99 []float64
	for _, d := range runs {
		all.Runs += d.Runs
		all.Records += d.Records
		all.Max = max(all.Max, d.Max)
		p50, p99 = append(p50, float64(d.P50)), append(p99, float64(d.P99))
	}
	all.P50, all.P99 = time.Duration(Median(p50)), time.Duration(Median(p99))
	return all
}

// percentile is the least of the values that so many of a hundred do not exceed (nearest rank).
func percentile(sorted []time.Duration, of int) time.Duration {
	return sorted[(len(sorted)*of+99)/100-1]
}

// DelayTable shows them, beside the interval at which commits are made.
func DelayTable(all []Delay, form Form) string {
	var rows [][]string
	for _, d := range all {
		every := ""
		if d.Interval > 0 {
			every = fmt.Sprint(d.Interval)
		}
		rows = append(rows, []string{d.Client, every, fmt.Sprint(d.Runs), fmt.Sprint(d.Records), millis(d.P50), d.spread(func(d Delay) time.Duration { return d.P50 }),
			millis(d.P99), d.spread(func(d Delay) time.Duration { return d.P99 }), millis(d.Max)})
	}
	return tabulate([]string{"client", "commits every", "runs", "records", "p50 ms", "least to most", "p99 ms", "least to most", "max ms"}, rows, []int{2, 3, 4, 5, 6, 7, 8, 9}, form)
}

// spread is what the runs had of a figure.
func (d Delay) spread(of func(Delay) time.Duration) string {
	least, most := of(d), of(d)
	for _, run := range d.Each {
		least, most = min(least, of(run)), max(most, of(run))
	}
	return millis(least) + " to " + millis(most)
}

func millis(d time.Duration) string { return fmt.Sprintf("%.1f", d.Seconds()*1000) }
