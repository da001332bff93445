package topology_test

import (
	"errors"
	"maps"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tarnstream/tarn/codec"
	"github.com/tarnstream/tarn/internal/scope"
	"github.com/tarnstream/tarn/topology"
)

// memory is a table of somebody else.
type memory map[string]string

func (m memory) Get(key []byte) ([]byte, bool, error) {
	if m == nil {
		return nil, false, errors.New("disk")
	}
	v, ok := m[string(key)]
	return []byte(v), ok, nil
}

func (m memory) Range() scope.Rows { return &memoryRows{m: m, keys: slices.Sorted(maps.Keys(m))} }

type memoryRows struct {
	m      memory
	keys   []string
	key    string
	closed bool
}

func (r *memoryRows) Next() bool {
	if r.closed || len(r.keys) == 0 {
		return false
	}
	r.key, r.keys = r.keys[0], r.keys[1:]
	return true
}

func (r *memoryRows) Key() string   { return r.key }
func (r *memoryRows) Value() []byte { return []byte(r.m[r.key]) }
func (r *memoryRows) Err() error    { return nil }
func (r *memoryRows) Close()        { r.closed = true }

var (
	orders    = topology.NewStream("orders", codec.String)
	owned     = topology.NewTable("customers", codec.Int64)
	customers = owned.ReadOnly()
	rates     = topology.NewReadTable("rates", codec.String)
)

// onOrder runs fn as the callback of a record with a key, or with a null one.
func onOrder(t *testing.T, key []byte, fn func(ctx *topology.Context)) {
	t.Helper()
	g, err := topology.Define("g", topology.Join(customers), topology.Lookup(rates),
		topology.Input(orders, func(ctx *topology.Context, _ string) error { fn(ctx); return nil }))
	require.NoError(t, err)
	f := scope.NewFrame(t.Context(), g.Description(), nil)
	f.SetTask(scope.Murmur2.Partition([]byte("ann"), 4), 4)
	f.SetReads([]scope.ReadBacking{memory{"ann": "\x00\x00\x00\x00\x00\x00\x00\x07", "bad": "x"}, memory{"ann": "own", "eur": "", "usd": "1.1"}})
	require.NoError(t, f.Run(scope.Record{Key: key, Value: []byte("v")}, g.Description().Inputs[0].Call))
}

func TestReadTable_GetAndGetKey(t *testing.T) {
	onOrder(t, []byte("ann"), func(ctx *topology.Context) {
		n, ok, err := customers.Get(ctx)
		require.NoError(t, err)
		require.True(t, ok)
		require.EqualValues(t, 7, n)
		n, ok, err = owned.ReadOnly().GetKey(ctx, "ann")
		require.NoError(t, err, "every handle of ReadOnly is the same one")
		require.True(t, ok)
		require.EqualValues(t, 7, n)
		s, ok, err := rates.Get(ctx)
		require.NoError(t, err)
		require.True(t, ok)
		require.Equal(t, "own", s)
		s, ok, err = rates.GetKey(ctx, "eur")
		require.NoError(t, err)
		require.True(t, ok, "an empty value is a value")
		require.Empty(t, s)
		_, ok, err = rates.GetKey(ctx, "gbp")
		require.NoError(t, err)
		require.False(t, ok)
	})
}

func TestReadTable_Refuses(t *testing.T) {
	var kept *topology.Context
	onOrder(t, nil, func(ctx *topology.Context) {
		kept = ctx
		_, _, err := customers.Get(ctx)
		require.ErrorIs(t, err, topology.ErrNullKey)
		_, _, err = rates.Get(ctx)
		require.ErrorIs(t, err, topology.ErrNullKey)
		other := ""
		for _, key := range []string{"a", "b", "c", "d", "e", "f"} {
			if scope.Murmur2.Partition([]byte(key), 4) != scope.Murmur2.Partition([]byte("ann"), 4) {
				other = key
			}
		}
		var p *topology.PartitionError
		_, _, err = customers.GetKey(ctx, other)
		require.ErrorAs(t, err, &p)
		require.Equal(t, "customers", p.Table)
		var u *topology.UndeclaredError
		_, _, err = topology.NewReadTable("rates", codec.String).GetKey(ctx, "eur")
		require.ErrorAs(t, err, &u, "a handle is known by itself, not by its name")
		require.ErrorContains(t, err, "add topology.Join or Lookup to Define")
		_, _, err = owned.GetKey(ctx, "ann")
		require.ErrorAs(t, err, &u, "a table that is joined cannot be written")
	})
	_, _, err := customers.Get(kept)
	require.ErrorIs(t, err, topology.ErrNotInCallback)
	for _, err := range rates.Range(kept) {
		require.ErrorIs(t, err, topology.ErrNotInCallback)
	}
}

func TestReadTable_Range(t *testing.T) {
	onOrder(t, []byte("ann"), func(ctx *topology.Context) {
		rows := map[string]string{}
		for row, err := range rates.Range(ctx) {
			require.NoError(t, err)
			rows[row.Key] = row.Value
		}
		require.Equal(t, map[string]string{"ann": "own", "eur": "", "usd": "1.1"}, rows)
		var last error
		n := 0
		for _, err := range customers.Range(ctx) {
			n, last = n+1, err
		}
		require.Equal(t, 2, n)
		require.ErrorContains(t, last, `table customers: key "bad"`)
	})
}

func TestDefine_ReadTables(t *testing.T) {
	var none *topology.ReadTable[string]
	_, err := topology.Define("g", topology.Input(orders, ignore),
		topology.Persist(owned), topology.Join(customers), topology.Lookup(none),
		topology.Join(rates, topology.AllowStale()), topology.Lookup(rates),
		topology.Join(topology.NewReadTable("fnv", codec.String, topology.FNV1a())),
		topology.Lookup(topology.NewReadTable("crc", codec.String, topology.CRC32())),
		topology.Lookup(topology.NewReadTable[string]("nocodec", nil)))
	var d *topology.DefineError
	require.ErrorAs(t, err, &d)
	require.Equal(t, []topology.Fault{
		{Edge: "Join(customers)", Reason: "the topic is used already, by Persist(customers)"},
		{Edge: "edge 4, Lookup", Reason: "the handle is nil"},
		{Edge: "Lookup(rates)", Reason: "the topic is used already, by Join(rates)"},
		{Edge: "Lookup(nocodec)", Reason: "the codec is nil"},
		{Edge: "group", Reason: "co-partitioned topics must hash keys alike: Input(orders), Persist(customers), Join(rates) by murmur2 but Join(fnv) by FNV-1a"},
	}, d.Faults)
}
