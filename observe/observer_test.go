package observe_test

import (
	"bytes"
	"log/slog"
	"reflect"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tarnstream/tarn/observe"
)

// every gives an Observer whose funcs all call fn with the name of their field.
func every(fn func(name string)) observe.Observer {
	var o observe.Observer
	v := reflect.ValueOf(&o).Elem()
	for f, field := range v.Fields() {
		field.Set(reflect.MakeFunc(f.Type, func([]reflect.Value) []reflect.Value { fn(f.Name); return nil }))
	}
	return o
}

// tellAll calls every func once and gives their names.
func tellAll(t *testing.T, o observe.Observer) (names []string) {
	v := reflect.ValueOf(o)
	for i := range v.NumField() {
		require.False(t, v.Field(i).IsNil(), v.Type().Field(i).Name)
		v.Field(i).Call([]reflect.Value{reflect.Zero(v.Field(i).Type().In(0))})
		names = append(names, v.Type().Field(i).Name)
	}
	return names
}

// A field that Tee forgets is an event that nobody hears.
func TestObserver_TeeTellsBothInOrder(t *testing.T) {
	var heard []string
	ear := func(who string) observe.Observer {
		return every(func(name string) { heard = append(heard, who+" "+name) })
	}
	names := tellAll(t, ear("a").Tee(ear("b")))
	var want []string
	for _, n := range names {
		want = append(want, "a "+n, "b "+n)
	}
	require.Equal(t, want, heard)

	heard = nil
	tellAll(t, observe.Observer{}.Tee(ear("c")))
	tellAll(t, ear("c").Tee(observe.Observer{}))
	require.Len(t, heard, 2*len(names))
	require.Nil(t, observe.Observer{}.Tee(observe.Observer{}).Commit)
}

func TestTell_NobodyListens(t *testing.T) {
	observe.Tell(nil, observe.Commit{})
}

func TestObserver_ProtectLogsPanicsAndTellsTheOthers(t *testing.T) {
	var logged bytes.Buffer
	var heard []string
	bad := every(func(string) { panic("boom") }).Protect(slog.New(slog.NewTextHandler(&logged, nil)))
	names := tellAll(t, bad.Tee(every(func(name string) { heard = append(heard, name) })))
	require.Equal(t, names, heard)
	for _, n := range names {
		require.Contains(t, logged.String(), `level=ERROR msg="an observer panicked" func=`+n+" panic=boom")
	}
	require.Contains(t, logged.String(), "observer_test.go", "the stack")
	require.Nil(t, observe.Observer{}.Protect(slog.Default()).Flush)
}
