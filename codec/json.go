package codec

import (
	"encoding/json"
	"fmt"
)

// JSON makes a codec that writes values of T with encoding/json: exported fields, in the order of the type, maps sorted
// by key, so that equal values have equal bytes. Fields that T does not know are ignored, which lets a newer program add
// some; a missing field keeps its zero value. Text that is no JSON, does not fit T, or goes on after the value is a
// *DecodeError whose cause is encoding/json's.
func JSON[T any]() Codec[T] { return jsonCodec[T]{} }

type jsonCodec[T any] struct{}

func (jsonCodec[T]) Encode(dst []byte, v T) ([]byte, error) {
	text, err := json.Marshal(v)
	if err != nil {
		return dst, fmt.Errorf("codec: json: encode %T: %w", v, err)
	}
	return append(dst, text...), nil
}

func (jsonCodec[T]) Decode(data []byte) (T, error) {
	var v T
	if err := json.Unmarshal(data, &v); err != nil {
		var zero T // a failed Unmarshal may have filled a part of v
		return zero, &DecodeError{Codec: "json", Size: len(data), Reason: err.Error(), Err: err}
	}
	return v, nil
}
