package scope

// Begin is where an input begins that the group has never read.
type Begin uint8

// The beginnings.
const (
	BeginUnset Begin = iota
	BeginEarliest
	BeginLatest
)

// Lost is what an input does when the place is lost from which it should go on.
type Lost uint8

// What an input does.
const (
	LostUnset Lost = iota
	LostCareful
	LostEarliest
	LostLatest
	LostCheckpoint
	LostFail
)
