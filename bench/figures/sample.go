package figures

import "slices"

// Sample is one measured run of one client.
type Sample struct {
	Work    string  `json:"work"`
	Client  string  `json:"client"`
	Records int64   `json:"records"`
	Seconds float64 `json:"seconds"`
	// CPU is the processor time of the whole process, user and system, in seconds.
	CPU float64 `json:"cpu_seconds"`
	// Idle and Peak are the process's peak memory before and after the work, in bytes; 0 where it is not known.
	Idle int64 `json:"idle_bytes"`
	Peak int64 `json:"peak_bytes"`
}

// Summary is what the runs of one client come to: medians, and the slowest and the fastest run.
type Summary struct {
	Work    string  `json:"work"`
	Client  string  `json:"client"`
	Runs    int     `json:"runs"`
	Rate    float64 `json:"records_per_second"`
	Slowest float64 `json:"slowest"`
	Fastest float64 `json:"fastest"`
	// CPU is in seconds for a million records.
	CPU float64 `json:"cpu_seconds_per_million"`
	// Peak is the peak memory, Added what of it the work has added, in bytes.
	Peak  int64 `json:"peak_bytes"`
	Added int64 `json:"added_bytes"`
}

// Summarize gives a Summary for each work and client, in the order in which they come first.
func Summarize(samples []Sample) []Summary {
	type key struct{ work, client string }
	var order []key
	runs := map[key][]Sample{}
	for _, s := range samples {
		k := key{s.Work, s.Client}
		if runs[k] == nil {
			order = append(order, k)
		}
		runs[k] = append(runs[k], s)
	}
	var out []Summary
	for _, k := range order {
		of := runs[k]
		rates := each(of, func(s Sample) float64 { return float64(s.Records) / s.Seconds })
		out = append(out, Summary{Work: k.work, Client: k.client, Runs: len(of),
			Rate: Median(rates), Slowest: slices.Min(rates), Fastest: slices.Max(rates),
			CPU:   Median(each(of, func(s Sample) float64 { return s.CPU / float64(s.Records) * 1e6 })),
			Peak:  int64(Median(each(of, func(s Sample) float64 { return float64(s.Peak) }))),
			Added: int64(Median(each(of, func(s Sample) float64 { return float64(s.Peak - s.Idle) })))})
	}
	return out
}

func each(samples []Sample, value func(Sample) float64) []float64 {
	var out []float64
	for _, s := range samples {
		out = append(out, value(s))
	}
	return out
}

// Median is the middle of the values, between two the mean of both. It panics without values.
func Median(values []float64) float64 {
	v := slices.Sorted(slices.Values(values))
	return (v[(len(v)-1)/2] + v[len(v)/2]) / 2
}

// Ratio is how many times as fast as the peer a client does a work; false where one of them has not done it.
func Ratio(all []Summary, work, client, peer string) (ratio float64, ok bool) {
	c, ok := Find(all, work, client)
	p, peers := Find(all, work, peer)
	if !ok || !peers {
		return 0, false
	}
	return c.Rate / p.Rate, true
}

// Find gives the summary of a client's work.
func Find(all []Summary, work, client string) (Summary, bool) {
	i := slices.IndexFunc(all, func(s Summary) bool { return s.Work == work && s.Client == client })
	if i < 0 {
		return Summary{}, false
	}
	return all[i], true
}
