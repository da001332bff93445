package scope_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tarnstream/tarn/internal/scope"
)

// sliceRows walks over a map, key "broken" excepted, where the disk fails. It spoils the last row's bytes as it goes on,
// as a store's iterator may.
type sliceRows struct {
	keys   []string
	of     map[string]string
	value  []byte
	failed error
	closed bool
}

func (r *sliceRows) Next() bool {
	copy(r.value, bytes.Repeat([]byte("#"), len(r.value)))
	if len(r.keys) == 0 || r.failed != nil {
		return false
	}
	if r.keys[0] == "broken" {
		r.failed = errors.New("disk")
		return false
	}
	r.value, r.keys = []byte(r.of[r.keys[0]]), r.keys[1:]
	return true
}

func (r *sliceRows) Key() string {
	all := slices.Sorted(maps.Keys(r.of))
	return all[len(all)-len(r.keys)-1]
}
func (r *sliceRows) Value() []byte { return r.value }
func (r *sliceRows) Err() error    { return r.failed }
func (r *sliceRows) Close()        { r.closed = true }

func rowsOf(m map[string]string) *sliceRows {
	return &sliceRows{keys: slices.Sorted(maps.Keys(m)), of: m}
}

// read gives a walk's rows as key=value.
func read(t *testing.T, rows scope.Rows) (out []string) {
	t.Helper()
	for rows.Next() {
		out = append(out, rows.Key()+"="+string(rows.Value()))
	}
	require.NoError(t, rows.Err())
	return out
}

func TestMerge_LikeAMapThatIsSorted(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	for range 2000 {
		under, want, changes := map[string]string{}, map[string]string{}, map[string]scope.Change{}
		for range r.IntN(8) {
			key := fmt.Sprint(r.IntN(10))
			under[key] = "old " + key
		}
		maps.Copy(want, under)
		for range r.IntN(8) {
			key := fmt.Sprint(r.IntN(10))
			c := scope.Change{Key: key, Delete: r.IntN(2) == 0, Value: []byte("new " + key)}
			changes[key] = c
			if delete(want, key); !c.Delete {
				want[key] = string(c.Value)
			}
		}
		upper := slices.Collect(maps.Values(changes))
		scope.SortChanges(upper)
		require.Equal(t, read(t, rowsOf(want)), read(t, scope.Merge(upper, rowsOf(under))), "%v under %v", upper, under)
	}
}

func TestMerge_AnErrorBelowIsNotTheEnd(t *testing.T) {
	m := scope.Merge([]scope.Change{{Key: "a"}, {Key: "z"}}, rowsOf(map[string]string{"b": "1", "broken": "2", "c": "3"}))
	var keys []string
	for m.Next() {
		keys = append(keys, m.Key())
	}
	require.Equal(t, []string{"a", "b"}, keys, "z would look like the table's last row")
	require.ErrorContains(t, m.Err(), "disk")
	require.False(t, m.Next())
}

// A walk shows the record in hand's writes, the open layer and what lies below, as they are when it begins.
func TestR62_RangeIsASnapshotOfAllLayers(t *testing.T) {
	f := newFrame(t, below{"a": "store", "b": "store", "c": "store", "d": "store"}, nil)
	in := func(fn func(o *scope.Overlay[string])) {
		require.NoError(t, f.Run(scope.Record{}, func(f *scope.Frame) error { fn(text(t, f)); return nil }))
	}
	set := func(o *scope.Overlay[string], key, v string) { require.NoError(t, o.Set([]byte(key), v, 0)) }
	in(func(o *scope.Overlay[string]) {
		set(o, "b", "open")
		set(o, "e", "open")
		require.NoError(t, o.Delete([]byte("c"), 0))
	})
	require.Error(t, f.Run(scope.Record{}, func(f *scope.Frame) error {
		set(text(t, f), "discarded", "x")
		return errors.New("no")
	}))
	in(func(o *scope.Overlay[string]) {
		set(o, "c", "back")
		set(o, "e", "hand")
		require.NoError(t, o.Delete([]byte("a"), 0))
		want := []string{"b=open", "c=back", "d=store", "e=hand"}
		one, two := o.Range(f), o.Range(f)
		for _, key := range []string{"a", "b", "c", "d", "e", "f"} {
			set(o, key, "####")
		}
		require.NoError(t, o.Delete([]byte("e"), 0))
		set(o, "e", "****")
		require.Equal(t, want, read(t, one), "while it walks")
		one.Close()
		set(o, "c", "++++")
		require.Equal(t, want, read(t, two), "another walk's end changes nothing")
		two.Close()
		require.Equal(t, []string{"a=####", "b=####", "c=++++", "d=####", "e=****", "f=####"}, read(t, o.Range(f)))
	})
	tables, _ := f.Seal()
	require.Len(t, tables[0], 6)
}

// watched counts the walks that are open below.
type watched struct {
	below
	rows []*sliceRows
}

func (w *watched) Range(table int) scope.Rows {
	r := w.below.Range(table).(*sliceRows)
	w.rows = append(w.rows, r)
	return r
}

func TestRange_EndsWithItsCallbackAndItsContext(t *testing.T) {
	w := &watched{below: below{"a": "1", "b": "2"}}
	g := &scope.Group{Tables: []scope.Table{{Topic: scope.Topic{Handle: texts}, NewOverlay: func(i int, b scope.Backing) scope.Layer {
		return scope.NewOverlay(texts, i, textCoder{}, b)
	}}}}
	ctx, cancel := context.WithCancelCause(t.Context())
	f := scope.NewFrame(ctx, g, w)
	var kept scope.Rows
	require.NoError(t, f.Run(scope.Record{}, func(f *scope.Frame) error {
		kept = text(t, f).Range(f)
		require.True(t, kept.Next())
		return nil
	}))
	require.True(t, w.rows[0].closed, "nothing is left open behind a callback")
	lost := errors.New("lost")
	require.NoError(t, f.Run(scope.Record{}, func(f *scope.Frame) error {
		require.False(t, kept.Next(), "another callback has come")
		require.ErrorIs(t, kept.Err(), scope.ErrNotInCallback)
		rows := text(t, f).Range(f)
		require.True(t, rows.Next())
		cancel(lost)
		require.False(t, rows.Next())
		require.ErrorIs(t, rows.Err(), lost)
		return nil
	}))
	require.Panics(t, func() {
		_ = f.Run(scope.Record{}, func(f *scope.Frame) error { text(t, f).Range(f); panic("boom") })
	})
	require.True(t, w.rows[2].closed)
}
