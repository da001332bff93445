package figures

import "slices"

// Sample is one measured run of one client.
type Sample struct {
	// Work is what is compared. X tells works apart that differ in one size alone, 0 where there is none.
	Work    string  `json:"work"`
	X       float64 `json:"x,omitempty"`
	Client  string  `json:"client"`
	Records int64   `json:"records"`
	Seconds float64 `json:"seconds"`
	// Warm is the part of Seconds after a quarter of the records; 0 where there is none.
	Warm float64 `json:"warm_seconds,omitempty"`
	// CPU is the processor time of the whole process, user and system, in seconds.
	CPU float64 `json:"cpu_seconds"`
	// Idle and Peak are the process's peak memory before and after the work, in bytes; 0 where it is not known.
	Idle int64 `json:"idle_bytes"`
	Peak int64 `json:"peak_bytes"`
	// Restored is how many records of its table's topic a restart has read; below 0 where it is not known.
	Restored int64 `json:"restored,omitempty"`
}

// rate is in records a second.
func (s Sample) rate() float64 { return float64(s.Records) / s.Seconds }

// warmRate is the rate of what came after the first quarter.
func (s Sample) warmRate() float64 {
	if s.Warm <= 0 {
		return 0
	}
	return float64(s.Records-s.Records/4) / s.Warm
}

// Summary is what the runs of one client come to: medians, and the slowest and the fastest run.
type Summary struct {
	Work    string  `json:"work"`
	X       float64 `json:"x,omitempty"`
	Client  string  `json:"client"`
	Runs    int     `json:"runs"`
	Rate    float64 `json:"records_per_second"`
	Slowest float64 `json:"slowest"`
	Fastest float64 `json:"fastest"`
	// Warm is the rate after a quarter of the records, 0 where there is none.
	Warm float64 `json:"warm_records_per_second,omitempty"`
	// Seconds is how long a run took, Longest and Shortest are the extremes.
	Seconds  float64 `json:"seconds"`
	Longest  float64 `json:"longest"`
	Shortest float64 `json:"shortest"`
	// CPU is in seconds for a million records, Spent in seconds for a run.
	CPU   float64 `json:"cpu_seconds_per_million"`
	Spent float64 `json:"cpu_seconds"`
	// Peak is the peak memory, Added what of it the work has added, in bytes.
	Peak  int64 `json:"peak_bytes"`
	Added int64 `json:"added_bytes"`
	// Restored is the most that a run has read of its table's topic; below 0 where it is not known.
	Restored int64 `json:"restored,omitempty"`
}

// Summarize gives a Summary for each work and client, in the order in which they come first.
func Summarize(samples []Sample) []Summary {
	type key struct {
		work   string
		x      float64
		client string
	}
	var order []key
	runs := map[key][]Sample{}
	for _, s := range samples {
		k := key{s.Work, s.X, s.Client}
		if runs[k] == nil {
			order = append(order, k)
		}
		runs[k] = append(runs[k], s)
	}
	var out []Summary
	for _, k := range order {
		out = append(out, summary(runs[k]))
	}
	return out
}

// summary is that of the runs of one client.
func summary(of []Sample) Summary {
	rates, seconds := each(of, Sample.rate), each(of, func(s Sample) float64 { return s.Seconds })
	median := func(value func(Sample) float64) float64 { return Median(each(of, value)) }
	return Summary{Work: of[0].Work, X: of[0].X, Client: of[0].Client, Runs: len(of),
		Rate: Median(rates), Slowest: slices.Min(rates), Fastest: slices.Max(rates), Warm: median(Sample.warmRate),
		Seconds: Median(seconds), Longest: slices.Max(seconds), Shortest: slices.Min(seconds),
		CPU:      median(func(s Sample) float64 { return s.CPU / float64(s.Records) * 1e6 }),
		Spent:    median(func(s Sample) float64 { return s.CPU }),
		Peak:     int64(median(func(s Sample) float64 { return float64(s.Peak) })),
		Added:    int64(median(func(s Sample) float64 { return float64(s.Peak - s.Idle) })),
		Restored: int64(slices.Max(each(of, func(s Sample) float64 { return float64(s.Restored) })))}
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

// Find gives the summary of a client's work, where it has one size.
func Find(all []Summary, work, client string) (Summary, bool) { return find(all, work, 0, client) }

func find(all []Summary, work string, x float64, client string) (Summary, bool) {
	i := slices.IndexFunc(all, func(s Summary) bool { return s.Work == work && s.X == x && s.Client == client })
	if i < 0 {
		return Summary{}, false
	}
	return all[i], true
}
