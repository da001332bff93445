package sshlog

import (
	"net/netip"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// message reads what sshd said, after unfolding a repetition.
func (s *scanner) message(ev *Event) error {
	text := s.rest
	if body, ok := strings.CutPrefix(text, "message repeated "); ok {
		count, inner, ok := strings.Cut(body, " times: [ ")
		n, err := strconv.ParseUint(count, 10, 31)
		inner, closed := strings.CutSuffix(inner, "]")
		if !ok || !closed || err != nil || n == 0 || n > maxRepeat {
			return s.reject(BadRepeat)
		}
		ev.Count, text = int(n), inner
	}
	source, counted := classify(ev, text)
	if !counted {
		ev.Count = 1 // an uncounted line is one line, however often it was said
		return nil
	}
	if ev.Address = address(source); ev.Address == "" {
		return s.reject(NoAddress)
	}
	ev.User = printable(ev.User, MaxUser)
	return nil
}

// classify sets kind and user and returns the text that holds the source.
func classify(ev *Event, text string) (source string, counted bool) {
	if rest, ok := strings.CutPrefix(text, "Failed password for "); ok {
		ev.Kind = Failed
		ev.User, source = cutLast(strings.TrimPrefix(rest, "invalid user "), " from ")
		return source, true
	}
	if rest, ok := strings.CutPrefix(text, "Invalid user "); ok {
		ev.Kind = InvalidUser
		ev.User, source = cutLast(rest, " from ")
		return source, true
	}
	if rest, ok := strings.CutPrefix(text, "Accepted "); ok {
		return accepted(ev, rest)
	}
	if strings.HasSuffix(text, "POSSIBLE BREAK-IN ATTEMPT!") {
		return breakIn(ev, text)
	}
	return "", false
}

// accepted knows "password for root from ...", and passes over "key RSA ..." and
// "certificate ID ...", which speak of an offer and not of a login. A name that
// exists holds no " from ", but the certificate named behind the address may:
// from the left here.
func accepted(ev *Event, text string) (source string, counted bool) {
	_, rest, _ := strings.Cut(text, " ")
	rest, ok := strings.CutPrefix(rest, "for ")
	if !ok {
		return "", false
	}
	ev.Kind = Accepted
	ev.User, source, _ = strings.Cut(rest, " from ")
	return source, true
}

// breakIn knows both forms: a name that leads to another address, and an
// address that leads to such a name.
func breakIn(ev *Event, text string) (source string, counted bool) {
	if rest, ok := strings.CutPrefix(text, "reverse mapping checking getaddrinfo for "); ok {
		ev.Kind = BreakIn
		_, source = cutLast(rest, " [")
		source, _, _ = strings.Cut(source, "]")
		return source, true
	}
	if rest, ok := strings.CutPrefix(text, "Address "); ok {
		ev.Kind = BreakIn
		source, _, _ = strings.Cut(rest, " ")
		return source, true
	}
	return "", false
}

// cutLast splits at the last separator: what an attacker put into the name
// stays in the name.
func cutLast(text, sep string) (before, after string) {
	i := strings.LastIndex(text, sep)
	if i < 0 {
		return "", ""
	}
	return text[:i], text[i+len(sep):]
}

// address takes the first word of "192.0.2.7 port 22 ssh2" in its usual form,
// so that one source has one key. It is empty when the word is no address and
// no host name.
func address(source string) string {
	word, _, _ := strings.Cut(source, " ")
	if ip, err := netip.ParseAddr(word); err == nil {
		return ip.Unmap().WithZone("").String()
	}
	if word == "" || len(word) > MaxHost {
		return ""
	}
	for _, r := range word {
		if !isHostRune(r) {
			return ""
		}
	}
	return word
}

func isHostRune(r rune) bool {
	return r < utf8.RuneSelf && (unicode.IsLetter(r) || unicode.IsDigit(r) || strings.ContainsRune(".-_", r))
}

// printable replaces what is no text or would steer a terminal, and cuts at
// limit bytes without splitting a character.
func printable(s string, limit int) string {
	s = strings.Map(func(r rune) rune {
		if r == utf8.RuneError || !unicode.IsPrint(r) {
			return utf8.RuneError
		}
		return r
	}, s)
	if len(s) <= limit {
		return s
	}
	for limit > 0 && !utf8.RuneStart(s[limit]) {
		limit--
	}
	return s[:limit]
}
