package metrics_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/prometheus/common/expfmt"
	"github.com/stretchr/testify/require"

	"github.com/tarnstream/tarn/codec"
	"github.com/tarnstream/tarn/metrics"
	"github.com/tarnstream/tarn/observe"
	"github.com/tarnstream/tarn/processor"
	"github.com/tarnstream/tarn/streamtest"
	"github.com/tarnstream/tarn/topology"
)

// fixed is a source that stands still.
type fixed observe.Stats

func (f fixed) Stats() observe.Stats { return observe.Stats(f) }

// busy is a processor of which every figure is another, and a view with a partition that is rebuilt.
func busy() []observe.Source {
	p := observe.Stats{Group: "clicker", Kind: observe.KindProcessor, State: observe.StateRunning, Records: 1, BytesIn: 2, Nulls: 3, Skipped: 4,
		DeadLetters: 5, Retries: 6, RecordsOut: 7, BytesOut: 8, Restored: 9, Commits: 10, Flushes: 11, StoresRemoved: 12,
		Tasks: map[int32]observe.TaskStats{
			2: {State: observe.TaskRunning, Held: "a record waits", LastCommit: time.UnixMilli(1500),
				Inputs:  []observe.InputStats{{Topic: "clicks", Position: 20, Committed: 21, End: 25, Lag: 5, Records: 22, Bytes: 23}},
				Outputs: []observe.OutputStats{{Topic: "out", Records: 30, Bytes: 31}},
				Tables: []observe.TableStats{{Topic: "counts", Partition: 2, Role: observe.RoleKept, Position: 40, End: 41, Lag: 1, Flushed: 42,
					Open: observe.LayerStats{Rows: 43, Bytes: 44}, Sealed: observe.LayerStats{Rows: 45, Bytes: 46},
					Committed: observe.LayerStats{Rows: 47, Bytes: 48}, Frozen: observe.LayerStats{Rows: 49, Bytes: 50},
					Records: 51, Bytes: 52, LastCommit: time.UnixMilli(2500), LastFlush: time.UnixMilli(3500),
					Restore: observe.RestoreStats{Decision: "ready", Done: true, Took: 1500 * time.Millisecond}}}},
			3: {State: observe.TaskRestoring, Tables: []observe.TableStats{{Topic: "counts", Partition: 3, Role: observe.RoleKept,
				Position: observe.Unknown, End: observe.Unknown, Lag: observe.Unknown, Flushed: observe.Unknown}}},
		},
		Lookups: []observe.TableStats{{Topic: "names", Partition: 7, Role: observe.RoleLookedUp, Position: 60, End: 60, Flushed: 60,
			Restore: observe.RestoreStats{Decision: "ready", Done: true}}}}
	v := observe.Stats{Group: "watch", Kind: observe.KindView, State: observe.StateRunning, Restored: 70, Tasks: map[int32]observe.TaskStats{
		0: {State: observe.TaskRunning, Tables: []observe.TableStats{{Topic: "counts", Role: observe.RoleViewed, Position: 71, End: 80, Lag: 9, Flushed: 71,
			Stale: true, Restore: observe.RestoreStats{Decision: "rebuild", From: 70, Position: 71, End: 80, Took: 2 * time.Second}}}}}}
	return []observe.Source{fixed(p), fixed(v)}
}

// The names and helps are what Prometheus asks for.
func TestNewCollector_Lint(t *testing.T) {
	problems, err := testutil.CollectAndLint(metrics.NewCollector(busy()...))
	require.NoError(t, err)
	require.Empty(t, problems)
}

// lines are the samples of one metric, as Prometheus reads them.
func lines(t *testing.T, c prometheus.Collector, name string) []string {
	t.Helper()
	text, err := testutil.CollectAndFormat(c, expfmt.TypeTextPlain, name)
	require.NoError(t, err)
	var out []string
	for line := range strings.Lines(string(text)) {
		if !strings.HasPrefix(line, "#") {
			out = append(out, strings.TrimSpace(strings.TrimPrefix(line, name)))
		}
	}
	return out
}

