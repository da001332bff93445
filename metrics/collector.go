package metrics

import (
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tarnstream/tarn/observe"
)

// collector asks its sources for their Stats at each scrape; nothing is counted twice, and nothing between scrapes.
type collector struct {
	sources []observe.Source

	wholes  families[observe.Stats]
	totals  families[observe.Stats]
	tasks   families[observe.TaskStats]
	inputs  families[observe.InputStats]
	outputs families[observe.OutputStats]
	tables  families[observe.TableStats]
	kept    families[observe.TableStats]
}

// NewCollector makes a collector of what sources tell, any number of Processors and Views. Two members of one group in a
// process need a collector each, registered with a label that tells them apart:
//
//	prometheus.WrapRegistererWith(prometheus.Labels{"member": "a"}, registry).MustRegister(metrics.NewCollector(a))
func NewCollector(sources ...observe.Source) prometheus.Collector {
	return &collector{sources: sources, wholes: wholes(), totals: totals(), tasks: tasks(), inputs: inputs(), outputs: outputs(),
		tables: tables(), kept: kept()}
}

// Describe implements prometheus.Collector.
func (c *collector) Describe(out chan<- *prometheus.Desc) {
	c.wholes.describe(out)
	c.totals.describe(out)
	c.tasks.describe(out)
	c.inputs.describe(out)
	c.outputs.describe(out)
	c.tables.describe(out)
	c.kept.describe(out)
}

// Collect implements prometheus.Collector.
func (c *collector) Collect(out chan<- prometheus.Metric) {
	for _, source := range c.sources {
		s := source.Stats()
		c.wholes.emit(out, s, s.Group, s.Kind)
		if s.Kind == observe.KindProcessor {
			c.totals.emit(out, s, s.Group)
		}
		for partition, t := range s.Tasks {
			c.task(out, s, t, number(partition))
		}
		for _, t := range s.Lookups {
			c.table(out, s, t)
		}
	}
}

func (c *collector) task(out chan<- prometheus.Metric, s observe.Stats, t observe.TaskStats, number string) {
	if s.Kind == observe.KindProcessor {
		c.tasks.emit(out, t, s.Group, number)
	}
	for _, in := range t.Inputs {
		c.inputs.emit(out, in, s.Group, in.Topic, number)
	}
	for _, o := range t.Outputs {
		c.outputs.emit(out, o, s.Group, o.Topic, number)
	}
	for _, table := range t.Tables {
		c.table(out, s, table)
	}
}

func (c *collector) table(out chan<- prometheus.Metric, s observe.Stats, t observe.TableStats) {
	c.tables.emit(out, t, s.Group, t.Topic, number(t.Partition), t.Role)
	if t.Role == observe.RoleKept {
		c.kept.emit(out, t, s.Group, t.Topic, number(t.Partition))
	}
}

func number(partition int32) string { return strconv.Itoa(int(partition)) }

// wholes are of processors and views.
func wholes() families[observe.Stats] {
	fs := families[observe.Stats]{prefix: "tarn_", place: []string{"group", "kind"}}
	fs.flag("running", "1 while Run runs and, of a processor, it is in its group.", func(s observe.Stats) bool { return s.State == observe.StateRunning })
	fs.flag("ready", "1 when every table in this process is current, see the readiness handler for the reasons.",
		func(s observe.Stats) bool { return len(s.Unready()) == 0 })
	fs.add(prometheus.GaugeValue, name{"tasks", "Tasks of this process by state; of a view, partitions.", []string{"state"}}, taskStates)
	fs.add(prometheus.GaugeValue, name{"memory_bytes", "Memory in use of what processor.MemoryBytes bounds, by part.", []string{"part"}}, memory)
	fs.gauge("memory_bound_bytes", "What of it may be in use: 7/16 of processor.MemoryBytes.", func(s observe.Stats) int64 { return s.Memory.Bound })
	fs.counter("restored_records_total", "Records of tables' topics applied by restores, by a view also while following.", func(s observe.Stats) int64 { return s.Restored })
	return fs
}

// totals are what a processor has done since it was made.
func totals() families[observe.Stats] {
	fs := families[observe.Stats]{prefix: "tarn_", place: []string{"group"}}
	fs.counter("records_total", "Input records read past.", func(s observe.Stats) int64 { return s.Records })
	fs.counter("received_bytes_total", "Keys and values of the input records read past.", func(s observe.Stats) int64 { return s.BytesIn })
	fs.counter("null_records_total", "Input records skipped for their null value.", func(s observe.Stats) int64 { return s.Nulls })
	fs.counter("skipped_records_total", "Input records skipped because they could not be handled.", func(s observe.Stats) int64 { return s.Skipped })
	fs.counter("dead_letters_total", "Input records written to a dead letter topic.", func(s observe.Stats) int64 { return s.DeadLetters })
	fs.counter("retries_total", "Further attempts at input records that failed.", func(s observe.Stats) int64 { return s.Retries })
	fs.counter("written_records_total", "Records committed to tables' topics and outputs.", func(s observe.Stats) int64 { return s.RecordsOut })
	fs.counter("written_bytes_total", "Keys and values committed to tables' topics and outputs.", func(s observe.Stats) int64 { return s.BytesOut })
	fs.counter("commits_total", "Commits to Kafka.", func(s observe.Stats) int64 { return s.Commits })
	fs.counter("flushes_total", "Writes of a table partition to disk.", func(s observe.Stats) int64 { return s.Flushes })
	fs.counter("stores_removed_total", "Stores of partitions that moved away, removed for their age.", func(s observe.Stats) int64 { return s.StoresRemoved })
	return fs
}

