package codec_test

import (
	"testing"

	"github.com/tarnstream/tarn/codec"
)

type order struct {
	ID    string
	Cents int64
	Lines []string
}

// BenchmarkCodec encodes a value into memory that is there, and decodes it: what a Set and a Get cost beside their table.
func BenchmarkCodec(b *testing.B) {
	b.Run("Int64", func(b *testing.B) { both(b, codec.Int64, 123_456_789) })
	b.Run("Float64", func(b *testing.B) { both(b, codec.Float64, 1234.5) })
	b.Run("String", func(b *testing.B) { both(b, codec.String, "a name of some length") })
	b.Run("Bytes", func(b *testing.B) { both(b, codec.Bytes, make([]byte, 100)) })
	b.Run("RawBytes/borrow", func(b *testing.B) {
		data := make([]byte, 100)
		b.ReportAllocs()
		for b.Loop() {
			if _, err := codec.RawBytes.Borrow(data); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("JSON", func(b *testing.B) {
		both(b, codec.JSON[order](), order{ID: "o-1", Cents: 1999, Lines: []string{"a", "b"}})
	})
}

func both[T any](b *testing.B, c codec.Codec[T], v T) {
	data, err := c.Encode(nil, v)
	if err != nil {
		b.Fatal(err)
	}
	b.Run("encode", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if data, err = c.Encode(data[:0], v); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("decode", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := c.Decode(data); err != nil {
				b.Fatal(err)
			}
		}
	})
}
