package processor

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tarnstream/tarn/internal/scope"
)

// Whatever order changes come in, with the marks of their rows or without, a layer has the newest of each key, as a map has.
func TestLayer_IsAMap(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	for range 200 {
		fill := func(id uint32) (*layer, map[string]scope.Change) {
			l, want := &layer{id: id}, map[string]scope.Change{}
			marks := map[string]*scope.Mark{}
			for n := range r.IntN(60) {
				key := fmt.Sprint(r.IntN(20))
				if marks[key] == nil && r.IntN(3) > 0 {
					marks[key] = new(scope.Mark)
				}
				ch := scope.Change{Key: key, Value: fmt.Append(nil, n), Delete: r.IntN(4) == 0, Offset: int64(n), Mark: marks[key]}
				if _, had := want[key]; had && want[key].Mark != ch.Mark { // a row has one mark, or none for all of its changes to come
					ch.Mark = nil
					marks[key] = nil
				}
				l.put(&ch)
				want[key] = ch
				if r.IntN(10) == 0 {
					l.complete()
				}
			}
			return l, want
		}
		older, want := fill(1)
		equalLayer(t, want, older)
		newer, more := fill(2)
		equalLayer(t, more, newer)
		for key, ch := range more {
			want[key] = ch
		}
		older.cover(newer)
		equalLayer(t, want, older)
	}
}

func equalLayer(t *testing.T, want map[string]scope.Change, l *layer) {
	l.complete()
	require.Equal(t, len(want), l.len())
	bytes := 0
	for key, ch := range want {
		got, ok := l.find(key)
		require.True(t, ok, key)
		require.Equal(t, ch, *got)
		bytes += weight(&ch) + indexBytes
	}
	require.Equal(t, bytes, l.size())
	_, ok := l.find("absent")
	require.False(t, ok)
}
