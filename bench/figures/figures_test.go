package figures_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/tarnstream/tarn/bench/figures"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestMedian(t *testing.T) {
	require.InDelta(t, 3, figures.Median([]float64{9, 1, 3}), 0)
	require.InDelta(t, 2.5, figures.Median([]float64{4, 1, 9, 1}), 0)
	values := []float64{2, 1}
	require.InDelta(t, 1.5, figures.Median(values), 0)
	require.Equal(t, []float64{2, 1}, values, "what was given is not sorted")
}

const mib = 1 << 20

// samples are three runs of two clients: tarn takes 1, 2 and 4 seconds for a million records, goka ten times as long.
func samples() []figures.Sample {
	var out []figures.Sample
	for i, seconds := range []float64{4, 1, 2} {
		out = append(out,
			figures.Sample{Work: "count", Client: "tarn", Records: 1e6, Seconds: seconds, CPU: 1.5, Idle: 10 * mib, Peak: int64(50+i) * mib},
			figures.Sample{Work: "count", Client: "goka", Records: 1e6, Seconds: 10 * seconds, CPU: 15, Idle: 10 * mib, Peak: 100 * mib})
	}
	return append(out, figures.Sample{Work: "fetch", Client: "fetch", Records: 5e5, Seconds: 1, CPU: 0.2})
}

func TestSummarize(t *testing.T) {
	all := figures.Summarize(samples())
	require.Equal(t, figures.Summary{Work: "count", Client: "tarn", Runs: 3, Rate: 5e5, Slowest: 2.5e5, Fastest: 1e6, CPU: 1.5, Spent: 1.5,
		Seconds: 2, Longest: 4, Shortest: 1, Peak: 51 * mib, Added: 41 * mib}, all[0])
	require.Equal(t, figures.Summary{Work: "fetch", Client: "fetch", Runs: 1, Rate: 5e5, Slowest: 5e5, Fastest: 5e5, CPU: 0.4, Spent: 0.2,
		Seconds: 1, Longest: 1, Shortest: 1}, all[2])
	goka, ok := figures.Find(all, "count", "goka")
	require.True(t, ok)
	require.InDelta(t, 5e4, goka.Rate, 0)
	_, ok = figures.Find(all, "restore", "goka")
	require.False(t, ok)
}

// The warm rate is that of what comes after the first quarter.
func TestSummarize_Warm(t *testing.T) {
	all := figures.Summarize([]figures.Sample{{Work: "count", Client: "streams", Records: 1000, Seconds: 10, Warm: 5}})
	require.InDelta(t, 100, all[0].Rate, 0)
	require.InDelta(t, 150, all[0].Warm, 0)
}

// One work at several sizes has a summary for each.
func TestSummarize_Sizes(t *testing.T) {
	all := figures.Summarize([]figures.Sample{{Work: "count", X: 1, Client: "tarn", Records: 10, Seconds: 1}, {Work: "count", X: 4, Client: "tarn", Records: 10, Seconds: 2}})
	require.Len(t, all, 2)
	require.InDelta(t, 5, all[1].Rate, 0)
	_, ok := figures.Find(all, "count", "tarn")
	require.False(t, ok, "it has no size of its own")
}

func TestRateTable(t *testing.T) {
	all := figures.Summarize(samples())
	require.Equal(t, `
| work | client | runs | records/s | slowest to fastest | x goka | CPU s per 1 M | peak MiB | added MiB |
| --- | --- | ---:| ---:| ---:| ---:| ---:| ---:| ---:|
| count | tarn | 3 | 500 k | 250 k to 1000 k | 10.00 | 1.50 | 51 | 41 |
| count | goka | 3 | 50 k | 25 k to 100 k | 1.00 | 15.00 | 100 | 90 |
| fetch | fetch | 1 | 500 k | 500 k to 500 k |  | 0.40 | ? | ? |`, "\n"+figures.RateTable(all, figures.Records, nil, figures.Markdown))
	require.NotContains(t, figures.RateTable(all, figures.Lookups, nil, figures.Markdown), "CPU", "that of the rebuild before them is in it")
	lines := strings.Split(figures.RateTable(all, figures.Records, nil, figures.Terminal), "\n")
	require.Len(t, lines, 7)
	for _, line := range lines {
		require.Len(t, []rune(line), len([]rune(lines[0])), "columns stand below each other")
	}
}

