package codec_test

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tarnstream/tarn/codec"
)

// fuzzDecode decodes arbitrary bytes; what decodes must be encoded to bytes that decode to the same bytes again.
func fuzzDecode[T any](f *testing.F, c codec.Codec[T]) {
	f.Add([]byte{})
	f.Add([]byte("text"))
	f.Add([]byte{0, 0, 0, 0, 0, 0, 1, 2})
	f.Add([]byte{0x7f, 0xf8, 0, 0, 0, 0, 0, 1})
	f.Add([]byte(`{"url":"a","hits":1,"tags":{"b":2}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		v, err := c.Decode(data)
		if err != nil {
			return
		}
		first, err := c.Encode(nil, v)
		require.NoError(t, err)
		again, err := c.Decode(first)
		require.NoError(t, err)
		second, err := c.Encode(nil, again)
		require.NoError(t, err)
		require.Equal(t, first, second)
	})
}

func FuzzStringDecode(f *testing.F)  { fuzzDecode(f, codec.String) }
func FuzzBytesDecode(f *testing.F)   { fuzzDecode(f, codec.Bytes) }
func FuzzInt64Decode(f *testing.F)   { fuzzDecode(f, codec.Int64) }
func FuzzFloat64Decode(f *testing.F) { fuzzDecode(f, codec.Float64) }
func FuzzJSONDecode(f *testing.F)    { fuzzDecode(f, codec.JSON[visit]()) }

// FuzzRoundTrip takes any value through each fixed codec and back.
func FuzzRoundTrip(f *testing.F) {
	f.Add("", int64(0), 0.0)
	f.Add("\xff", int64(-1), math.Inf(-1))
	f.Fuzz(func(t *testing.T, s string, i int64, x float64) {
		require.Equal(t, s, roundTrip(t, codec.String, s))
		require.Equal(t, []byte(s), roundTrip(t, codec.Bytes, []byte(s)))
		require.Equal(t, i, roundTrip(t, codec.Int64, i))
		require.Equal(t, math.Float64bits(x), math.Float64bits(roundTrip(t, codec.Float64, x)))
		require.Equal(t, int(i), roundTrip(t, codec.JSON[visit](), visit{URL: "u", Hits: int(i)}).Hits)
	})
}
