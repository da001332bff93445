package codec

// DecodeError says that bytes are not a value of a codec: another program wrote them, or the topic's codec was changed.
// The record stays where it is; the caller fails, skips it or sends it to a dead letter topic.
type DecodeError struct {
	// Codec is the codec's name: "int64", "float64" or "json".
	Codec string
	// Size is the number of bytes that were to be decoded.
	Size int
	// Reason says what is wrong with them.
	Reason string
	// Err is the cause behind Reason, nil where there is none.
	Err error
}

func (e *DecodeError) Error() string {
	return "codec: " + e.Codec + ": " + e.Reason
}

func (e *DecodeError) Unwrap() error { return e.Err }
