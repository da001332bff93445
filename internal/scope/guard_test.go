package scope_test

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tarnstream/tarn/internal/scope"
)

// reads is a table that is only read.
type reads struct{ of map[string]string }

func (r reads) Get(key []byte) ([]byte, bool, error) {
	v, _, ok, err := below(r.of).Get(0, string(key))
	return v, ok, err
}

func (r reads) Range() scope.Rows { return rowsOf(r.of) }

// However a callback reads, and whatever it makes of the error: once the disk has failed nothing of it counts.
func TestTrouble_WhateverTheCallbackMakesOfIt(t *testing.T) {
	lookup := scope.Topic{Name: "lookup", Handle: new(int)}
	drain := func(rows scope.Rows) {
		for rows.Next() {
		}
		rows.Close()
	}
	for name, look := range map[string]func(*scope.Frame){
		"Get":   func(f *scope.Frame) { _, _, _ = text(t, f).Get([]byte("broken")) },
		"Set":   func(f *scope.Frame) { _ = text(t, f).Set([]byte("broken"), "x", 0) },
		"Range": func(f *scope.Frame) { drain(text(t, f).Range(f)) },
		"lookup": func(f *scope.Frame) {
			_, r, err := f.Read(&lookup)
			require.NoError(t, err)
			_, _, _ = r.Get([]byte("broken"))
		},
		"lookup's Range": func(f *scope.Frame) {
			_, r, err := f.Read(&lookup)
			require.NoError(t, err)
			drain(r.Range())
		},
	} {
		t.Run(name, func(t *testing.T) {
			data := below{"a": "1", "broken": "2"}
			f := scope.NewFrame(t.Context(), &scope.Group{Name: "g", Reads: []scope.Read{{Topic: lookup}}, Tables: []scope.Table{{
				Topic: scope.Topic{Name: texts, Handle: texts}, NewOverlay: func(i int, b scope.Backing) scope.Layer {
					return scope.NewOverlay(texts, i, textCoder{}, b)
				}}}}, data)
			f.SetReads([]scope.ReadBacking{reads{data}})
			require.NoError(t, f.Run(scope.Record{}, func(f *scope.Frame) error { return text(t, f).Set([]byte("a"), "before", 0) }))
			require.NoError(t, f.Trouble())
			require.ErrorContains(t, f.Run(scope.Record{}, func(f *scope.Frame) error {
				require.NoError(t, text(t, f).Set([]byte("a"), "after", 0))
				look(f)
				return nil
			}), "disk")
			require.ErrorContains(t, f.Trouble(), "disk")
			require.Error(t, f.Run(scope.Record{}, func(*scope.Frame) error { return errors.New("no") }))
			tables, _ := f.Seal()
			require.Equal(t, []scope.Change{{Key: "a", Value: []byte("before")}}, tables[0])
		})
	}
}
