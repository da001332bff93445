package scope_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/tarnstream/tarn/internal/scope"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// jsonCoder codes maps, whose values a callback may go on changing.
type jsonCoder struct{}

func (jsonCoder) Encode(dst []byte, v map[string]int) ([]byte, error) {
	data, err := json.Marshal(v)
	return append(dst, data...), err
}

func (jsonCoder) Decode(data []byte) (v map[string]int, err error) {
	err = json.Unmarshal(data, &v)
	return v, err
}

type textCoder struct{ decoded *int }

func (textCoder) Encode(dst []byte, v string) ([]byte, error) {
	if v == "unencodable" {
		return append(dst, "half"...), errors.New("no encoding")
	}
	return append(dst, v...), nil
}

func (c textCoder) Decode(data []byte) (string, error) {
	if c.decoded != nil {
		*c.decoded++
	}
	return string(data), nil
}

// below is what lies under the overlays.
type below map[string]string

func (b below) Get(_ int, key string) ([]byte, *scope.Mark, bool, error) {
	if key == "broken" {
		return nil, nil, false, errors.New("disk")
	}
	v, ok := b[key]
	return []byte(v), nil, ok, nil
}

func (b below) Range(int) scope.Rows {
	return &sliceRows{keys: slices.Sorted(maps.Keys(b)), of: b}
}

const (
	texts = "texts"
	trees = "trees"
	out   = "out"
)

func newFrame(t *testing.T, b below, decoded *int) *scope.Frame {
	g := &scope.Group{Name: "g",
		Tables: []scope.Table{
			{Topic: scope.Topic{Name: texts, Handle: texts}, NewOverlay: func(i int, b scope.Backing) scope.Layer {
				return scope.NewOverlay(texts, i, textCoder{decoded}, b)
			}},
			{Topic: scope.Topic{Name: trees, Handle: trees}, NewOverlay: func(i int, b scope.Backing) scope.Layer {
				return scope.NewOverlay(trees, i, jsonCoder{}, b)
			}},
		},
		Outputs: []scope.Output{{Topic: scope.Topic{Name: out, Handle: out}}}}
	return scope.NewFrame(t.Context(), g, b)
}

func text(t *testing.T, f *scope.Frame) *scope.Overlay[string] {
	o, err := scope.Of[string](f, texts, texts)
	require.NoError(t, err)
	return o
}

func emit(f *scope.Frame, v string) error {
	return f.Emit(out, out, scope.Emission{Key: "k"}, func(dst []byte) ([]byte, error) { return append(dst, v...), nil })
}

func TestR61_NothingStaysOfAFailedRecord(t *testing.T) {
	boom := errors.New("boom")
	for name, end := range map[string]func() error{"error": func() error { return boom }, "panic": func() error { panic(boom) }} {
		t.Run(name, func(t *testing.T) {
			f := newFrame(t, below{"old": "value"}, nil)
			key := []byte("old")
			run := func(fn func() error) (err error) {
				defer func() {
					if v := recover(); v != nil {
						err = v.(error)
					}
				}()
				return f.Run(scope.Record{Key: key}, func(f *scope.Frame) error { return fn() })
			}
			require.NoError(t, run(func() error { return errors.Join(text(t, f).Set(key, "first", 1), emit(f, "kept")) }))
			require.ErrorIs(t, run(func() error {
				require.NoError(t, errors.Join(text(t, f).Set(key, "second", 2), text(t, f).Set([]byte("new"), "x", 2), emit(f, "dropped")))
				return end()
			}), boom)
			require.NoError(t, run(func() error {
				v, ok, err := text(t, f).Get(key)
				require.NoError(t, err)
				require.True(t, ok)
				require.Equal(t, "first", v)
				_, ok, err = text(t, f).Get([]byte("new"))
				require.False(t, ok)
				return err
			}))
			tables, emitted := f.Seal()
			require.Len(t, tables[0], 1)
			require.Equal(t, scope.Change{Key: "old", Value: []byte("first"), Timestamp: 1}, tables[0][0])
			require.Len(t, emitted, 1)
			require.Equal(t, "kept", string(emitted[0].Value))
		})
	}
}

