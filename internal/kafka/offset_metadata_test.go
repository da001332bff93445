package kafka

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tarnstream/tarn/state"
)

func TestOffsetMetadata(t *testing.T) {
	id := state.TopicID{1, 2, 15: 0xff}
	require.Equal(t, "tarn/1 topic=010200000000000000000000000000ff", encodeMetadata(id))
	require.Empty(t, encodeMetadata(state.TopicID{}))
	for text, want := range map[string]state.TopicID{
		encodeMetadata(id): id,
		"tarn/7 later=x topic=010200000000000000000000000000ff more": id,
		"":                  {},
		"NO_METADATA":       {},
		"tarn/1":            {},
		"tarn/1 topic=0102": {},
		"tarn/1 topic=zz0200000000000000000000000000ff":  {},
		"other topic=010200000000000000000000000000ff":   {},
		" \x00 topic=010200000000000000000000000000ff\n": {},
	} {
		require.Equal(t, want, decodeMetadata(text), "%q", text)
	}
}

// FuzzOffsetMetadata: any text gives an id, mostly none, and what is read is written alike.
func FuzzOffsetMetadata(f *testing.F) {
	f.Add(encodeMetadata(state.TopicID{7}))
	f.Add("{\"by\":\"somebody else\"}")
	f.Fuzz(func(t *testing.T, text string) {
		id := decodeMetadata(text)
		require.Equal(t, id, decodeMetadata(encodeMetadata(id)))
	})
}
