package topology

import (
	"fmt"

	"github.com/tarnstream/tarn/internal/scope"
)

// Visit names a callback that processor.Processor.Visit runs over every row of a table that the group keeps, among the
// records: to expire rows, to sum them up, to write them anew. In fn the row's key is the key in hand: Get, Set and Delete
// of any table of the group are about it, and there is no other record: Topic is the table's, Offset is -1, there are no
// headers, and Timestamp, which is that of what fn writes, is the present.
//
// What fn writes for one key takes effect when it returns nil, all of it or, after an error or a panic, nothing; then the
// visit ends. fn must not start another visit and wait for it.
func Visit[T any](name string, t *Table[T], fn func(ctx *Context, key string, value T) error) Edge {
	if t == nil {
		return Edge{kind: visitKind}
	}
	e := Edge{kind: visitKind, handle: t, visit: name}
	if fn == nil {
		e.faults = append(e.faults, "the callback is nil")
	}
	call := func(f *scope.Frame) error {
		v, err := t.codec.Decode(f.Record().Value)
		if err != nil {
			return &DecodeError{Cause: err}
		}
		return fn(contextOf(f), string(f.Record().Key), v)
	}
	e.add = func(g *scope.Group) {
		g.Visits = append(g.Visits, scope.Visit{Name: name, Table: t.topic, Call: call})
	}
	return e
}

const visitKind = "Visit"

// checkVisit is check for an edge that is known by a name of its own. Its table's topic is another edge's.
func (e Edge) checkVisit(used map[string]string) (where string, bad []string) {
	where = fmt.Sprintf("Visit(%s)", e.visit)
	bad = append(bad, e.faults...)
	if e.visit == "" {
		bad = append(bad, "the name is empty")
	}
	if _, twice := used[where]; twice {
		bad = append(bad, "the name is used already")
	}
	used[where] = where // no topic has parentheses
	return where, bad
}

// visitFaults looks for visits of tables that another group keeps, or nobody.
func visitFaults(g *scope.Group) (faults []Fault) {
	for _, v := range g.Visits {
		if g.TableIndex(v.Table.Handle) < 0 {
			faults = append(faults, Fault{Edge: fmt.Sprintf("Visit(%s)", v.Name),
				Reason: fmt.Sprintf("the group does not keep table %s: add Persist", v.Table.Name)})
		}
	}
	return faults
}