func TestR62_TheTableHasWhatWasSet(t *testing.T) {
	f := newFrame(t, below{"there": `{"a":1}`}, nil)
	table := func() *scope.Overlay[map[string]int] {
		o, err := scope.Of[map[string]int](f, trees, trees)
		require.NoError(t, err)
		return o
	}
	run := func(fn func() error) {
		require.NoError(t, f.Run(scope.Record{}, func(*scope.Frame) error { return fn() }))
	}
	run(func() error {
		got, _, err := table().Get([]byte("there"))
		got["a"] = 99 // changes its own copy
		mine := map[string]int{"b": 2}
		err = errors.Join(err, table().Set([]byte("set"), mine, 0))
		mine["b"] = 99
		return err
	})
	run(func() error {
		there, _, err := table().Get([]byte("there"))
		require.Equal(t, map[string]int{"a": 1}, there)
		set, _, err2 := table().Get([]byte("set"))
		require.Equal(t, map[string]int{"b": 2}, set)
		return errors.Join(err, err2)
	})
	tables, _ := f.Seal()
	require.Equal(t, `{"b":2}`, string(tables[1][0].Value))
}

func TestSeal_OwnsItsBytesAndEachKeyOnce(t *testing.T) {
	f := newFrame(t, below{}, nil)
	set := func(key, v string) {
		require.NoError(t, f.Run(scope.Record{}, func(*scope.Frame) error { return text(t, f).Set([]byte(key), v, 0) }))
	}
	set("a", "1")
	set("b", "2")
	set("a", "3")
	first, _ := f.Seal()
	set("a", "4")
	require.NoError(t, f.Run(scope.Record{}, func(*scope.Frame) error { return text(t, f).Delete([]byte("b"), 7) }))
	second, _ := f.Seal()
	require.Equal(t, []scope.Change{{Key: "a", Value: []byte("3")}, {Key: "b", Value: []byte("2")}}, first[0])
	require.Equal(t, []scope.Change{{Key: "a", Value: []byte("4")}, {Key: "b", Value: []byte{}, Delete: true, Timestamp: 7}}, second[0])
	empty, emitted := f.Seal()
	require.Empty(t, empty[0])
	require.Empty(t, emitted)
}

func TestSet_RefusedLeavesTheEarlierWrite(t *testing.T) {
	f := newFrame(t, below{}, nil)
	f.Layers()[0].SetLimits(scope.Limits{Bytes: 200})
	require.NoError(t, f.Run(scope.Record{}, func(*scope.Frame) error {
		require.NoError(t, text(t, f).Set([]byte("k"), "good", 0))
		var large *scope.TooLargeError
		require.ErrorAs(t, text(t, f).Set([]byte("k"), strings.Repeat("x", 300), 0), &large)
		require.Equal(t, texts, large.Topic)
		require.Error(t, text(t, f).Set([]byte("k"), "unencodable", 0))
		return nil
	}))
	tables, _ := f.Seal()
	require.Equal(t, "good", string(tables[0][0].Value))
}

func TestEmit_TooLargeAndEmptyAndTombstone(t *testing.T) {
	f := newFrame(t, below{}, nil)
	f.SetOutputLimits(0, scope.Limits{Bytes: 200})
	require.NoError(t, f.Run(scope.Record{}, func(*scope.Frame) error {
		var large *scope.TooLargeError
		require.ErrorAs(t, emit(f, strings.Repeat("x", 300)), &large)
		return errors.Join(emit(f, ""), f.Emit(out, out, scope.Emission{Key: "gone"}, nil), emit(f, "last"))
	}))
	_, emitted := f.Seal()
	require.Len(t, emitted, 3)
	require.NotNil(t, emitted[0].Value, "an empty value is no tombstone")
	require.Nil(t, emitted[1].Value)
	require.Equal(t, "last", string(emitted[2].Value))
}

func TestUndeclaredAndOutside(t *testing.T) {
	f := newFrame(t, below{}, nil)
	_, err := scope.Of[string](f, texts, texts)
	require.ErrorIs(t, err, scope.ErrNotInCallback)
	require.NoError(t, f.Run(scope.Record{}, func(*scope.Frame) error {
		var u *scope.UndeclaredError
		_, err := scope.Of[string](f, "other", "other")
		require.ErrorAs(t, err, &u)
		require.ErrorContains(t, err, "table other is not declared: add topology.Persist")
		require.ErrorContains(t, f.Emit("other", "other", scope.Emission{}, nil), "add topology.Output")
		return nil
	}))
}

