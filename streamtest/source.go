package streamtest

import (
	"testing"

	"github.com/tarnstream/tarn/topology"
)

// Source is what records and rows are read from: a Context or a Kit.
type Source interface {
	tb() testing.TB
	// written gives the records of a topic.
	written(topic topology.Handle) []placed
	// rows gives what a table holds.
	rows(table topology.Handle) map[string][]byte
}

// Records gives the records of a stream or of a table's topic. From a Context: what its callbacks wrote, in the order of
// their calls; the changes of one call to a table come in the order in which it first wrote their keys, each key once.
// From a Kit: what is committed in the topic, partition by partition.
func Records[T any](from Source, h Handle[T]) []Record[T] {
	from.tb().Helper()
	var out []Record[T]
	for _, p := range from.written(h) {
		r, err := decode(h, p)
		if err != nil {
			from.tb().Fatalf("streamtest: %v", err)
		}
		out = append(out, r)
	}
	return out
}

// Rows gives a table's rows by key. From a Context: as its callbacks left them. From a Kit: the fold of the table's
// topic, and the test fails where an instance that keeps the table answers otherwise, be it with a key that is gone; a
// partition that no running instance has current yet is waited for. Settle first.
func Rows[T any](from Source, table Handle[T]) map[string]T {
	from.tb().Helper()
	if k, ok := from.(*Kit); ok {
		return compare(k, table)
	}
	return decodeRows(from.tb(), table, from.rows(table))
}

func decodeRows[T any](t testing.TB, table Handle[T], rows map[string][]byte) map[string]T {
	t.Helper()
	out := make(map[string]T, len(rows))
	for key, data := range rows {
		v, err := table.Codec().Decode(data)
		if err != nil {
			t.Fatalf("streamtest: %s: the value of key %.64q cannot be decoded: %v", table.Name(), key, err)
		}
		out[key] = v
	}
	return out
}
