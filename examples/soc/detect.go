package main

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/tarnstream/tarn/examples/soc/sshlog"
)

// Rule names what an alert is about.
type Rule string

// The rules. Each is judged for one source address on one logging host, by the
// times in the lines.
const (
	// BruteForce: five failures within 60 s.
	BruteForce Rule = "brute-force"
	// Enumeration: ten different user names, however slowly.
	Enumeration Rule = "user-enumeration"
	// Compromise: a login after three failures or more in the last 10 minutes.
	Compromise Rule = "compromise"
	// BreakInAttempt: sshd's own warning.
	BreakInAttempt Rule = "break-in-attempt"
)

// rules in the order in which they are reported.
var rules = []Rule{BruteForce, Enumeration, Compromise, BreakInAttempt}

const (
	bruteFailures      = 5
	bruteWindow        = 60 * time.Second
	enumerationUsers   = 10
	compromiseFailures = 3
	compromiseWindow   = 10 * time.Minute
	// quietTime without a failure ends an attack; the next one is worth an alert
	// of its own.
	quietTime = 60 * time.Second
)

// Alert is a record of soc-alerts, keyed by the address.
type Alert struct {
	Rule    Rule   `json:"rule"`
	Address string `json:"address"`
	Host    string `json:"host"`
	// Asset is the host's row of soc-assets, zero where there is none.
	Asset Asset `json:"asset,omitzero"`
	// Time and User are those of the event that raised it.
	Time time.Time `json:"time"`
	User string    `json:"user,omitempty"`
	// Count is the number of different users for an enumeration (maxHostUsers at
	// most), and of failures on this host so far for the others.
	Count int64 `json:"count"`
}

// String returns the alert as a line of text.
func (a Alert) String() string {
	noun := "failure"
	if a.Rule == Enumeration {
		noun = "user"
	}
	text := fmt.Sprintf("%s %s from %s on %s, %s", a.Time.Format(time.DateTime), a.Rule, a.Address, place(a), many(a.Count, noun))
	if a.User != "" {
		text += fmt.Sprintf(", user %q", a.User)
	}
	return text
}

// place is the alert's host and what is known of it.
func place(a Alert) string {
	if a.Asset == (Asset{}) {
		return a.Host
	}
	return fmt.Sprintf("%s (%s)", a.Host, a.Asset)
}

// alertID is what makes two alerts the same one, also when a record was
// processed twice and raised the count.
type alertID struct {
	rule          Rule
	address, host string
	time          int64
}

func (a Alert) id() alertID {
	return alertID{a.Rule, a.Address, a.Host, a.Time.UnixNano()}
}

// apply moves a row on by one event and returns the alerts that it raises. The
// zero row is the start of every address. It is pure: the row given is not
// changed, and the outcome depends on the order of events of each host only.
// An event processed twice raises the counts, and may raise an alert early.
func apply(row Attacker, ev sshlog.Event) (Attacker, []Alert) {
	if !ev.Counted() {
		return row, nil
	}
	row.count(ev)
	name := row.host(ev.Host)
	host := row.Hosts[name].clone()
	fired := host.observe(ev)
	row.setHost(name, host)

	var alerts []Alert
	for _, rule := range fired {
		alert := Alert{Rule: rule, Address: ev.Address, Host: ev.Host, Time: ev.Time, User: ev.User, Count: host.Failures}
		if rule == Enumeration {
			alert.Count = int64(len(host.Users))
		}
		alerts = append(alerts, alert)
	}
	return row, alerts
}

func (h HostState) clone() HostState {
	h.Users = slices.Clone(h.Users)
	h.Recent = slices.Clone(h.Recent)
	h.Alerted = maps.Clone(h.Alerted)
	return h
}

// observe takes an event in and returns the rules that fire and were not silent.
func (h *HostState) observe(ev sshlog.Event) []Rule {
	h.wake(ev.Time)
	newUser := triesUser(ev.Kind) && h.addUser(ev.User)
	if ev.Kind == sshlog.Failed {
		h.fail(ev)
	}
	holds := map[Rule]bool{
		BruteForce:     ev.Kind == sshlog.Failed && h.bruteForce(),
		Enumeration:    newUser && len(h.Users) >= enumerationUsers,
		Compromise:     ev.Kind == sshlog.Accepted && h.failuresBefore(ev.Time) >= compromiseFailures,
		BreakInAttempt: ev.Kind == sshlog.BreakIn,
	}
	var fired []Rule
	for _, rule := range rules {
		if _, silent := h.Alerted[rule]; !holds[rule] || silent {
			continue
		}
		if h.Alerted == nil {
			h.Alerted = make(map[Rule]time.Time, 1)
		}
		h.Alerted[rule] = ev.Time
		fired = append(fired, rule)
	}
	return fired
}

// wake ends the silence of each rule for which the quiet time has passed, since
// the last failure and since its own alert: a rule may fire without a failure.
func (h *HostState) wake(now time.Time) {
	var last time.Time
	for _, at := range h.Recent {
		if at.After(last) {
			last = at
		}
	}
	maps.DeleteFunc(h.Alerted, func(_ Rule, at time.Time) bool {
		if last.After(at) {
			at = last
		}
		return now.Sub(at) >= quietTime
	})
}

// addUser reports whether the name is new.
func (h *HostState) addUser(name string) bool {
	if slices.Contains(h.Users, name) {
		return false
	}
	if len(h.Users) < maxHostUsers {
		h.Users = append(h.Users, name)
	}
	return true
}

func (h *HostState) fail(ev sshlog.Event) {
	h.Failures += int64(ev.Count)
	for range min(ev.Count, bruteFailures) {
		h.Recent = append(h.Recent, ev.Time)
	}
	h.Recent = h.Recent[max(0, len(h.Recent)-bruteFailures):]
}

// bruteForce looks at the spread of the times and not at their order, so that a
// clock set back does not make an attack out of old failures.
func (h *HostState) bruteForce() bool {
	if len(h.Recent) < bruteFailures {
		return false
	}
	first := slices.MinFunc(h.Recent, time.Time.Compare)
	last := slices.MaxFunc(h.Recent, time.Time.Compare)
	return last.Sub(first) <= bruteWindow
}

func (h *HostState) failuresBefore(now time.Time) int {
	n := 0
	for _, at := range h.Recent {
		if age := now.Sub(at); age >= 0 && age <= compromiseWindow {
			n++
		}
	}
	return n
}