func TestGet_DecodesAPointerFreeValueOnce(t *testing.T) {
	decoded := 0
	f := newFrame(t, below{"k": "v"}, &decoded)
	for range 5 {
		require.NoError(t, f.Run(scope.Record{}, func(*scope.Frame) error {
			_, _, err := text(t, f).Get([]byte("k"))
			return err
		}))
	}
	require.Equal(t, 1, decoded)
	require.ErrorContains(t, f.Run(scope.Record{}, func(*scope.Frame) error {
		_, _, err := text(t, f).Get([]byte("broken"))
		return err
	}), "disk")
}

func TestBytes_FollowWhatIsDirty(t *testing.T) {
	f := newFrame(t, below{}, nil)
	require.Zero(t, f.Bytes())
	require.NoError(t, f.Run(scope.Record{}, func(*scope.Frame) error {
		return errors.Join(text(t, f).Set([]byte("k"), strings.Repeat("x", 1000), 0), emit(f, strings.Repeat("y", 1000)))
	}))
	require.Greater(t, f.Bytes(), 2000)
	f.Seal()
	require.Zero(t, f.Bytes())
}

// Rows are kept up to a limit, within a record's callback at most for its own reads; those that callbacks write stay until they are
// sealed, and what of them is beyond the limit counts with their changes.
func TestBytes_OfRowsThatAreKept(t *testing.T) {
	f := newFrame(t, below{}, nil)
	limit := 1 << 20
	layer := f.Layers()[0]
	layer.SetCache(func() int { return limit })
	read := func(from, n int) {
		for i := range n {
			require.NoError(t, f.Run(scope.Record{}, func(*scope.Frame) error {
				_, _, err := text(t, f).Get(fmt.Append(nil, "absent", from+i))
				return err
			}))
			_, kept := layer.Bytes()
			require.LessOrEqual(t, kept, limit+200)
		}
	}
	read(0, 20_000)
	_, kept := layer.Bytes()
	require.Greater(t, kept, limit/2-1000)

	write := func(key string) {
		require.NoError(t, f.Run(scope.Record{}, func(*scope.Frame) error { return text(t, f).Set([]byte(key), "v", 0) }))
	}
	for i := range 10_000 { // more than may be kept: they are counted, and stay until they are sealed
		write(fmt.Sprint("key", i))
	}
	dirty, _ := layer.Bytes()
	require.Greater(t, dirty, 10_000*260-limit)
	write("key0")
	again, _ := layer.Bytes()
	require.Equal(t, dirty, again, "a row that is dirty already")
	read(20_000, 100)
	require.Len(t, layer.Seal(), 10_000)
	dirty, kept = layer.Bytes()
	require.Zero(t, dirty)
	require.LessOrEqual(t, kept, limit)

	limit = 10_000 // others need it
	layer.Seal()
	_, kept = layer.Bytes()
	require.LessOrEqual(t, kept, limit)
}

// Whatever was written before it, a change has its own bytes, an empty value's too.
func TestSeal_EachChangeHasItsBytes(t *testing.T) {
	f := newFrame(t, below{}, nil)
	values := []string{"", "a", strings.Repeat("b", 10_000), "c", "", strings.Repeat("d", 3000), strings.Repeat("e", 3000)}
	for i, v := range values {
		require.NoError(t, f.Run(scope.Record{}, func(*scope.Frame) error { return text(t, f).Set(fmt.Append(nil, i), v, 0) }))
	}
	changes := f.Layers()[0].Seal()
	require.Len(t, changes, len(values))
	for i, c := range changes {
		require.NotNil(t, c.Value)
		require.Equal(t, values[i], string(c.Value))
	}
}

// A key keeps no large value alive that was read with it.
func TestOverlay_KeysOfLargeRows(t *testing.T) {
	large := below{}
	for i := range 200 {
		large[fmt.Sprint(i)] = strings.Repeat("v", 100_000)
	}
	f := newFrame(t, large, nil)
	heap := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := heap()
	for i := range 200 {
		require.NoError(t, f.Run(scope.Record{}, func(*scope.Frame) error { return text(t, f).Set(fmt.Append(nil, i), "short", 0) }))
	}
	require.Less(t, heap(), before+1<<20)
	tables, _ := f.Seal()
	require.Len(t, tables[0], 200)
	require.Less(t, heap(), before+1<<20)
	runtime.KeepAlive(f)
}
