package sshlog

import (
	"strconv"
	"strings"
	"time"
)

// Limits, in bytes. Past MaxLine and MaxHost a line is rejected; a longer user
// name is cut.
const (
	MaxLine = 64 << 10
	MaxHost = 255
	MaxUser = 64
)

// maxRepeat is far above what a syslog daemon folds into one line, and keeps a
// damaged count from swallowing every other figure.
const maxRepeat = 1_000_000

// Parse reads one line, with or without its line ending. The year is used for a
// time stamp that has none. The error is always a *RejectError.
func Parse(line string, year int) (Event, error) {
	s := scanner{rest: strings.TrimRight(line, "\r\n")}
	s.size = len(s.rest)
	if s.size > MaxLine {
		return Event{}, s.reject(TooLong)
	}
	if strings.TrimSpace(s.rest) == "" {
		return Event{}, s.reject(Empty)
	}
	ev := Event{Kind: Other, Count: 1}
	program, err := s.header(&ev, year)
	if err != nil {
		return Event{}, err
	}
	if program != "sshd" && program != "sshd-session" {
		return ev, nil
	}
	if err := s.message(&ev); err != nil {
		return Event{}, err
	}
	return ev, nil
}

// Host returns the logging host of a line for use as its key, or "unknown" when
// the line has none that Parse would accept.
func Host(line string) string {
	s := scanner{rest: strings.TrimRight(line, "\r\n")}
	s.size = len(s.rest)
	var ev Event
	// A leap year, so that no day of a line is refused here.
	if s.size > MaxLine || s.stamp(&ev, 2000) != nil || s.host(&ev) != nil {
		return "unknown"
	}
	return ev.Host
}

// scanner eats a line from the left; what is left tells the column.
type scanner struct {
	rest string
	size int
}

func (s *scanner) reject(why Reason) error {
	return &RejectError{Reason: why, Column: s.size - len(s.rest) + 1}
}

// word takes the next word; spaces before it are skipped, the one behind it
// stays. It is empty at the end of the line.
func (s *scanner) word() string {
	text := strings.TrimLeft(s.rest, " ")
	end := strings.IndexByte(text, ' ')
	if end < 0 {
		end = len(text)
	}
	s.rest = text[end:]
	return text[:end]
}

// header takes time, host and program, and leaves the message.
func (s *scanner) header(ev *Event, year int) (program string, err error) {
	if err := s.stamp(ev, year); err != nil {
		return "", err
	}
	if err := s.host(ev); err != nil {
		return "", err
	}
	return s.program(ev)
}

func (s *scanner) stamp(ev *Event, year int) error {
	whole := *s
	first := s.word()
	if at, err := time.Parse(time.RFC3339Nano, first); err == nil {
		ev.Time = at.UTC()
		if y := ev.Time.Year(); y < 1 || y > 9999 {
			return whole.reject(BadTime) // could not be written as JSON
		}
		return nil
	}
	text := first + " " + s.word() + " " + s.word()
	at, err := time.Parse("Jan 2 15:04:05", text)
	if err != nil {
		return whole.reject(BadTime)
	}
	ev.Time = time.Date(year, at.Month(), at.Day(), at.Hour(), at.Minute(), at.Second(), 0, time.UTC)
	if ev.Time.Day() != at.Day() {
		return whole.reject(BadTime) // 29 February in a year without one
	}
	return nil
}

func (s *scanner) host(ev *Event) error {
	whole := *s
	ev.Host = s.word()
	if ev.Host == "" || len(ev.Host) > MaxHost || printable(ev.Host, MaxHost) != ev.Host {
		return whole.reject(BadHost)
	}
	return nil
}

// program takes "sshd[123]:" or "sshd:".
func (s *scanner) program(ev *Event) (string, error) {
	whole := *s
	tag, ok := strings.CutSuffix(s.word(), ":")
	if !ok {
		if strings.HasPrefix(strings.TrimLeft(whole.rest, " "), "last message repeated ") {
			return "", whole.reject(BareRepeat)
		}
		return "", whole.reject(NoProgram)
	}
	s.rest = strings.TrimPrefix(s.rest, " ")
	name, pid, found := strings.Cut(tag, "[")
	if name == "" {
		return "", whole.reject(NoProgram)
	}
	if !found {
		return name, nil
	}
	digits, closed := strings.CutSuffix(pid, "]")
	n, err := strconv.ParseUint(digits, 10, 31)
	if err != nil || !closed {
		return "", whole.reject(BadPID)
	}
	ev.PID = int(n)
	return name, nil
}
