package figures_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tarnstream/tarn/bench/figures"
)

func measured() []figures.Summary {
	return []figures.Summary{
		{Work: "count", Client: "tarn", Rate: 600e3, CPU: 1.5, Peak: 100 * mib, Warm: 700e3},
		{Work: "count", Client: "streams", Rate: 100e3, CPU: 15, Peak: 300 * mib, Warm: 150e3},
		{Work: "restart", Client: "tarn", Seconds: 0.05, Restored: 40},
		{Work: "restart", Client: "streams", Seconds: 45, Restored: -1},
	}
}

// Whatever is measured, a ratio says how many times as good as its peer a client is.
func TestJudge(t *testing.T) {
	judge := func(target figures.Target) figures.Verdict {
		return figures.Judge(measured(), []figures.Target{target})[0]
	}
	for _, c := range []struct {
		target  figures.Target
		ratio   float64
		reached bool
	}{
		{figures.Target{Work: "count", Measure: figures.Rate, Client: "tarn", Peer: "streams", Least: 6}, 6, true},
		{figures.Target{Work: "count", Measure: figures.OfWarm, Client: "tarn", Peer: "streams", Least: 5}, 4, false},
		{figures.Target{Work: "count", Measure: figures.CPU, Client: "tarn", Peer: "streams", Least: 8}, 10, true},
		{figures.Target{Work: "count", Measure: figures.Peak, Client: "tarn", Peer: "streams", Least: 2}, 3, true},
		{figures.Target{Work: "count", Measure: figures.Peak, Client: "tarn", Peer: "option", Limit: 50 * mib, Least: 1}, 0.5, false},
		{figures.Target{Work: "restart", Measure: figures.Time, Client: "tarn", Peer: "streams", Least: 20}, 900, true},
		{figures.Target{Work: "restart", Measure: figures.Restored, Client: "tarn", Peer: "tail", Limit: 100, Least: 1}, 2.5, true},
	} {
		v := judge(c.target)
		require.True(t, v.Measured)
		require.InDelta(t, c.ratio, v.Ratio, 1e-9, c.target)
		require.Equal(t, c.reached, v.Reached(), c.target)
	}
	for name, target := range map[string]figures.Target{
		"no such client": {Work: "count", Measure: figures.Rate, Client: "nobody", Peer: "streams", Least: 0.1},
		"no such peer":   {Work: "count", Measure: figures.Rate, Client: "tarn", Peer: "goka", Least: 0.1},
		"not known":      {Work: "restart", Measure: figures.Restored, Client: "streams", Peer: "tail", Limit: 100, Least: 0.1},
		"no memory":      {Work: "restart", Measure: figures.Peak, Client: "tarn", Peer: "streams", Least: 0.1},
	} {
		v := judge(target)
		require.False(t, v.Measured, name)
		require.False(t, v.Reached(), name)
	}
	none := []figures.Summary{{Work: "restart", Client: "tarn"}}
	v := figures.Judge(none, []figures.Target{{Work: "restart", Measure: figures.Restored, Client: "tarn", Limit: 100, Least: 1}})[0]
	require.True(t, v.Reached(), "nothing was read")
}

func TestTargetTable(t *testing.T) {
	verdicts := figures.Judge(measured(), []figures.Target{
		{Work: "count", Measure: figures.OfWarm, Client: "tarn", Peer: "streams", Least: 5},
		{Work: "restart", Measure: figures.Time, Client: "tarn", Peer: "streams", Least: 20},
		{Work: "count", Measure: figures.Peak, Client: "tarn", Peer: "processor.MemoryBytes", Limit: 256 * mib, Least: 1},
		{Work: "rebuild", Measure: figures.CPU, Client: "tarn", Peer: "goka", Least: 0.8},
	})
	require.Equal(t, `
| work | measure | client | figure | beside | its figure | times as good | asked for |  |
| --- | --- | --- | ---:| --- | ---:| ---:| ---:| --- |
| count | records/s, of its warm rate | tarn | 600 k/s | streams | 150 k/s | 4.00 | 5 | missed |
| restart | time to the first record | tarn | 50 ms | streams | 45000 ms | 900.00 | 20 | reached |
| count | peak memory | tarn | 100 MiB | processor.MemoryBytes | 256 MiB | 2.56 | 1 | reached |
| rebuild | CPU s per 1 M | tarn |  | goka |  |  | 0.8 | not measured |`, "\n"+figures.TargetTable(verdicts, figures.Markdown))
	require.Equal(t, "2 of 4 reached, 1 missed, 1 not measured", figures.Tally(verdicts))
	require.EqualError(t, figures.Missed(verdicts), "count: tarn is 4.00 times as good as streams (records/s, of its warm rate), asked for is 5.00\n"+
		"rebuild: tarn beside goka was not measured")
	require.NoError(t, figures.Missed(verdicts[1:3]))
}
