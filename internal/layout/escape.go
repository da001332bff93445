package layout

import (
	"crypto/sha256"
	"fmt"
	"net/url"
	"slices"
	"strings"
)

// longestName keeps an escaped name, with what else goes into a path, within every file system's limit.
const longestName = 200

// Escape makes a folder name of a topic's or a group's name. Different names give different folders, also where
// the file system takes upper case for lower: lower case letters, digits, "-", "_" and inner dots stand for themselves,
// every other byte is "%" and two hex digits. A name that would be too long ends in "%~" and its SHA-256.
func Escape(name string) string {
	var b strings.Builder
	special := isSpecialName(name)
	for i := range len(name) {
		c := name[i]
		inner := i > 0 && i < len(name)-1
		switch {
		case special && i == 0:
			fmt.Fprintf(&b, "%%%02x", c)
		case c >= 'a' && c <= 'z', c >= '0' && c <= '9', c == '-', c == '_', c == '.' && inner:
			b.WriteByte(c)
		default:
			fmt.Fprintf(&b, "%%%02x", c)
		}
	}
	if b.Len() <= longestName {
		return b.String()
	}
	return fmt.Sprintf("%s%%~%x", b.String()[:longestName-66], sha256.Sum256([]byte(name)))
}

// Unescape gives the name that a folder stands for. It is false for a folder that stands for none, or for one that was
// too long to be kept whole.
func Unescape(folder string) (name string, ok bool) {
	name, err := url.PathUnescape(folder) // "%~" is no escape of it
	return name, err == nil && name != "" && Escape(name) == folder
}

// isSpecialName tells names that are our own files, or devices on Windows.
func isSpecialName(name string) bool {
	base, _, _ := strings.Cut(name, ".")
	if len(base) == 4 && (base[:3] == "com" || base[:3] == "lpt") {
		return true
	}
	return slices.Contains([]string{"lock", "instance", "con", "prn", "aux", "nul"}, base)
}
