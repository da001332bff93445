package codec_test

import (
	"errors"
	"fmt"
	"strconv"

	"github.com/tarnstream/tarn/codec"
)

func ExampleString() {
	data, _ := codec.String.Encode(nil, "hello")
	v, _ := codec.String.Decode(data)
	fmt.Println(v)
	// Output: hello
}

func ExampleBytes() {
	data, _ := codec.Bytes.Encode([]byte("id:"), []byte{0xca, 0xfe})
	fmt.Printf("%q\n", data)
	// Output: "id:\xca\xfe"
}

func ExampleInt64() {
	data, _ := codec.Int64.Encode(nil, 258)
	fmt.Printf("% x\n", data)
	// Output: 00 00 00 00 00 00 01 02
}

func ExampleFloat64() {
	data, _ := codec.Float64.Encode(nil, 0.5)
	v, _ := codec.Float64.Decode(data)
	fmt.Println(v)
	// Output: 0.5
}

func ExampleJSON() {
	type account struct {
		Owner   string `json:"owner"`
		Balance int64  `json:"balance"`
	}
	accounts := codec.JSON[account]()
	data, _ := accounts.Encode(nil, account{Owner: "ada", Balance: 12})
	fmt.Println(string(data))
	v, _ := accounts.Decode([]byte(`{"owner":"bob","since":1815}`))
	fmt.Println(v.Owner, v.Balance)
	// Output:
	// {"owner":"ada","balance":12}
	// bob 0
}

func ExampleDecodeError() {
	_, err := codec.Int64.Decode([]byte("42"))
	if e, ok := errors.AsType[*codec.DecodeError](err); ok {
		fmt.Println(e.Codec, e.Size, e)
	}
	// Output: int64 2 codec: int64: 2 bytes where 8 are expected
}

type celsius struct{}

func (celsius) Encode(dst []byte, v float64) ([]byte, error) { return fmt.Appendf(dst, "%.1f", v), nil }

func (celsius) Decode(data []byte) (float64, error) { return strconv.ParseFloat(string(data), 64) }

// A codec of your own is a type with two methods.
func ExampleCodec() {
	var c codec.Codec[float64] = celsius{}
	data, _ := c.Encode(nil, 21.54)
	fmt.Println(string(data))
	// Output: 21.5
}
