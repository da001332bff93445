package codec

// Codec turns values of T into bytes and back. A Codec is used by many goroutines at once and keeps no state.
type Codec[T any] interface {
	// Encode appends the encoding of v to dst and returns the extended slice, as append does.
	// It never returns a slice that shares memory with v.
	Encode(dst []byte, v T) ([]byte, error)
	// Decode reads a value from data. It must not keep data or a part of it: the caller reuses it.
	// data is never null (a null never reaches a codec); it may be empty.
	Decode(data []byte) (T, error)
}

// Borrower is a Codec that can also read a value which shares memory with data. Where a stream has one, the callbacks of its inputs get
// such values, without a copy: they are good until the callback returns, and are not to be changed. What is emitted or set in a table is
// encoded meanwhile; but a string that a table is given stays with its row, and what it was borrowed from with it: give it a
// strings.Clone. Everywhere else, as in tables, Decode is called.
type Borrower[T any] interface {
	Codec[T]
	// Borrow reads a value from data, which stays as it is as long as the value is good.
	Borrow(data []byte) (T, error)
}
