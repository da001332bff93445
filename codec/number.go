package codec

import (
	"encoding/binary"
	"fmt"
	"math"
)

// numberSize is the encoded length of every number, as in the Java client's LongSerializer and DoubleSerializer.
const numberSize = 8

// Int64 writes 8 bytes, big endian, as Kafka's LongSerializer does. Any other length is a *DecodeError.
var Int64 Codec[int64] = int64Codec{}

// Float64 writes the 8 bytes of the IEEE 754 bits, big endian, as Kafka's DoubleSerializer does; a NaN keeps its bits.
// Any other length is a *DecodeError.
var Float64 Codec[float64] = float64Codec{}

type int64Codec struct{}

func (int64Codec) Encode(dst []byte, v int64) ([]byte, error) {
	return binary.BigEndian.AppendUint64(dst, uint64(v)), nil
}

func (int64Codec) Decode(data []byte) (int64, error) {
	bits, err := decodeNumber("int64", data)
	return int64(bits), err
}

type float64Codec struct{}

func (float64Codec) Encode(dst []byte, v float64) ([]byte, error) {
	return binary.BigEndian.AppendUint64(dst, math.Float64bits(v)), nil
}

func (float64Codec) Decode(data []byte) (float64, error) {
	bits, err := decodeNumber("float64", data)
	return math.Float64frombits(bits), err
}

func decodeNumber(codec string, data []byte) (uint64, error) {
	if len(data) != numberSize {
		reason := fmt.Sprintf("%d bytes where %d are expected", len(data), numberSize)
		return 0, &DecodeError{Codec: codec, Size: len(data), Reason: reason}
	}
	return binary.BigEndian.Uint64(data), nil
}
