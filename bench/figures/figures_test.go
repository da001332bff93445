package figures_test

import (
	"image/png"
	"os"
	"path/filepath"
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
	return append(out, figures.Sample{Work: "fetch", Client: "floor", Records: 5e5, Seconds: 1, CPU: 0.2})
}

func TestSummarize(t *testing.T) {
	all := figures.Summarize(samples())
	require.Equal(t, figures.Summary{Work: "count", Client: "tarn", Runs: 3, Rate: 5e5, Slowest: 2.5e5, Fastest: 1e6, CPU: 1.5,
		Peak: 51 * mib, Added: 41 * mib}, all[0])
	require.Equal(t, figures.Summary{Work: "fetch", Client: "floor", Runs: 1, Rate: 5e5, Slowest: 5e5, Fastest: 5e5, CPU: 0.4}, all[2])
	goka, ok := figures.Find(all, "count", "goka")
	require.True(t, ok)
	require.InDelta(t, 5e4, goka.Rate, 0)
	_, ok = figures.Find(all, "restore", "goka")
	require.False(t, ok)
}

func TestTable(t *testing.T) {
	all := figures.Summarize(samples())
	require.Equal(t, `
| work | client | runs | records/s | slowest to fastest | of goka | CPU s per 1 M | peak MiB | added MiB |
| --- | --- | ---:| ---:| ---:| ---:| ---:| ---:| ---:|
| count | tarn | 3 | 500 k | 250 k to 1000 k | 10.00 | 1.50 | 51 | 41 |
| count | goka | 3 | 50 k | 25 k to 100 k | 1.00 | 15.00 | 100 | 90 |
| fetch | floor | 1 | 500 k | 500 k to 500 k |  | 0.40 | ? | ? |`, "\n"+figures.Table(all, "goka", true))
	lines := strings.Split(figures.Table(all, "goka", false), "\n")
	require.Len(t, lines, 7)
	for _, line := range lines {
		require.Len(t, []rune(line), len([]rune(lines[0])), "columns stand below each other")
	}
}

func TestPlot(t *testing.T) {
	path := filepath.Join(t.TempDir(), "plot.png")
	require.NoError(t, figures.Plot(figures.Summarize(samples()), path))
	f, err := os.Open(path)
	require.NoError(t, err)
	defer f.Close()
	picture, err := png.Decode(f)
	require.NoError(t, err)
	require.Greater(t, picture.Bounds().Dx(), picture.Bounds().Dy())
	require.Error(t, figures.Plot(figures.Summarize(samples()), filepath.Join(path, "no-folder.png")))
	require.Error(t, figures.Plot(nil, path))
}

func TestDelay(t *testing.T) {
	var took []time.Duration
	for i := 200; i > 0; i-- {
		took = append(took, time.Duration(i)*time.Millisecond)
	}
	d := figures.DelayOf("tarn", took)
	require.Equal(t, figures.Delay{Client: "tarn", Records: 200, P50: 100 * time.Millisecond, P99: 198 * time.Millisecond, Max: 200 * time.Millisecond}, d)
	require.Contains(t, figures.DelayTable([]figures.Delay{d}, 50*time.Millisecond), "│ tarn   │     200 │  100.0 │  198.0 │  200.0 │            2.00 │            3.96 │")
	one := figures.DelayOf("tarn", took[:1])
	require.Equal(t, 200*time.Millisecond, one.P50)
	require.Equal(t, 200*time.Millisecond, one.Max)
}
