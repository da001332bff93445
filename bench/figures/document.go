package figures

import (
	"fmt"
	"strings"
)

// Insert puts text between the two marks of a place in a Markdown document, instead of what stands there:
//
//	<!-- figures: count -->
//	<!-- end of figures -->
func Insert(document, place, text string) (string, error) {
	begin, end := fmt.Sprintf("<!-- figures: %s -->\n", place), "<!-- end of figures -->"
	before, rest, ok := strings.Cut(document, begin)
	if !ok {
		return "", fmt.Errorf("figures: the document has no line %q", strings.TrimSpace(begin))
	}
	old, after, ok := strings.Cut(rest, end)
	if !ok || strings.Contains(old, "<!-- figures: ") {
		return "", fmt.Errorf("figures: the document has no line %q after %q", end, strings.TrimSpace(begin))
	}
	return before + begin + "\n" + strings.TrimSpace(text) + "\n\n" + end + after, nil
}