func TestNewCollector_EveryFigure(t *testing.T) {
	const kept = `{group="clicker",partition="2",topic="counts"`
	for name, want := range map[string][]string{
		"tarn_running":                   {`{group="clicker",kind="processor"} 1`, `{group="watch",kind="view"} 1`},
		"tarn_ready":                     {`{group="clicker",kind="processor"} 0`, `{group="watch",kind="view"} 0`},
		"tarn_restored_records_total":    {`{group="clicker",kind="processor"} 9`, `{group="watch",kind="view"} 70`},
		"tarn_records_total":             {`{group="clicker"} 1`},
		"tarn_received_bytes_total":      {`{group="clicker"} 2`},
		"tarn_null_records_total":        {`{group="clicker"} 3`},
		"tarn_skipped_records_total":     {`{group="clicker"} 4`},
		"tarn_dead_letters_total":        {`{group="clicker"} 5`},
		"tarn_retries_total":             {`{group="clicker"} 6`},
		"tarn_written_records_total":     {`{group="clicker"} 7`},
		"tarn_written_bytes_total":       {`{group="clicker"} 8`},
		"tarn_commits_total":             {`{group="clicker"} 10`},
		"tarn_flushes_total":             {`{group="clicker"} 11`},
		"tarn_stores_removed_total":      {`{group="clicker"} 12`},
		"tarn_task_held":                 {`{group="clicker",task="2"} 1`, `{group="clicker",task="3"} 0`},
		"tarn_input_position":            {`{group="clicker",partition="2",topic="clicks"} 20`},
		"tarn_input_committed":           {`{group="clicker",partition="2",topic="clicks"} 21`},
		"tarn_input_end":                 {`{group="clicker",partition="2",topic="clicks"} 25`},
		"tarn_input_lag":                 {`{group="clicker",partition="2",topic="clicks"} 5`},
		"tarn_input_records_total":       {`{group="clicker",partition="2",topic="clicks"} 22`},
		"tarn_input_bytes_total":         {`{group="clicker",partition="2",topic="clicks"} 23`},
		"tarn_output_records_total":      {`{group="clicker",task="2",topic="out"} 30`},
		"tarn_output_bytes_total":        {`{group="clicker",task="2",topic="out"} 31`},
		"tarn_table_written_bytes_total": {kept + `} 52`, `{group="clicker",partition="3",topic="counts"} 0`},
		// what is not known or has not happened is left out
		"tarn_table_position": {`{group="clicker",partition="2",role="kept",topic="counts"} 40`,
			`{group="clicker",partition="7",role="looked up",topic="names"} 60`, `{group="watch",partition="0",role="viewed",topic="counts"} 71`},
		"tarn_table_lag": {`{group="clicker",partition="2",role="kept",topic="counts"} 1`,
			`{group="clicker",partition="7",role="looked up",topic="names"} 0`, `{group="watch",partition="0",role="viewed",topic="counts"} 9`},
		"tarn_task_last_commit_timestamp_seconds":  {`{group="clicker",task="2"} 1.5`},
		"tarn_table_last_commit_timestamp_seconds": {kept + `} 2.5`},
		"tarn_table_last_flush_timestamp_seconds":  {kept + `} 3.5`},
		"tarn_table_restore_ratio": {`{group="clicker",partition="2",role="kept",topic="counts"} 1`, `{group="clicker",partition="3",role="kept",topic="counts"} 0`,
			`{group="clicker",partition="7",role="looked up",topic="names"} 1`, `{group="watch",partition="0",role="viewed",topic="counts"} 0.1`},
		"tarn_table_stale": {`{group="clicker",partition="2",role="kept",topic="counts"} 0`, `{group="clicker",partition="3",role="kept",topic="counts"} 0`,
			`{group="clicker",partition="7",role="looked up",topic="names"} 0`, `{group="watch",partition="0",role="viewed",topic="counts"} 1`},
	} {
		require.Equal(t, want, lines(t, metrics.NewCollector(busy()...), name), name)
	}
}