func memory(s observe.Stats) []sample {
	m := s.Memory
	return []sample{{float64(m.Fixed), []string{"fixed"}}, {float64(m.Stores), []string{"stores"}}, {float64(m.Blocks), []string{"blocks"}},
		{float64(m.Rows), []string{"rows"}}, {float64(m.Layers), []string{"layers"}}, {float64(m.Rebuilds), []string{"rebuilds"}},
		{float64(m.Fetched), []string{"fetched"}}, {float64(m.Producing), []string{"producing"}}}
}

func taskStates(s observe.Stats) []sample {
	states := []string{observe.TaskWaiting, observe.TaskRestoring, observe.TaskRunning, observe.TaskClosing}
	counts := map[string]float64{}
	for _, t := range s.Tasks {
		counts[t.State]++
	}
	samples := make([]sample, len(states))
	for i, state := range states {
		samples[i] = sample{counts[state], []string{state}}
	}
	return samples
}

func tasks() families[observe.TaskStats] {
	fs := families[observe.TaskStats]{prefix: "tarn_task_", place: []string{"group", "task"}}
	fs.flag("held", "1 while a running task handles no record, for one that failed or for a joined table.", func(t observe.TaskStats) bool { return t.Held != "" })
	fs.stamp("last_commit_timestamp_seconds", "When the task's effects were last committed.", func(t observe.TaskStats) time.Time { return t.LastCommit })
	return fs
}

func inputs() families[observe.InputStats] {
	fs := families[observe.InputStats]{prefix: "tarn_input_", place: []string{"group", "topic", "partition"}}
	fs.gauge("position", "Next offset to handle.", func(in observe.InputStats) int64 { return in.Position })
	fs.gauge("committed", "Offset that the group has committed.", func(in observe.InputStats) int64 { return in.Committed })
	fs.gauge("end", "End of the log, as the last fetch told it.", func(in observe.InputStats) int64 { return in.End })
	fs.gauge("lag", "Offsets from the position to the end.", func(in observe.InputStats) int64 { return in.Lag })
	fs.counter("records_total", "Records read past since the partition was assigned.", func(in observe.InputStats) int64 { return in.Records })
	fs.counter("bytes_total", "Keys and values of those records.", func(in observe.InputStats) int64 { return in.Bytes })
	return fs
}

func outputs() families[observe.OutputStats] {
	fs := families[observe.OutputStats]{prefix: "tarn_output_", place: []string{"group", "topic", "task"}}
	fs.counter("records_total", "Records committed to an output since the task was assigned.", func(o observe.OutputStats) int64 { return o.Records })
	fs.counter("bytes_total", "Keys and values of those records.", func(o observe.OutputStats) int64 { return o.Bytes })
	return fs
}

func tables() families[observe.TableStats] {
	fs := families[observe.TableStats]{prefix: "tarn_table_", place: []string{"group", "topic", "partition", "role"}}
	fs.gauge("position", "Next offset of the table's topic to apply.", func(t observe.TableStats) int64 { return t.Position })
	fs.gauge("end", "End of the table's topic; of a kept table as of its last commit.", func(t observe.TableStats) int64 { return t.End })
	fs.gauge("lag", "Offsets from the position to the end.", func(t observe.TableStats) int64 { return t.Lag })
	fs.gauge("flushed", "Position on disk: a crash costs the records from there.", func(t observe.TableStats) int64 { return t.Flushed })
	fs.flag("stale", "1 while reads answer from before a reset.", func(t observe.TableStats) bool { return t.Stale })
	fs.flag("restoring", "1 while the table is brought current.", func(t observe.TableStats) bool { return !t.Restore.Done })
	fs.add(prometheus.GaugeValue, name{name: "restore_ratio", help: "Part of the last restore that is done."}, func(t observe.TableStats) []sample {
		return []sample{{value: t.Restore.Fraction()}}
	})
	fs.add(prometheus.GaugeValue, name{name: "restore_duration_seconds", help: "Time of the last restore so far."}, func(t observe.TableStats) []sample {
		return []sample{{value: t.Restore.Took.Seconds()}}
	})
	return fs
}

// kept are of the tables that the group writes itself.
func kept() families[observe.TableStats] {
	fs := families[observe.TableStats]{prefix: "tarn_table_", place: []string{"group", "topic", "partition"}}
	layer := []string{"layer"}
	fs.add(prometheus.GaugeValue, name{"layer_rows", "Rows in memory over the store, by layer.", layer}, func(t observe.TableStats) []sample {
		return layers(t, func(l observe.LayerStats) float64 { return float64(l.Rows) })
	})
	fs.add(prometheus.GaugeValue, name{"layer_bytes", "Memory of these rows, estimated.", layer}, func(t observe.TableStats) []sample {
		return layers(t, func(l observe.LayerStats) float64 { return float64(l.Bytes) })
	})
	fs.counter("written_records_total", "Records committed to the table's topic since the task was assigned.", func(t observe.TableStats) int64 { return t.Records })
	fs.counter("written_bytes_total", "Keys and values of those records.", func(t observe.TableStats) int64 { return t.Bytes })
	fs.stamp("last_commit_timestamp_seconds", "When changes of the table were last committed.", func(t observe.TableStats) time.Time { return t.LastCommit })
	fs.stamp("last_flush_timestamp_seconds", "When they were last written to disk.", func(t observe.TableStats) time.Time { return t.LastFlush })
	return fs
}

func layers(t observe.TableStats, of func(observe.LayerStats) float64) []sample {
	return []sample{{of(t.Open), []string{"open"}}, {of(t.Sealed), []string{"sealed"}}, {of(t.Committed), []string{"committed"}},
		{of(t.Frozen), []string{"frozen"}}}
}
