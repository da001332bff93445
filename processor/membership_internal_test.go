package processor

import (
	"log/slog"
	"reflect"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tarnstream/tarn/internal/scope"
	"github.com/tarnstream/tarn/state"
)

// Every kind of edge that a group may have is part of the fingerprint, with its topic and its hash, or is known to be no
// matter of which task runs where.
func TestFingerprint_CoversEveryEdge(t *testing.T) {
	apart := map[string]bool{"Outputs": true, "Visits": true, "Effects": true}
	fields := reflect.TypeFor[scope.Group]()
	for i := range fields.NumField() {
		f := fields.Field(i)
		if f.Type.Kind() != reflect.Slice {
			continue
		}
		of := func(topics ...scope.Topic) string {
			g := &scope.Group{Name: "g"}
			edges := reflect.ValueOf(g).Elem().Field(i)
			for _, topic := range topics {
				edge := reflect.New(f.Type.Elem()).Elem()
				if of := edge.FieldByName("Topic"); of.IsValid() {
					of.Set(reflect.ValueOf(topic))
				}
				edges.Set(reflect.Append(edges, edge))
			}
			return fingerprint(g)
		}
		a, b := scope.Topic{Name: "a"}, scope.Topic{Name: "b"}
		if apart[f.Name] {
			require.Equal(t, of(), of(a), f.Name)
			continue
		}
		require.NotEqual(t, of(), of(a), f.Name)
		require.NotEqual(t, of(a), of(b), f.Name)
		require.NotEqual(t, of(a), of(a, b), f.Name)
		require.Equal(t, of(a, b), of(b, a), f.Name)
		require.NotEqual(t, of(a), of(scope.Topic{Name: "a", Hash: scope.CRC32}), f.Name)
	}
	require.Equal(t, "input a by murmur2, join j by CRC-32, lookup k by murmur2, loop l by murmur2, table t by FNV-1a", fingerprint(&scope.Group{
		Inputs: []scope.Input{{Topic: scope.Topic{Name: "l"}, Loop: true}, {Topic: scope.Topic{Name: "a"}}},
		Tables: []scope.Table{{Topic: scope.Topic{Name: "t", Hash: scope.FNV1a}}},
		Reads:  []scope.Read{{Topic: scope.Topic{Name: "k"}, Lookup: true}, {Topic: scope.Topic{Name: "j", Hash: scope.CRC32}}}}))
}

// A task counts as stored here when each of its tables has state: half of it would have to be read all the same.
func TestStored_TasksWithAllTheirTables(t *testing.T) {
	dir, err := state.LockGroup(t.TempDir(), "groups", "g", slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	defer dir.Close()
	env := newEnv(t, "one", "two")
	env.dir = dir
	env.group.Reads = []scope.Read{{Topic: scope.Topic{Name: "joined"}}, {Topic: scope.Topic{Name: "looked-up"}, Lookup: true}}
	require.Empty(t, env.stored())
	for table, partitions := range map[string][]int32{"one": {0, 1, 2, 3}, "two": {1, 2, 3, 4}, "joined": {0, 1, 2, 3}, "looked-up": {0}, "other": {1}} {
		for _, p := range partitions {
			s, err := state.Open(dir.StoreDir(table, p), state.Options{Logger: slog.New(slog.DiscardHandler)})
			require.NoError(t, err)
			if table != "two" || p != 3 { // opened, and nothing more
				require.NoError(t, s.Write(new(state.Batch)))
			}
			require.NoError(t, s.Close())
		}
	}
	require.Equal(t, []int32{1, 2}, env.stored())
}
