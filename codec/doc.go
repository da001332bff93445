// Package codec turns the values of streams and tables into bytes and back.
//
// String, Bytes, RawBytes, Int64 and Float64 are ready to use; JSON makes a codec for any type that encoding/json can handle.
// Anything else is a type of your own with the two methods of Codec:
//
//	type celsius struct{}
//
//	func (celsius) Encode(dst []byte, v float64) ([]byte, error) { return fmt.Appendf(dst, "%.1f", v), nil }
//	func (celsius) Decode(data []byte) (float64, error)          { return strconv.ParseFloat(string(data), 64) }
//
// A value that cannot be decoded gives a *DecodeError from the codecs of this package. A codec never decides what
// happens to the record: the group's policy for failed records does.
package codec