func TestNewCollector_StatesAndLayers(t *testing.T) {
	c := metrics.NewCollector(busy()...)
	require.Equal(t, []string{
		`{group="clicker",kind="processor",state="closing"} 0`, `{group="clicker",kind="processor",state="restoring"} 1`,
		`{group="clicker",kind="processor",state="running"} 1`, `{group="clicker",kind="processor",state="waiting"} 0`,
		`{group="watch",kind="view",state="closing"} 0`, `{group="watch",kind="view",state="restoring"} 0`,
		`{group="watch",kind="view",state="running"} 1`, `{group="watch",kind="view",state="waiting"} 0`}, lines(t, c, "tarn_tasks"))
	var rows, bytes []string
	for i, layer := range []string{"committed", "frozen", "open", "sealed"} {
		at := fmt.Sprintf(`{group="clicker",layer="%s",partition="2",topic="counts"} `, layer)
		rows = append(rows, at+fmt.Sprint([]int{47, 49, 43, 45}[i]))
		bytes = append(bytes, at+fmt.Sprint([]int{48, 50, 44, 46}[i]))
	}
	require.Subset(t, lines(t, c, "tarn_table_layer_rows"), rows)
	require.Subset(t, lines(t, c, "tarn_table_layer_bytes"), bytes)
}

// Two members of one group in a process are told apart by a label.
func TestNewCollector_TwoMembersOfAGroup(t *testing.T) {
	registry := prometheus.NewRegistry()
	for _, member := range []string{"a", "b"} {
		prometheus.WrapRegistererWith(prometheus.Labels{"member": member}, registry).MustRegister(metrics.NewCollector(busy()[0]))
	}
	n, err := testutil.GatherAndCount(registry, "tarn_records_total")
	require.NoError(t, err)
	require.Equal(t, 2, n)
}

var (
	clicks = topology.NewStream("clicks", codec.String)
	counts = topology.NewTable("counts", codec.Int64)
)

// A processor and a view over their life: nothing that they tell breaks a scrape.
func TestNewCollector_OverALife(t *testing.T) {
	g, err := topology.Define("clicker", topology.Persist(counts), topology.Input(clicks, func(ctx *topology.Context, v string) error {
		if v == "bad" {
			return errors.New("bad")
		}
		return counts.Set(ctx, 1)
	}))
	require.NoError(t, err)
	streamtest.Run(t, func(k *streamtest.Kit) {
		k.Topic("clicks", 2)
		a := k.Launch("a", g)
		v, err := processor.NewView(counts, k.Options("view")...)
		require.NoError(k.T, err)
		c := metrics.NewCollector(a.Processor, v)
		scrape := func() {
			k.T.Helper()
			problems, err := testutil.CollectAndLint(c)
			require.NoError(k.T, err)
			require.Empty(k.T, problems)
		}
		scrape()
		<-a.Processor.Ready()
		ctx, cancel := context.WithCancel(k.T.Context())
		done := make(chan error, 1)
		go func() { done <- v.Run(ctx) }()
		<-v.Ready()
		for i := range 10 {
			k.Send("clicks", fmt.Sprint("user-", i), "x")
		}
		k.Settle(g)
		require.NoError(k.T, v.Sync(k.T.Context()))
		scrape()
		require.Equal(k.T, []string{`{group="clicker"} 10`}, lines(k.T, c, "tarn_records_total"))
		require.Equal(k.T, []string{`{group="clicker",kind="processor"} 1`, `{group="counts",kind="view"} 1`}, lines(k.T, c, "tarn_ready"))
		cancel()
		require.NoError(k.T, <-done)
		k.Send("clicks", "user-1", "bad")
		require.Error(k.T, a.Wait())
		scrape()
		require.Equal(k.T, []string{`{group="clicker",kind="processor"} 0`, `{group="counts",kind="view"} 0`}, lines(k.T, c, "tarn_running"))
		require.Equal(k.T, []string{`{group="clicker"} 10`}, lines(k.T, c, "tarn_records_total"))
	})
}

func ExampleNewCollector() {
	registry := prometheus.NewRegistry()
	registry.MustRegister(metrics.NewCollector(busy()...)) // busy gives a Processor and a View
	n, err := testutil.GatherAndCount(registry, "tarn_input_lag")
	fmt.Println(n, err)
	// Output: 1 <nil>
}
