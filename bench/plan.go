package main

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/tarnstream/tarn/bench/figures"
	"github.com/tarnstream/tarn/bench/workload"
)

// section is a part of the measurements that can be asked for by its name.
type section struct {
	name, about string
	kind        figures.Kind
	size        string // what grows from trial to trial, one of the sizes
	trials      []trial
}

// trial is one work, done by several clients by turns.
type trial struct {
	work    string
	job     workload.Job // what is the same for all clients
	clients []entrant
	shape   workload.Shape
}

// entrant is a client with its settings. Its name is the client's, or longer.
type entrant struct {
	name, client string
	session      time.Duration // Job.SessionTimeout
}

// shortSession is Kafka Streams with the shortest session time-out that a broker allows by default.
const shortSession = "streams-session-6s"

// The works that targets speak of.
const (
	countWork   = "count"
	rebuildWork = "rebuild"
	restartWork = "restart"
	killedWork  = "restart after SIGKILL"
)

// What may grow.
const (
	sizePartitions = "partitions"
	sizeKeys       = "keys"
	sizeValues     = figures.ValueBytes
)

// Sections with a way of their own to be measured.
const (
	latencySection = "latency"
	memorySection  = "memory"
)

func shape(records, keys, valueBytes int) workload.Shape {
	return workload.Shape{Partitions: 4, Records: records, Keys: keys, ValueBytes: valueBytes}
}

func entrants(clients ...string) (of []entrant) {
	for _, c := range clients {
		of = append(of, entrant{name: c, client: c})
	}
	return of
}

// mappers are the clients of both guarantees.
func mappers() []entrant {
	return entrants(workload.Tarn, workload.TarnAtLeastOnce, workload.Goka, workload.Streams, workload.StreamsAtLeastOnce)
}

func counters() []entrant {
	return append(mappers(), entrants(workload.StreamsUncached, workload.StreamsExactlyUncached, workload.Sarama)...)
}

func restorers() []entrant {
	return entrants(workload.Tarn, workload.Goka, workload.Streams, workload.LevelDB)
}

func restarters() []entrant {
	return append(growers(), entrant{name: shortSession, client: workload.Streams, session: 6 * time.Second})
}

// lookers read a table.
func lookers() []entrant { return entrants(workload.Tarn, workload.Goka, workload.Streams) }

// growers are few: there are many sizes.
func growers() []entrant {
	return entrants(workload.Tarn, workload.TarnAtLeastOnce, workload.Goka, workload.Streams)
}

// manyReaders is for more readers than a small machine has cores.
const manyReaders = 8

// sections are all there are, in the order in which they are measured.
func sections() []section {
	usual, left, crowded := shape(2_000_000, 100_000, 100), shape(500_000, 100_000, 100), shape(400_000, 100_000, 100)
	crowded.Partitions = 64
	trials := func(all ...trial) []trial { return all }
	lookup := func(work string, readers int) trial {
		return trial{work, workload.Job{Work: workload.Lookup, Readers: readers}, lookers(), shape(1_000_000, 500_000, 100)}
	}
	return append([]section{
		counting(countWork, usual),
		counting("count-keys", shape(5_000_000, 5_000_000, 100)),
		counting("count-values", shape(2_000_000, 100_000, 1<<10)),
		{name: "map", about: "every other record goes on to an output topic with its value changed; no state", kind: figures.Rates,
			trials: trials(trial{"map", workload.Job{Work: workload.Map}, mappers(), usual})},
		rebuilding(rebuildWork, shape(2_000_000, 1_000_000, 100)),
		rebuilding("rebuild-large", shape(10_000_000, 5_000_000, 100)),
		{name: restartWork, about: "from the start of a process to its first record, on the state that the process before has left", kind: figures.Times,
			trials: trials(trial{restartWork, workload.Job{Work: workload.Restart}, restarters(), left},
				trial{killedWork, workload.Job{Work: workload.Restart, Kill: true}, restarters(), left})},
		{name: "lookup", about: "rows of a table are read by their keys", kind: figures.Reads,
			trials: trials(lookup("1 reader", 1), lookup(fmt.Sprintf("%d readers", manyReaders), manyReaders))},
		{name: latencySection, about: "from input topic to output topic at a steady rate", kind: figures.Delays,
			trials: trials(trial{"", workload.Job{Work: workload.Pass}, mappers(), shape(0, 100_000, 100)})},
		{name: memorySection, about: "what processor.MemoryBytes holds many partitions and three tables to", kind: figures.Holding,
			trials: trials(trial{"", workload.Job{Work: workload.Crowd}, entrants(workload.Tarn), crowded})},
	}, growing()...)
}

func counting(name string, s workload.Shape) section {
	return section{name: name, about: "how many records each key has had: state on disk, mirrored to a compacted topic", kind: figures.Rates, trials: []trial{
		{name, workload.Job{Work: workload.Count}, counters(), s}, {"fetch", workload.Job{Work: workload.Fetch}, entrants(workload.Raw), s}}}
}

func rebuilding(name string, s workload.Shape) section {
	return section{name: name, about: "a table's topic is read into an empty directory until the table can be read", kind: figures.Rates,
		trials: []trial{{name, workload.Job{Work: workload.Restore}, restorers(), s}}}
}

