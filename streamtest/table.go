package streamtest

import (
	"github.com/tarnstream/tarn/processor"
	"github.com/tarnstream/tarn/topology"
)

// FoldOf is Fold with the table's values decoded: what the table must hold.
func FoldOf[T any](k *Kit, table *topology.Table[T]) map[string]T {
	k.T.Helper()
	rows := map[string]T{}
	for key, data := range k.Fold(table.Name()) {
		v, err := table.Codec().Decode([]byte(data))
		if err != nil {
			k.T.Fatalf("%s: key %q: %v", table.Name(), key, err)
		}
		rows[key] = v
	}
	return rows
}

// Read reads the given keys of a table from an instance that keeps all of its partitions; absent ones are left out.
func Read[T any](i *Instance, table *topology.Table[T], keys ...string) map[string]T {
	i.kit.T.Helper()
	rows := map[string]T{}
	for _, key := range keys {
		v, ok, err := processor.Get(i.Processor, table, key)
		if err != nil {
			i.kit.T.Fatalf("%s: key %q: %v", table.Name(), key, err)
		}
		if ok {
			rows[key] = v
		}
	}
	return rows
}
