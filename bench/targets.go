package main

import (
	"github.com/tarnstream/tarn/bench/figures"
	"github.com/tarnstream/tarn/bench/workload"
)

// memoryOption is what processor.MemoryBytes is without being set.
const memoryOption = 256 << 20

// contest is a client's work, of which several figures are compared.
type contest struct{ work, client string }

func (c contest) target(m figures.Measure, peer string, least float64) figures.Target {
	return figures.Target{Work: c.work, Client: c.client, Measure: m, Peer: peer, Least: least}
}

// bound is a target for what the process may have of its option.
func (c contest) bound() figures.Target {
	t := c.target(figures.Peak, "processor.MemoryBytes", 1)
	t.Limit = memoryOption
	return t
}

// tail is what a kill may leave to be read again: the records of a flush interval and a commit interval, tarn's defaults.
func (c contest) tail() figures.Target {
	t := c.target(figures.Restored, "what comes in 5.1 s", 1)
	t.Limit = workload.TrafficRate * 5.1
	return t
}

// targetSections are those that measure what the targets speak of.
func targetSections() []string { return []string{countWork, rebuildWork, restartWork} }

// targets are the figures to reach. Where a client has both guarantees it is compared to the peer's with the same. Kafka Streams is
// compared with its cache, which is its default, and without, which takes less of the processor.
func targets() []figures.Target {
	var (
		atLeastOnce = contest{countWork, workload.TarnAtLeastOnce}
		exactlyOnce = contest{countWork, workload.Tarn}
		rebuilt     = contest{rebuildWork, workload.Tarn}
		killed      = contest{killedWork, workload.Tarn}
	)
	return []figures.Target{
		atLeastOnce.target(figures.Rate, workload.Goka, 8),
		atLeastOnce.target(figures.Rate, workload.StreamsAtLeastOnce, 6),
		atLeastOnce.target(figures.OfWarm, workload.StreamsAtLeastOnce, 5),
		atLeastOnce.target(figures.Rate, workload.StreamsUncached, 6),
		atLeastOnce.target(figures.OfWarm, workload.StreamsUncached, 5),
		atLeastOnce.target(figures.Rate, workload.Sarama, 0.8),
		exactlyOnce.target(figures.Rate, workload.Streams, 6),
		exactlyOnce.target(figures.OfWarm, workload.Streams, 5),
		exactlyOnce.target(figures.Rate, workload.StreamsExactlyUncached, 6),
		exactlyOnce.target(figures.OfWarm, workload.StreamsExactlyUncached, 5),
		exactlyOnce.target(figures.Rate, workload.TarnAtLeastOnce, 0.85),
		atLeastOnce.target(figures.CPU, workload.Goka, 8),
		atLeastOnce.target(figures.CPU, workload.StreamsAtLeastOnce, 8),
		atLeastOnce.target(figures.CPU, workload.StreamsUncached, 8),
		exactlyOnce.target(figures.CPU, workload.Streams, 8),
		exactlyOnce.target(figures.CPU, workload.StreamsExactlyUncached, 8),
		rebuilt.target(figures.Rate, workload.Goka, 5),
		rebuilt.target(figures.Rate, workload.Streams, 3.5),
		rebuilt.target(figures.Rate, workload.LevelDB, 2),
		killed.target(figures.Time, workload.Goka, 10),
		killed.target(figures.Time, shortSession, 5),
		killed.target(figures.Time, workload.Streams, 20),
		killed.tail(),
		exactlyOnce.target(figures.Peak, workload.Goka, 1),
		exactlyOnce.target(figures.Peak, workload.Streams, 2),
		exactlyOnce.bound(),
		rebuilt.target(figures.Peak, workload.Goka, 1),
		rebuilt.target(figures.Peak, workload.Streams, 2),
		rebuilt.bound(),
	}
}

// ratio is a flag that asks for a least ratio of two rates.
type ratio struct {
	name, usage string
	figures.Target
}

func ratios() []ratio {
	rate := func(work, client, peer string) figures.Target {
		return figures.Target{Work: work, Measure: figures.Rate, Client: client, Peer: peer}
	}
	return []ratio{
		{"count-ratio", "fail when tarn's count, at least once as goka's is, is not at least so many times as fast as goka's", rate(countWork, workload.TarnAtLeastOnce, workload.Goka)},
		{"cpu-ratio", "the same of processor time: fail when goka does not take at least so many times as much", figures.Target{Work: countWork, Measure: figures.CPU, Client: workload.TarnAtLeastOnce, Peer: workload.Goka}},
		{"guarantee-ratio", "fail when tarn's count exactly once is not at least so many times as fast as at least once", rate(countWork, workload.Tarn, workload.TarnAtLeastOnce)},
		{"restore-ratio", "fail when tarn's rebuild is not at least so many times as fast as goka's", rate(rebuildWork, workload.Tarn, workload.Goka)},
	}
}