// A client is compared to the peer that promises the same, where there is one.
func TestRateTable_PeerOfTheSameGuarantee(t *testing.T) {
	var all []figures.Summary
	for client, rate := range map[string]float64{"tarn": 60e3, "tarn-at-least-once": 80e3, "streams": 10e3, "streams-at-least-once": 20e3} {
		all = append(all, figures.Summary{Work: "count", Client: client, Rate: rate, Warm: 2 * rate})
	}
	table := figures.RateTable(all, figures.Records, nil, figures.Markdown)
	require.Contains(t, table, "| x Kafka Streams |")
	require.Contains(t, table, "| warm |")
	require.Contains(t, table, "| tarn | 0 | 60 k |  to  | 120 k | 6.00 |")
	require.Contains(t, table, "| tarn-at-least-once | 0 | 80 k |  to  | 160 k | 4.00 |")
	rebuild := []figures.Summary{{Work: "rebuild", Client: "tarn", Rate: 30e3}, {Work: "rebuild", Client: "streams", Rate: 15e3}}
	require.Contains(t, figures.RateTable(rebuild, figures.Records, nil, figures.Markdown), "| 2.00 |", "a rebuild has one guarantee")
}

func TestTimeTable(t *testing.T) {
	all := figures.Summarize([]figures.Sample{{Work: "restart", Client: "tarn", Records: 1, Seconds: 0.05, CPU: 0.1, Restored: 7},
		{Work: "restart", Client: "goka", Records: 1, Seconds: 5, CPU: 0.3, Restored: -1}})
	require.Equal(t, `
| work | client | runs | ms | shortest to longest | x goka | records restored | CPU s | peak MiB | added MiB |
| --- | --- | ---:| ---:| ---:| ---:| ---:| ---:| ---:| ---:|
| restart | tarn | 1 | 50 | 50 to 50 | 100.00 | 7 | 0.10 | ? | ? |
| restart | goka | 1 | 5000 | 5000 to 5000 | 1.00 | ? | 0.30 | ? | ? |`, "\n"+figures.TimeTable(all, figures.Markdown))
}

func TestDelay(t *testing.T) {
	var took []time.Duration
	for i := 200; i > 0; i-- {
		took = append(took, time.Duration(i)*time.Millisecond)
	}
	d := figures.DelayOf("tarn", 50*time.Millisecond, took)
	require.Equal(t, figures.Delay{Client: "tarn", Interval: 50 * time.Millisecond, Runs: 1, Records: 200, P50: 100 * time.Millisecond, P99: 198 * time.Millisecond, Max: 200 * time.Millisecond}, d)
	require.Contains(t, figures.DelayTable([]figures.Delay{d}, figures.Terminal), "│ tarn   │          50ms │    1 │     200 │  100.0 │ 100.0 to 100.0 │  198.0 │ 198.0 to 198.0 │  200.0 │")
	one := figures.DelayOf("tarn", 0, took[:1])
	require.Equal(t, 200*time.Millisecond, one.P50)
	require.Equal(t, 200*time.Millisecond, one.Max)
}

// Of several runs the middle counts, and the longest wait of all.
func TestMedianDelay(t *testing.T) {
	run := func(p50, p99, longest time.Duration) figures.Delay {
		return figures.Delay{Client: "tarn", Runs: 1, Records: 10, P50: p50, P99: p99, Max: longest}
	}
	const ms = time.Millisecond
	runs := []figures.Delay{run(1*ms, 9*ms, 10*ms), run(2*ms, 5*ms, 90*ms), run(3*ms, 7*ms, 20*ms)}
	all := figures.MedianDelay(runs)
	require.Equal(t, figures.Delay{Client: "tarn", Runs: 3, Records: 30, P50: 2 * ms, P99: 7 * ms, Max: 90 * ms, Each: runs}, all)
	require.Contains(t, figures.DelayTable([]figures.Delay{all}, figures.Markdown), "| tarn |  | 3 | 30 | 2.0 | 1.0 to 3.0 | 7.0 | 5.0 to 9.0 | 90.0 |")
}
