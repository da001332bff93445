package metrics

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tarnstream/tarn/observe"
)

// family is one metric over things of type T: with the labels of where they are, and of its own.
type family[T any] struct {
	desc *prometheus.Desc
	kind prometheus.ValueType
	// read gives the samples: each a value with the family's own labels.
	read func(T) []sample
}

type sample struct {
	value  float64
	labels []string
}

// emit sends the samples of v, which is at the given place.
func (f family[T]) emit(out chan<- prometheus.Metric, v T, place ...string) {
	for _, s := range f.read(v) {
		labels := append(append([]string{}, place...), s.labels...)
		out <- prometheus.MustNewConstMetric(f.desc, f.kind, s.value, labels...)
	}
}

// families makes the metrics of one kind of thing. The labels of a place come first.
type families[T any] struct {
	prefix string
	place  []string
	all    []family[T]
}

func (fs *families[T]) add(kind prometheus.ValueType, called name, read func(T) []sample) {
	labels := append(append([]string{}, fs.place...), called.labels...)
	fs.all = append(fs.all, family[T]{prometheus.NewDesc(fs.prefix+called.name, called.help, labels, nil), kind, read})
}

// name is a metric's name behind the prefix, its help, and its own labels.
type name struct {
	name, help string
	labels     []string
}

func (fs *families[T]) counter(called, help string, read func(T) int64) {
	fs.add(prometheus.CounterValue, name{name: called, help: help}, func(v T) []sample { return []sample{{value: float64(read(v))}} })
}

// gauge leaves out what is not known.
func (fs *families[T]) gauge(called, help string, read func(T) int64) {
	fs.add(prometheus.GaugeValue, name{name: called, help: help}, func(v T) []sample {
		n := read(v)
		if n == observe.Unknown {
			return nil
		}
		return []sample{{value: float64(n)}}
	})
}

// stamp leaves out what has not happened.
func (fs *families[T]) stamp(called, help string, read func(T) time.Time) {
	fs.add(prometheus.GaugeValue, name{name: called, help: help}, func(v T) []sample {
		at := read(v)
		if at.IsZero() {
			return nil
		}
		return []sample{{value: float64(at.UnixNano()) / 1e9}}
	})
}

// flag is 1 or 0.
func (fs *families[T]) flag(called, help string, read func(T) bool) {
	fs.add(prometheus.GaugeValue, name{name: called, help: help}, func(v T) []sample { return []sample{{value: oneIf(read(v))}} })
}

func oneIf(is bool) float64 {
	if is {
		return 1
	}
	return 0
}

func (fs *families[T]) describe(out chan<- *prometheus.Desc) {
	for _, f := range fs.all {
		out <- f.desc
	}
}

func (fs *families[T]) emit(out chan<- prometheus.Metric, v T, place ...string) {
	for _, f := range fs.all {
		f.emit(out, v, place...)
	}
}
