package main

import (
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/tarnstream/tarn/examples/soc/sshlog"
)

// maxRejectLine bytes of a line that could not be read are kept with its reason.
const maxRejectLine = 1 << 10

// Reject is a record of soc-rejects, keyed by the logging host.
type Reject struct {
	Reason sshlog.Reason `json:"reason"`
	// Column is where in the line reading ended, in bytes from 1.
	Column int `json:"column"`
	// Line is its beginning, with replacement characters for what is no text.
	Line string `json:"line"`
}

// newReject describes the line that Parse gave up with the error.
func newReject(line string, err *sshlog.RejectError) Reject {
	line = line[:min(len(line), maxRejectLine)]
	return Reject{Reason: err.Reason, Column: err.Column, Line: strings.ToValidUTF8(line, "\uFFFD")}
}

// Counts are the figures that are not kept by address.
type Counts struct {
	// Lines read, rejects included.
	Lines int64
	// FailedLines say "Failed password"; RepeatedLines of them stand for several.
	FailedLines, RepeatedLines int64
	// Failures, InvalidUsers, Accepted and BreakIns count what happened; a
	// repeated line counts as often as it was repeated.
	Failures, InvalidUsers, Accepted, BreakIns int64
	// Other lines were understood and are of no counted kind.
	Other int64
	// Rejects are lines that could not be read, by reason.
	Rejects map[sshlog.Reason]int64
}

// Snapshot is all that there is to show at one moment.
type Snapshot struct {
	Counts
	// Attackers in any order.
	Attackers []Attacker
	// Alerts in the order they came, each once.
	Alerts []Alert
}

// collector gathers figures and alerts from what passes by. The zero value is
// ready; it may be used from several goroutines.
type collector struct {
	mu     sync.Mutex
	counts Counts
	alerts []Alert
	known  map[alertID]struct{}
}

func (c *collector) addLine() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.counts.Lines++
}

func (c *collector) addEvent(ev sshlog.Event) {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := int64(ev.Count)
	switch ev.Kind {
	case sshlog.Failed:
		c.counts.FailedLines++
		c.counts.Failures += n
		if n > 1 {
			c.counts.RepeatedLines++
		}
	case sshlog.InvalidUser:
		c.counts.InvalidUsers += n
	case sshlog.Accepted:
		c.counts.Accepted += n
	case sshlog.BreakIn:
		c.counts.BreakIns += n
	default:
		c.counts.Other++
	}
}

func (c *collector) addReject(r Reject) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.counts.Rejects == nil {
		c.counts.Rejects = make(map[sshlog.Reason]int64)
	}
	c.counts.Rejects[r.Reason]++
}

func (c *collector) addAlert(a Alert) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, twice := c.known[a.id()]; twice {
		return
	}
	if c.known == nil {
		c.known = make(map[alertID]struct{})
	}
	c.known[a.id()] = struct{}{}
	c.alerts = append(c.alerts, a)
}

// snapshot joins what was gathered with the rows of the table.
func (c *collector) snapshot(rows []Attacker) Snapshot {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := Snapshot{Counts: c.counts, Attackers: rows, Alerts: slices.Clone(c.alerts)}
	s.Rejects = maps.Clone(s.Rejects)
	return s
}
