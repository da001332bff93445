package layout

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/require"
)

// A line may be missing from one reading of the list: that says nothing yet.
func TestInList(t *testing.T) {
	const others, ours = "1: FLOCK  ADVISORY  WRITE 12 fe:00:7 0 EOF\n2: POSIX  ADVISORY  WRITE 4711 fe:00:1312 0 EOF\n", "3: FLOCK  ADVISORY  WRITE 4711 fe:00:1312 0 EOF\n"
	ask := func(pid string, lists ...string) (held, known bool) {
		n := 0
		return inList(func() ([]byte, error) {
			n++
			return []byte(lists[min(n, len(lists))-1]), nil
		}, "fe:00", "1312", pid)
	}
	for _, x := range []struct {
		lists []string
		pid   string
		held  bool
	}{
		{[]string{others + ours}, "1", true},
		{[]string{others, others, ours}, "1", true},
		{[]string{others}, "4711", false},
		{[]string{"3: FLOCK  ADVISORY  WRITE 4711 00:2a:1312 0 EOF\n"}, "4711", true},
		{[]string{"3: FLOCK  ADVISORY  WRITE 4711 00:2a:1312 0 EOF\n"}, "1", false},
		{[]string{"3: -> FLOCK\n"}, "1", false},
	} {
		held, known := ask(x.pid, x.lists...)
		require.True(t, known)
		require.Equal(t, x.held, held, "%q", x.lists)
	}
	_, known := inList(func() ([]byte, error) { return nil, errors.New("no list") }, "fe:00", "1312", "1")
	require.False(t, known)
}
