//go:build !linux

package layout

// listed: there is no list of locks to look into.
func listed(string, int) (held, known bool) { return false, false }
