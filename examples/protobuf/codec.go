package main

import (
	"google.golang.org/protobuf/proto"

	"github.com/tarnstream/tarn/codec"
)

// protobuf is a codec for a message type: any type with these two methods is one.
type protobuf[M proto.Message] struct{}

func protobufOf[M proto.Message]() codec.Codec[M] { return protobuf[M]{} }

// Encode appends the message's bytes. They are the same for the same message, so that equal rows have equal bytes.
func (protobuf[M]) Encode(dst []byte, m M) ([]byte, error) {
	return proto.MarshalOptions{Deterministic: true}.MarshalAppend(dst, m)
}

// Decode makes a new message each time: what a callback does to it changes nobody else's.
func (protobuf[M]) Decode(data []byte) (M, error) {
	var none M
	m := none.ProtoReflect().New().Interface().(M)
	return m, proto.Unmarshal(data, m)
}
