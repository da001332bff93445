package sshlog

import (
	"fmt"
	"time"
)

// Kind says what a line reports.
type Kind string

// The kinds. All but Other are counted by the monitor.
const (
	// Failed is a wrong password, for a known or an unknown user.
	// "Failed none" (a client asking which methods there are) is Other.
	Failed Kind = "failed"
	// Accepted is a login, by whatever method.
	Accepted Kind = "accepted"
	// InvalidUser is a name that the server does not know, before any password.
	InvalidUser Kind = "invalid-user"
	// BreakIn is sshd's "POSSIBLE BREAK-IN ATTEMPT!": the source's name and
	// address do not belong together.
	BreakIn Kind = "break-in"
	// Other is a line that was understood and is of no counted kind.
	Other Kind = "other"
)

// Event is one line, understood.
type Event struct {
	Kind Kind `json:"kind"`
	// Address is the source: an IP address in its usual form, or the name sshd
	// logged in its place. Empty for Other only.
	Address string `json:"address,omitempty"`
	// User is the name tried, made printable and cut at MaxUser bytes. It may
	// be empty: clients do send empty names.
	User string `json:"user,omitempty"`
	// Time is the line's own, in UTC.
	Time time.Time `json:"time"`
	// Host is the machine that logged the line.
	Host string `json:"host"`
	// PID is the process that logged it; 0 if the line has none.
	PID int `json:"pid,omitempty"`
	// Count is how often it happened: 1, or n for "message repeated n times".
	Count int `json:"count"`
}

// Key returns the key of the event in a stream: the source address, or the
// logging host for an event without one.
func (e Event) Key() string {
	if e.Address == "" {
		return e.Host
	}
	return e.Address
}

// Counted reports whether the event is of a kind that changes an attacker's row.
func (e Event) Counted() bool {
	return e.Kind != Other && e.Address != ""
}

// Reason says why a line was rejected. The set is small, so that rejects can be
// counted by reason.
type Reason string

// The reasons.
const (
	Empty     Reason = "empty line"
	TooLong   Reason = "line too long"
	BadTime   Reason = "no time stamp"
	BadHost   Reason = "no host name"
	NoProgram Reason = "no program name"
	BadPID    Reason = "bad process id"
	BadRepeat Reason = "bad repeat count"
	// BareRepeat is "last message repeated n times": what was repeated is not
	// in the line.
	BareRepeat Reason = "repeats a line it does not show"
	NoAddress  Reason = "no source address"
)

// RejectError is the error of Parse: why and where a line was given up. The
// caller can put the line aside with Reason; parsing it again will not help.
type RejectError struct {
	Reason Reason
	// Column is where the parser stood, in bytes from 1.
	Column int
}

// Error implements error.
func (e *RejectError) Error() string {
	return fmt.Sprintf("sshlog: %s at column %d", e.Reason, e.Column)
}
