package figures_test

import (
	"encoding/json"
	"image/png"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tarnstream/tarn/bench/figures"
)

func report(kind figures.Kind, samples ...figures.Sample) figures.Report {
	return figures.Report{Section: "some", Kind: kind, About: "how many there are", Setup: []string{"2 M records"}, Runs: 3, Warmups: 1, Machine: "2 CPUs", Commit: "abc1234", Load: "0.10 0.20 0.30",
		Began: time.Date(2026, 11, 27, 15, 0, 0, 0, time.UTC), Samples: samples, Summaries: figures.Summarize(samples)}
}

// Each kind is written as JSON that can be read again, as Markdown, and as a picture where there is one.
func TestReport_Write(t *testing.T) {
	grown := func(x, seconds float64) figures.Sample {
		return figures.Sample{Work: "count", X: x, Client: "tarn", Records: 1e6, Seconds: seconds, CPU: 2, Peak: 50 * mib}
	}
	held := report(figures.Holding)
	held.Held = []figures.Held{{Work: "crowd", Seconds: 1}}
	delays := report(figures.Delays)
	delays.Delays = []figures.Delay{{Client: "tarn", Interval: time.Second, P50: time.Millisecond}}
	keys := report(figures.Grows, grown(1000, 1), grown(1e6, 3))
	keys.Size = "keys"
	values := report(figures.Grows, grown(16, 1), grown(64<<10, 30))
	values.Size = figures.ValueBytes
	for name, c := range map[string]struct {
		report figures.Report
		row    string
		wide   bool // a picture
	}{
		"rates":   {report(figures.Rates, samples()...), "| count | goka | 3 | 50 k |", true},
		"reads":   {report(figures.Reads, samples()...), "| lookups/s |", true},
		"times":   {report(figures.Times, samples()...), "| count | tarn | 3 | 2000 | 1000 to 4000 |", true},
		"keys":    {keys, "| 1 M | tarn | 1 | 333 k |", true},
		"values":  {values, "| 64 KiB | tarn | 1 | 33 k |", true},
		"delays":  {delays, "| tarn | 1s | 0 | 0 | 1.0 | 1.0 to 1.0 |", false},
		"holding": {held, "| default | crowd |", false},
	} {
		t.Run(name, func(t *testing.T) {
			folder := t.TempDir()
			require.NoError(t, c.report.Write(folder))
			data, err := os.ReadFile(filepath.Join(folder, "some.json"))
			require.NoError(t, err)
			require.True(t, json.Valid(data))
			again, err := figures.ReadReport(folder, "some")
			require.NoError(t, err)
			require.Equal(t, c.report, again)
			text, err := os.ReadFile(filepath.Join(folder, "some.md"))
			require.NoError(t, err)
			require.Contains(t, string(text), c.row)
			require.Contains(t, string(text), "27 November 2026 on 2 CPUs, tarn at abc1234; 3 runs of each by turns after a warm-up; load average 0.10 0.20 0.30 when it began.\nHow many there are: 2 M records.\n")
			path := filepath.Join(folder, "some.png")
			if !c.wide {
				require.NoFileExists(t, path)
				return
			}
			f, err := os.Open(path)
			require.NoError(t, err)
			defer f.Close()
			picture, err := png.Decode(f)
			require.NoError(t, err)
			require.Greater(t, picture.Bounds().Dx(), picture.Bounds().Dy())
		})
	}
}

// A document names the picture as it is seen from there.
func TestReport_MarkdownOfADocument(t *testing.T) {
	r := report(figures.Rates, samples()...)
	require.Contains(t, r.Markdown("benchmarks"), "![how many there are](benchmarks/some.png)")
	require.Contains(t, r.Markdown(""), "![how many there are](some.png)")
	require.False(t, r.Empty())
	require.True(t, report(figures.Rates).Empty())
}

func TestPlot_Faults(t *testing.T) {
	all := figures.Summarize(samples())
	require.ErrorContains(t, figures.PlotRates(nil, figures.Records, filepath.Join(t.TempDir(), "a.png")), "there is nothing to show")
	require.Error(t, figures.PlotTimes(all, filepath.Join(t.TempDir(), "no", "folder.png")))
}

func TestInsert(t *testing.T) {
	const document = "# A\n<!-- figures: count -->\nold\n<!-- end of figures -->\n# B\n<!-- figures: map -->\n<!-- end of figures -->\nend\n"
	changed, err := figures.Insert(document, "map", "new\n")
	require.NoError(t, err)
	require.Equal(t, "# A\n<!-- figures: count -->\nold\n<!-- end of figures -->\n# B\n<!-- figures: map -->\n\nnew\n\n<!-- end of figures -->\nend\n", changed)
	again, err := figures.Insert(changed, "map", "new")
	require.NoError(t, err)
	require.Equal(t, changed, again, "figures take the place of those before")
	_, err = figures.Insert(document, "none", "new")
	require.EqualError(t, err, `figures: the document has no line "<!-- figures: none -->"`)
	_, err = figures.Insert("<!-- figures: map -->\n", "map", "new")
	require.ErrorContains(t, err, `no line "<!-- end of figures -->" after`)
	_, err = figures.Insert("<!-- figures: a -->\n<!-- figures: b -->\n<!-- end of figures -->\n", "a", "new")
	require.ErrorContains(t, err, "no line", "the end is that of the next place")
}

func TestSizes(t *testing.T) {
	for n, text := range map[float64]string{16: "16 B", 4096: "4 KiB", 65536: "64 KiB", 1 << 21: "2 MiB"} {
		require.Equal(t, text, figures.Bytes(n))
	}
	for n, text := range map[float64]string{64: "64", 9999: "9999", 10_000: "10 k", 1e6: "1 M", 2.5e6: "2.5 M"} {
		require.Equal(t, text, figures.Count(n))
	}
}
