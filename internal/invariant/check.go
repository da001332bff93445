package invariant

import "fmt"

// Check panics with the formatted message when ok is false and invariants are enabled; otherwise it is inlined to nothing.
// The condition itself is evaluated where it has side effects or calls a function that is not inlined: a dear one stands
// behind `if invariant.Enabled`.
func Check(ok bool, format string, args ...any) {
	if Enabled && !ok {
		panic("invariant: " + fmt.Sprintf(format, args...))
	}
}
