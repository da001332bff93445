package codec

// String keeps a string as its bytes, valid UTF-8 or not. Every input decodes.
var String Codec[string] = stringCodec{}

// Bytes keeps a byte slice as it is. Every input decodes, into a copy of the caller's own; a nil slice is written as an
// empty value, not as a null.
var Bytes Codec[[]byte] = bytesCodec{}

// RawBytes is Bytes, but that an input's callback gets the record's own bytes: it must not change them, and copies those that it keeps.
var RawBytes Borrower[[]byte] = rawCodec{}

type stringCodec struct{}

func (stringCodec) Encode(dst []byte, v string) ([]byte, error) {
	return append(present(dst), v...), nil
}

func (stringCodec) Decode(data []byte) (string, error) { return string(data), nil }

type bytesCodec struct{}

func (bytesCodec) Encode(dst []byte, v []byte) ([]byte, error) {
	return append(present(dst), v...), nil
}

func (bytesCodec) Decode(data []byte) ([]byte, error) { return append([]byte{}, data...), nil }

type rawCodec struct{ bytesCodec }

func (rawCodec) Borrow(data []byte) ([]byte, error) { return data, nil }

// present keeps an empty value apart from a null: appending nothing to a nil slice would give nil, which Kafka and a
// compacted topic take for a tombstone.
func present(dst []byte) []byte {
	if dst == nil {
		return []byte{}
	}
	return dst
}
