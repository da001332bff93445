package processor_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/tarnstream/tarn/codec"
	"github.com/tarnstream/tarn/internal/scope"
	"github.com/tarnstream/tarn/streamtest"
	"github.com/tarnstream/tarn/topology"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m,
		goleak.IgnoreTopFunction("github.com/syndtr/goleveldb/leveldb.(*DB).mpoolDrain"), // ends a second after its DB
		goleak.IgnoreTopFunction("github.com/rcrowley/go-metrics.(*meterArbiter).tick"))  // sarama's, for the life of the process
}

// The group most tests run: it counts clicks by key.
var (
	clicks = topology.NewStream("clicks", codec.String)
	counts = topology.NewTable("clicks-count", codec.Int64)
)

func onClick(ctx *topology.Context, _ string) error {
	n, _, err := counts.Get(ctx)
	if err != nil {
		return err
	}
	return counts.Set(ctx, n+1)
}

func clicker(t *testing.T) *topology.Group {
	return define(t, "clicker", topology.Input(clicks, onClick), topology.Persist(counts))
}

func define(t *testing.T, name string, edges ...topology.Edge) *topology.Group {
	t.Helper()
	g, err := topology.Define(name, edges...)
	require.NoError(t, err)
	return g
}

// partitionOf is the partition of n that a key belongs to by the default hash.
func partitionOf(key string, n int32) int32 { return scope.Murmur2.Partition([]byte(key), n) }

// users gives n keys.
func users(n int) []string {
	keys := make([]string, n)
	for i := range keys {
		keys[i] = fmt.Sprintf("user-%d", i)
	}
	return keys
}

// click sends a click of each key and waits until the group has counted them.
func click(k *streamtest.Kit, g *topology.Group, keys ...string) {
	k.T.Helper()
	for _, key := range keys {
		k.Send("clicks", key, "x")
	}
	k.Settle(g)
}

// requireFold requires that the instance's table is what its topic says, in all of the keys.
func requireFold(k *streamtest.Kit, i *streamtest.Instance, keys ...string) map[string]int64 {
	k.T.Helper()
	rows := streamtest.Read(i, counts, keys...)
	require.Equal(k.T, streamtest.FoldOf(k, counts), rows)
	return rows
}

// smallMemory is little more than a group of one partition and one table cannot do without.
const smallMemory = 24 << 20
