package topology_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/tarnstream/tarn/codec"
	"github.com/tarnstream/tarn/internal/scope"
	"github.com/tarnstream/tarn/topology"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func ignore(*topology.Context, string) error { return nil }

func TestDefine_ReportsEveryFaultAtOnce(t *testing.T) {
	var nilTable *topology.Table[string]
	s := topology.NewStream("same", codec.String)
	_, err := topology.Define("",
		topology.Input(s, ignore),
		topology.Output(s),
		topology.Loop(s, nil),
		topology.Input[string](topology.NewStream("a b/c", codec.String), nil),
		topology.Persist(topology.NewTable("", codec.Int64)),
		topology.Persist(nilTable),
		topology.Output(topology.NewStream[string]("nocodec", nil)),
		topology.Output(topology.NewStream("few", codec.String, topology.Partitions(-2))),
		topology.Loop[string](nil, ignore),
		topology.Edge{},
	)
	var d *topology.DefineError
	require.ErrorAs(t, err, &d)
	require.Equal(t, []topology.Fault{
		{Edge: "group", Reason: "the name is empty"},
		{Edge: "Output(same)", Reason: "the topic is used already, by Input(same)"},
		{Edge: "Loop(same)", Reason: "the callback is nil"},
		{Edge: "Loop(same)", Reason: "the topic is used already, by Input(same)"},
		{Edge: "Input(a b/c)", Reason: "the callback is nil"},
		{Edge: "Input(a b/c)", Reason: `the topic's name has characters Kafka refuses: " /"`},
		{Edge: "Persist()", Reason: "the topic's name is empty"},
		{Edge: "edge 6, Persist", Reason: "the handle is nil"},
		{Edge: "Output(nocodec)", Reason: "the codec is nil"},
		{Edge: "Output(few)", Reason: "-2 partitions"},
		{Edge: "edge 9, Loop", Reason: "the handle is nil"},
		{Edge: "edge 10", Reason: "it is empty: use Input, Output, Loop, Persist, Join, Lookup, Visit or BeforeCommit"},
	}, d.Faults)
	require.ErrorContains(t, err, "Output(same): the topic is used already")
}

func TestDefine_NamesAsKafkaTakesThem(t *testing.T) {
	long := make([]byte, 250)
	for i := range long {
		long[i] = 'x'
	}
	for name, ok := range map[string]bool{"a": true, "A.b_c-9": true, ".": false, "..": false, "ä": false, string(long): false, string(long[:249]): true} {
		_, err := topology.Define("g", topology.Input(topology.NewStream(name, codec.String), ignore))
		require.Equal(t, ok, err == nil, "%.20q: %v", name, err)
	}
}

func TestDefine_NoInput(t *testing.T) {
	_, err := topology.Define("g", topology.Persist(topology.NewTable("t", codec.Int64)),
		topology.Loop(topology.NewStream("l", codec.String), ignore)) // nothing would ever come into it
	require.ErrorContains(t, err, "there is no Input")
}

func TestDefine_CoPartitionedHandlesHashAlike(t *testing.T) {
	out := topology.NewStream("out", codec.String, topology.CRC32()) // an output is not co-partitioned
	_, err := topology.Define("g",
		topology.Input(topology.NewStream("a", codec.String, topology.FNV1a()), ignore),
		topology.Input(topology.NewStream("b", codec.String), ignore),
		topology.Output(out),
		topology.Persist(topology.NewTable("c", codec.Int64, topology.CRC32())),
		topology.Loop(topology.NewStream("e", codec.String, topology.FNV1a()), ignore),
		topology.Persist(topology.NewTable("d", codec.Int64)))
	var d *topology.DefineError
	require.ErrorAs(t, err, &d)
	require.Equal(t, []topology.Fault{{Edge: "group", Reason: "co-partitioned topics must hash keys alike: " +
		"Input(b), Persist(d) by murmur2 but Input(a), Loop(e) by FNV-1a but Persist(c) by CRC-32"}}, d.Faults)
	_, err = topology.Define("g",
		topology.Input(topology.NewStream("a", codec.String, topology.FNV1a()), ignore), topology.Output(out),
		topology.Persist(topology.NewTable("c", codec.Int64, topology.FNV1a())))
	require.NoError(t, err)
}

func TestDefine_OnDeleteNeedsACallback(t *testing.T) {
	_, err := topology.Define("g", topology.Input(topology.NewStream("a", codec.String), ignore, topology.OnDelete(nil)))
	require.ErrorContains(t, err, "Input(a): the callback of OnDelete is nil")
}

func TestDefine_Visits(t *testing.T) {
	kept, other := topology.NewTable("kept", codec.String), topology.NewTable("other", codec.String)
	see := func(*topology.Context, string, string) error { return nil }
	_, err := topology.Define("g", topology.Input(topology.NewStream("in", codec.String), ignore), topology.Persist(kept),
		topology.Visit("good", kept, see), topology.Visit("good", kept, see), topology.Visit("", kept, see),
		topology.Visit("none", kept, nil), topology.Visit("other", other, see), topology.Visit[string]("nil", nil, nil))
	var d *topology.DefineError
	require.ErrorAs(t, err, &d)
	require.Equal(t, []topology.Fault{
		{Edge: "Visit(good)", Reason: "the name is used already"},
		{Edge: "Visit()", Reason: "the name is empty"},
		{Edge: "Visit(none)", Reason: "the callback is nil"},
		{Edge: "edge 8, Visit", Reason: "the handle is nil"},
		{Edge: "Visit(other)", Reason: "the group does not keep table other: add Persist"},
	}, d.Faults)
}

// A stream whose codec can borrow gives its callbacks the record's own bytes, any other a copy.
func TestInput_Borrows(t *testing.T) {
	for _, c := range []codec.Codec[[]byte]{codec.RawBytes, codec.Bytes} {
		value := []byte("value")
		in := topology.NewStream("in", c)
		g, err := topology.Define("g", topology.Input(in, func(_ *topology.Context, got []byte) error {
			value[0] = 'V'
			require.Equal(t, c == codec.Codec[[]byte](codec.RawBytes), string(got) == "Value")
			return nil
		}))
		require.NoError(t, err)
		f := scope.NewFrame(t.Context(), g.Description(), nil)
		require.NoError(t, f.Run(scope.Record{Value: value}, g.Description().Inputs[0].Call))
		value[0] = 'v'
	}
}
