package topology

import (
	"fmt"
	"reflect"
	"strings"

	"github.com/tarnstream/tarn/internal/scope"
)

// Edge connects a group with a stream, a table or an effect. Input, Output, Loop, Persist, Join, Lookup, Visit and
// BeforeCommit make edges.
type Edge struct {
	kind   string
	handle interface{ Name() string } // a Handle but for an effect
	visit  string                     // the name of a Visit
	faults []string
	add    func(*scope.Group)
}

// Output allows the group's callbacks to emit to a stream.
func Output[T any](s *Stream[T]) Edge {
	if s == nil {
		return Edge{kind: "Output"}
	}
	return Edge{kind: "Output", handle: s, faults: codecFault(s.codec),
		add: func(g *scope.Group) { g.Outputs = append(g.Outputs, scope.Output{Topic: s.topic}) }}
}

// Persist makes the group the keeper of a table. A group may keep several.
func Persist[T any](t *Table[T]) Edge {
	if t == nil {
		return Edge{kind: "Persist"}
	}
	overlay := func(i int, below scope.Backing) scope.Layer {
		return scope.NewOverlay(t.topic.Name, i, t.codec, below)
	}
	return Edge{kind: "Persist", handle: t, faults: codecFault(t.codec),
		add: func(g *scope.Group) {
			g.Tables = append(g.Tables, scope.Table{Topic: t.topic, NewOverlay: overlay})
		}}
}

func codecFault(c any) []string {
	if c == nil || reflect.ValueOf(c).Kind() == reflect.Pointer && reflect.ValueOf(c).IsNil() {
		return []string{"the codec is nil"}
	}
	return nil
}

// Group is a checked description of a group. Package processor runs it.
type Group struct {
	group scope.Group
}

// Name is the group's name: its consumer group in Kafka.
func (g *Group) Name() string { return g.group.Name }

// Description is for package processor.
func (g *Group) Description() *scope.Group { return &g.group }

// Define checks a description and gives the group. The error is a *DefineError with every fault of the description.
func Define(name string, edges ...Edge) (*Group, error) {
	g := &Group{scope.Group{Name: name}}
	var faults []Fault
	if name == "" {
		faults = append(faults, Fault{Edge: "group", Reason: "the name is empty"})
	}
	used := map[string]string{}
	for i, e := range edges {
		where, bad := e.check(i, used)
		for _, reason := range bad {
			faults = append(faults, Fault{Edge: where, Reason: reason})
		}
		if len(bad) == 0 {
			e.add(&g.group)
		}
	}
	if !hasInput(edges) {
		faults = append(faults, Fault{Edge: "group", Reason: "there is no Input"})
	}
	faults = append(faults, hashFaults(&g.group)...)
	faults = append(faults, letterFaults(&g.group)...)
	faults = append(faults, visitFaults(&g.group)...)
	if len(faults) > 0 {
		return nil, &DefineError{Group: name, Faults: faults}
	}
	return g, nil
}

// letterFaults looks for dead letters that an input's own policy sends to where the group reads or keeps a table.
func letterFaults(g *scope.Group) (faults []Fault) {
	for _, in := range g.Inputs {
		if in.OnError == nil {
			continue
		}
		if reason := g.LetterFault(in.OnError); reason != "" {
			faults = append(faults, Fault{Edge: fmt.Sprintf("%s(%s)", in.Kind(), in.Name), Reason: reason})
		}
	}
	return faults
}

func hasInput(edges []Edge) bool {
	for _, e := range edges {
		if e.kind == "Input" {
			return true
		}
	}
	return false
}

// check gives the edge's name and its faults; used remembers topics and effects by the first edge that
// has them.
func (e Edge) check(i int, used map[string]string) (where string, bad []string) {
	if e.kind == "" {
		return fmt.Sprintf("edge %d", i+1), []string{"it is empty: use Input, Output, Loop, Persist, Join, Lookup, Visit or BeforeCommit"}
	}
	if e.handle == nil {
		return fmt.Sprintf("edge %d, %s", i+1, e.kind), []string{"the handle is nil"}
	}
	if e.kind == visitKind {
		return e.checkVisit(used)
	}
	name := e.handle.Name()
	where = fmt.Sprintf("%s(%s)", e.kind, name)
	bad = append(bad, e.faults...)
	what := "effect"
	if h, ok := e.handle.(Handle); ok {
		what = "topic"
		bad = append(bad, topicFaults(h)...)
	}
	if first, twice := used[what+" "+name]; twice {
		bad = append(bad, fmt.Sprintf("the %s is used already, by %s", what, first))
	} else {
		used[what+" "+name] = where
	}
	return where, bad
}

func topicFaults(h Handle) (bad []string) {
	if reason := scope.NameFault(h.Name()); reason != "" {
		bad = append(bad, reason)
	}
	if n := h.Spec().Partitions; n < 0 {
		bad = append(bad, fmt.Sprintf("%d partitions", n))
	}
	return bad
}

// Fault is one thing wrong with a description and the edge it stands at.
type Fault struct {
	Edge, Reason string
}

// DefineError lists every fault of a description. Mend them all and call Define again.
type DefineError struct {
	Group  string
	Faults []Fault
}

func (e *DefineError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "topology: group %q:", e.Group)
	for i, f := range e.Faults {
		if i > 0 {
			b.WriteString(";")
		}
		fmt.Fprintf(&b, " %s: %s", f.Edge, f.Reason)
	}
	return b.String()
}

// DecodeError says that a record's value could not be decoded. The processor reports it with the record's place.
type DecodeError struct {
	Cause error
}

func (e *DecodeError) Error() string {
	return fmt.Sprintf("topology: value cannot be decoded: %v", e.Cause)
}

// Unwrap gives the codec's error.
func (e *DecodeError) Unwrap() error { return e.Cause }
