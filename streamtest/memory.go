package streamtest

import (
	"bytes"
	"maps"
	"slices"

	"github.com/tarnstream/tarn/internal/scope"
)

// memory is the tables of a Context, by number, and after them those that the group only reads: what a processor has in
// its stores.
type memory []map[string][]byte

// Get implements scope.Backing.
func (m memory) Get(table int, key string) ([]byte, *scope.Mark, bool, error) {
	v, ok := m[table][key]
	return v, nil, ok, nil
}

func (m memory) apply(table int, c scope.Change) {
	if c.Delete {
		delete(m[table], c.Key)
	} else {
		m[table][c.Key] = c.Value
	}
}

// Range implements scope.Backing.
func (m memory) Range(table int) scope.Rows {
	rows := maps.Clone(m[table])
	return &memoryRows{rows: rows, keys: slices.Sorted(maps.Keys(rows)), at: -1}
}

// memoryRows walks over a table as it was at the call of Range.
type memoryRows struct {
	rows map[string][]byte
	keys []string
	at   int
}

func (r *memoryRows) Next() bool {
	if r.at+1 >= len(r.keys) {
		return false
	}
	r.at++
	return true
}

func (r *memoryRows) Key() string   { return r.keys[r.at] }
func (r *memoryRows) Value() []byte { return r.rows[r.keys[r.at]] }
func (r *memoryRows) Err() error    { return nil }
func (r *memoryRows) Close()        {}

// readTable is a table of a Context that the group only reads.
type readTable struct {
	memory
	at int
}

// Get implements scope.ReadBacking.
func (t readTable) Get(key []byte) ([]byte, bool, error) {
	v, ok := t.memory[t.at][string(key)]
	return bytes.Clone(v), ok, nil
}

// Range implements scope.ReadBacking.
func (t readTable) Range() scope.Rows { return t.memory.Range(t.at) }
