package streamtest

import (
	"bytes"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"
)

// expectPatience is how long an Expect waits.
const expectPatience = time.Minute

// Expect waits until the next records of a stream, or of a table's topic, are the wanted ones, for a minute of virtual
// time, and gives them as they came. Next are those that no Expect has met. The records of one key are wanted in order;
// between keys there is none. Of a wanted record the key and the value count; headers and time do where they are given.
// Without any wanted record Expect lets a second pass and wants that nothing has come.
func Expect[T any](k *Kit, h Handle[T], want ...Record[T]) []Record[T] {
	k.t.Helper()
	if len(want) == 0 {
		k.Advance(time.Second)
		if next := unmet(k, h); len(next) > 0 {
			k.t.Fatalf("streamtest: %s: nothing more was expected, but there is\n%s", h.Name(), listed(next))
		}
		return nil
	}
	var m met[T]
	k.within(expectPatience, func() bool {
		m = match(h, unmet(k, h), want)
		return m.missing == nil || m.instead != nil
	})
	if m.missing != nil {
		k.t.Fatalf("streamtest: %s: %v\n%s", h.Name(), m, k.status())
	}
	for _, r := range m.got {
		k.expected[h.Name()][place{r.Partition, r.Offset}] = true
	}
	return m.got
}

// met is how far records are those that were wanted.
type met[T any] struct {
	got     []Record[T]
	missing *Record[T] // the first wanted one that is not there
	instead *Record[T] // the one that came in its place
	rest    []Record[T]
}

func (m met[T]) String() string {
	var b strings.Builder
	show := func(before string, r Record[T]) {
		fmt.Fprintf(&b, "%s\n\t%v", before, r)
		if !m.missing.Time.IsZero() {
			fmt.Fprintf(&b, " at %v", r.Time)
		}
	}
	show("expected", *m.missing)
	switch {
	case m.instead != nil:
		show("\nbut this came:", *m.instead)
	case len(m.rest) > 0:
		b.WriteString("\nbut this is all that came:\n" + listed(m.rest))
	default:
		b.WriteString("\nbut nothing came")
	}
	return b.String()
}

// match takes for each wanted record the next one of its key.
func match[T any](h Handle[T], next, want []Record[T]) met[T] {
	m := met[T]{rest: next}
	for _, w := range want {
		at := slices.IndexFunc(m.rest, func(r Record[T]) bool { return r.Key == w.Key && r.NullKey == w.NullKey })
		if at < 0 || !same(h, m.rest[at], w) {
			m.missing = &w
			if at >= 0 {
				m.instead = &m.rest[at]
			}
			return m
		}
		m.got = append(m.got, m.rest[at])
		m.rest = slices.Delete(slices.Clone(m.rest), at, at+1)
	}
	return m
}

// same compares what is given in a wanted record. Values are the same, too, when their bytes are.
func same[T any](h Handle[T], r, want Record[T]) bool {
	if r.NullValue != want.NullValue || !want.Time.IsZero() && !r.Time.Equal(want.Time) || len(want.Headers) > 0 && !reflect.DeepEqual(r.Headers, want.Headers) {
		return false
	}
	if r.NullValue || reflect.DeepEqual(r.Value, want.Value) {
		return true
	}
	a, errA := h.Codec().Encode(nil, r.Value)
	b, errB := h.Codec().Encode(nil, want.Value)
	return errA == nil && errB == nil && bytes.Equal(a, b)
}

// unmet gives the records of a topic that no Expect has met.
func unmet[T any](k *Kit, h Handle[T]) []Record[T] {
	k.t.Helper()
	if k.expected[h.Name()] == nil {
		k.expected[h.Name()] = map[place]bool{}
	}
	return slices.DeleteFunc(Records(k, h), func(r Record[T]) bool { return k.expected[h.Name()][place{r.Partition, r.Offset}] })
}

// listed shows records with their places, a line each.
func listed[T any](records []Record[T]) string {
	lines := make([]string, len(records))
	for i, r := range records {
		lines[i] = fmt.Sprintf("\t%v, partition %d, offset %d", r, r.Partition, r.Offset)
	}
	return strings.Join(lines, "\n")
}