// growing are counts whose cost is shown as one size grows.
func growing() []section {
	const million = 1_000_000
	grow := func(size, about string, sizes []int, of func(int) workload.Shape) section {
		s := section{name: "grow-" + size, about: "the count as it grows: " + about, kind: figures.Grows, size: size}
		for _, n := range sizes {
			s.trials = append(s.trials, trial{countWork, workload.Job{Work: workload.Count}, growers(), of(n)})
		}
		return s
	}
	return []section{
		grow(sizePartitions, "1 M records with 100 k keys, values of 100 B", []int{1, 4, 16, 64}, func(n int) workload.Shape {
			s := shape(million, 100_000, 100)
			s.Partitions = n
			return s
		}),
		grow(sizeKeys, "1 M records, or as many as keys, values of 100 B, 4 partitions", []int{10_000, 100_000, million, 10 * million}, func(n int) workload.Shape {
			return shape(max(million, n), n, 100)
		}),
		grow(sizeValues, "1 M records, or 1 GiB of values, with 10 k keys, 4 partitions", []int{16, 256, 4 << 10, 64 << 10}, func(n int) workload.Shape {
			return shape(min(million, (1<<30)/n), 10_000, n)
		}),
	}
}

// x is where a trial stands among those of its section.
func (s section) x(of workload.Shape) float64 {
	switch s.size {
	case sizePartitions:
		return float64(of.Partitions)
	case sizeKeys:
		return float64(of.Keys)
	case sizeValues:
		return float64(of.ValueBytes)
	}
	return 0
}

// title is what a trial of the section is called.
func (s section) title(t trial) string {
	if s.size == "" {
		return t.work
	}
	g := figures.GrowthOf(s.size)
	return fmt.Sprintf("%s, %s: %s", t.work, g.Name, g.Write(s.x(t.shape)))
}

// sized gives the trials the sizes that are asked for.
func (s section) sized(c config) (section, error) {
	for size, n := range map[string]int{sizePartitions: c.shape.Partitions, sizeKeys: c.shape.Keys, sizeValues: c.shape.ValueBytes} {
		if n != 0 && s.size == size {
			return s, fmt.Errorf("bench: section %s has sizes of its own: none can be given", s.name)
		}
	}
	if len(s.trials) == 0 {
		return s, fmt.Errorf("bench: section %s has none of the clients %s", s.name, strings.Join(c.clients, ", "))
	}
	s.trials = slices.Clone(s.trials)
	for i := range s.trials {
		of := &s.trials[i].shape
		of.Records, of.Keys, of.Seed = part(of.Records, c.scale), part(of.Keys, c.scale), c.shape.Seed
		of.Records, of.Keys = cmp.Or(c.shape.Records, of.Records), cmp.Or(c.shape.Keys, of.Keys)
		of.Partitions, of.ValueBytes = cmp.Or(c.shape.Partitions, of.Partitions), cmp.Or(c.shape.ValueBytes, of.ValueBytes)
		if s.name == latencySection { // its records follow from the rate
			c.load.Shape = *of
			if err := c.load.Fault(); err != nil {
				return s, err
			}
		} else if err := of.Fault(); err != nil {
			return s, err
		}
	}
	return s, nil
}

// part is so much of n, but not nothing of something.
func part(n int, scale float64) int { return max(int(float64(n)*scale), min(n, 1)) }

// setup says with how much it is measured.
func (s section) setup() (lines []string) {
	if s.size != "" {
		g := figures.GrowthOf(s.size)
		var sizes []string
		for _, t := range s.trials {
			sizes = append(sizes, g.Write(s.x(t.shape)))
		}
		return []string{g.Name + ": " + strings.Join(sizes, ", ")}
	}
	for _, t := range s.trials {
		if line := describe(t.shape); !slices.Contains(lines, line) {
			lines = append(lines, line)
		}
	}
	return lines
}

func describe(s workload.Shape) string {
	text := ""
	if s.Records > 0 {
		text = figures.Count(float64(s.Records)) + " records with "
	}
	partitions := "1 partition"
	if s.Partitions > 1 {
		partitions = fmt.Sprintf("%d partitions", s.Partitions)
	}
	return fmt.Sprintf("%s%s keys, values of %s, %s", text, figures.Count(float64(s.Keys)), figures.Bytes(float64(s.ValueBytes)), partitions)
}

// clientNames are those of all sections.
func clientNames() (names []string) {
	for _, s := range sections() {
		for _, t := range s.trials {
			for _, e := range t.clients {
				if !slices.Contains(names, e.name) {
					names = append(names, e.name)
				}
			}
		}
	}
	return names
}

// pick gives the named sections in their order, or an error for a name that is none.
func pick(names []string) (picked []section, err error) {
	all := sections()
	if slices.Equal(names, []string{"all"}) {
		return all, nil
	}
	for _, name := range names {
		if !slices.ContainsFunc(all, func(s section) bool { return s.name == name }) {
			return nil, fmt.Errorf("bench: no section %q; -h names them", name)
		}
	}
	return slices.DeleteFunc(all, func(s section) bool { return !slices.Contains(names, s.name) }), nil
}

// only leaves out clients that are not among those named, and trials that have none left.
func (s section) only(clients []string) section {
	if len(clients) == 0 {
		return s
	}
	var trials []trial
	for _, t := range s.trials {
		t.clients = slices.DeleteFunc(t.clients, func(e entrant) bool { return !slices.Contains(clients, e.name) })
		if len(t.clients) > 0 {
			trials = append(trials, t)
		}
	}
	s.trials = trials
	return s
}

// turned has each client first in its turn.
func turned[C any](clients []C, round int) []C {
	if len(clients) == 0 {
		return nil
	}
	first := (round%len(clients) + len(clients)) % len(clients)
	return slices.Concat(clients[first:], clients[:first])
}
