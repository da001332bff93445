package codec_test

import (
	"encoding/json"
	"errors"
	"math"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/tarnstream/tarn/codec"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// roundTrip encodes v behind a prefix, checks that the prefix is kept, and decodes what was appended.
func roundTrip[T any](t *testing.T, c codec.Codec[T], v T) T {
	t.Helper()
	out, err := c.Encode([]byte("before"), v)
	require.NoError(t, err)
	require.Equal(t, "before", string(out[:6]))
	got, err := c.Decode(out[6:])
	require.NoError(t, err)
	return got
}

func TestRoundTrip(t *testing.T) {
	for _, v := range []string{"", "a", "größe", "\xff\x00", "\x00"} {
		require.Equal(t, v, roundTrip(t, codec.String, v))
		require.Equal(t, []byte(v), roundTrip(t, codec.Bytes, []byte(v)))
	}
	for _, v := range []int64{0, 1, -1, math.MaxInt64, math.MinInt64} {
		require.Equal(t, v, roundTrip(t, codec.Int64, v))
	}
	for _, v := range []float64{0, 1.5, -1e300, math.Inf(1), math.Inf(-1), math.SmallestNonzeroFloat64} {
		require.Equal(t, v, roundTrip(t, codec.Float64, v))
	}
}

func TestFloat64KeepsBits(t *testing.T) {
	for _, bits := range []uint64{0x8000000000000000, 0x7ff8000000000001, 0xfff8000000000abc} {
		got := roundTrip(t, codec.Float64, math.Float64frombits(bits))
		require.Equal(t, bits, math.Float64bits(got))
	}
}

func TestNumbersAreBigEndian(t *testing.T) {
	out, err := codec.Int64.Encode(nil, 258)
	require.NoError(t, err)
	require.Equal(t, []byte{0, 0, 0, 0, 0, 0, 1, 2}, out)
	out, err = codec.Float64.Encode(nil, 1)
	require.NoError(t, err)
	require.Equal(t, []byte{0x3f, 0xf0, 0, 0, 0, 0, 0, 0}, out)
}

func TestNumbersRefuseOtherLengths(t *testing.T) {
	for n := range 17 {
		if n == 8 {
			continue
		}
		_, err := codec.Int64.Decode(make([]byte, n))
		requireDecodeError(t, err, "int64", n)
		_, err = codec.Float64.Decode(make([]byte, n))
		requireDecodeError(t, err, "float64", n)
	}
	_, err := codec.Int64.Decode([]byte("12"))
	require.EqualError(t, err, "codec: int64: 2 bytes where 8 are expected")
}

func requireDecodeError(t *testing.T, err error, name string, size int) {
	t.Helper()
	e, ok := errors.AsType[*codec.DecodeError](err)
	require.True(t, ok, "%v", err)
	require.Equal(t, name, e.Codec)
	require.Equal(t, size, e.Size)
	require.NotEmpty(t, e.Reason)
}

// An empty value must not become a null on its way to a topic, where it would delete the key.
func TestEmptyValueIsNotNull(t *testing.T) {
	out, err := codec.String.Encode(nil, "")
	require.NoError(t, err)
	require.NotNil(t, out)
	out, err = codec.Bytes.Encode(nil, nil)
	require.NoError(t, err)
	require.NotNil(t, out)
	got, err := codec.Bytes.Decode([]byte{})
	require.NoError(t, err)
	require.NotNil(t, got)
}

func TestBytesShareNothing(t *testing.T) {
	value := []byte("value")
	out, err := codec.Bytes.Encode(nil, value)
	require.NoError(t, err)
	value[0] = 'X'
	require.Equal(t, "value", string(out))

	got, err := codec.Bytes.Decode(out)
	require.NoError(t, err)
	out[0] = 'Y'
	require.Equal(t, "value", string(got))
}

type visit struct {
	URL  string         `json:"url"`
	Hits int            `json:"hits,omitempty"`
	Tags map[string]int `json:"tags,omitempty"`
}

func TestRawBytesAreBorrowedOnlyWhereThatIsSaid(t *testing.T) {
	data := []byte("abc")
	borrowed, err := codec.RawBytes.Borrow(data)
	require.NoError(t, err)
	decoded, err := codec.RawBytes.Decode(data)
	require.NoError(t, err)
	data[0] = 'x'
	require.Equal(t, "xbc", string(borrowed))
	require.Equal(t, "abc", string(decoded))
}

func TestJSONRoundTrip(t *testing.T) {
	v := visit{URL: "/<a>&b", Hits: 3, Tags: map[string]int{"z": 1, "a": 2}}
	require.Equal(t, v, roundTrip(t, codec.JSON[visit](), v))
	require.Equal(t, &v, roundTrip(t, codec.JSON[*visit](), &v))
	require.Equal(t, []int{1, 2}, roundTrip(t, codec.JSON[[]int](), []int{1, 2}))
}

func TestJSONKeepsNothingOfItsInput(t *testing.T) {
	data := []byte(`{"a":1}`)
	got, err := codec.JSON[json.RawMessage]().Decode(data)
	require.NoError(t, err)
	clear(data)
	require.Equal(t, `{"a":1}`, string(got))
}

func TestJSONRefuses(t *testing.T) {
	for name, text := range map[string]string{
		"empty": "", "cut": `{"url":"a`, "trailing": `{"url":"a"}x`, "two values": `{} {}`, "wrong type": `{"url":"a","hits":"b"}`,
	} {
		t.Run(name, func(t *testing.T) {
			got, err := codec.JSON[visit]().Decode([]byte(text))
			requireDecodeError(t, err, "json", len(text))
			require.Zero(t, got, "a failed decode gives no half value")
		})
	}
}

func TestJSONErrorKeepsItsCause(t *testing.T) {
	_, err := codec.JSON[visit]().Decode([]byte(`{"hits":"b"}`))
	cause, ok := errors.AsType[*json.UnmarshalTypeError](err)
	require.True(t, ok)
	require.Equal(t, "hits", cause.Field)
}

func TestJSONEncodeError(t *testing.T) {
	out, err := codec.JSON[float64]().Encode([]byte("before"), math.NaN())
	_, ok := errors.AsType[*json.UnsupportedValueError](err)
	require.True(t, ok, "%v", err)
	require.Equal(t, "before", string(out))
}
