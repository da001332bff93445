package main

import (
	"cmp"
	"iter"
	"maps"
	"slices"
	"time"

	"github.com/tarnstream/tarn/examples/soc/sshlog"
)

// Bounds of a row, so that no attacker can grow it without end: with all of
// them reached it stays below 300 KB of JSON.
const (
	// maxUsers names are kept for a reader of the table: the first ones in
	// alphabetical order, which does not depend on the order of arrival.
	maxUsers = 100
	// maxHostUsers names are kept a host for the enumeration rule. Past it every
	// name counts as a new one.
	maxHostUsers = 16
	// maxHosts logging hosts have rules of their own; those that come later
	// share the state of otherHosts. Up to here a row depends on each host's
	// order of lines only, not on how the hosts' lines were mixed.
	maxHosts   = 32
	otherHosts = "other-hosts"
)

// Attacker is a row of the table soc-attackers: all that is known of one source
// address. An address that only ever logged in properly has a row too.
type Attacker struct {
	Address string `json:"address"`
	// Failures counts wrong passwords, repeated ones as often as they were repeated.
	Failures     int64 `json:"failures"`
	InvalidUsers int64 `json:"invalid_users"`
	Accepted     int64 `json:"accepted"`
	BreakIns     int64 `json:"break_ins"`
	// Users are the different names tried without success, in order.
	Users []string `json:"users"`
	// MoreUsers says that there were others, which Users had no room for.
	MoreUsers   bool        `json:"more_users,omitempty"`
	FirstSeen   time.Time   `json:"first_seen"`
	LastSeen    time.Time   `json:"last_seen"`
	LastHost    string      `json:"last_host"`
	LastOutcome sshlog.Kind `json:"last_outcome"`
	// Hosts is what the rules remember, by logging host.
	Hosts map[string]HostState `json:"hosts,omitempty"`
}

// HostState is what the rules remember of one address on one logging host.
type HostState struct {
	Failures int64    `json:"failures"`
	Users    []string `json:"users,omitempty"`
	// Recent are the times of the last failures, at most bruteFailures of them.
	Recent []time.Time `json:"recent,omitempty"`
	// Alerted holds the rules that have fired and are silent now, with the time.
	Alerted map[Rule]time.Time `json:"alerted,omitempty"`
}

// count adds an event to what a reader of the table sees. Nothing here depends
// on the order in which the events of different hosts come.
func (a *Attacker) count(ev sshlog.Event) {
	n := int64(ev.Count)
	switch ev.Kind {
	case sshlog.Failed:
		a.Failures += n
	case sshlog.InvalidUser:
		a.InvalidUsers += n
	case sshlog.Accepted:
		a.Accepted += n
	case sshlog.BreakIn:
		a.BreakIns += n
	}
	if triesUser(ev.Kind) {
		a.addUser(ev.User)
	}
	if a.Address == "" || ev.Time.Before(a.FirstSeen) {
		a.FirstSeen = ev.Time
	}
	if later := ev.Time.Compare(a.LastSeen); a.Address == "" || later > 0 || later == 0 && ev.Host >= a.LastHost {
		a.LastSeen, a.LastHost, a.LastOutcome = ev.Time, ev.Host, ev.Kind
	}
	a.Address = ev.Address
}

// triesUser reports whether the kind tells of a name tried without success.
func triesUser(kind sshlog.Kind) bool {
	return kind == sshlog.Failed || kind == sshlog.InvalidUser
}

func (a *Attacker) addUser(name string) {
	i, found := slices.BinarySearch(a.Users, name)
	if found {
		return
	}
	users := slices.Insert(slices.Clone(a.Users), i, name)
	if len(users) > maxUsers {
		users, a.MoreUsers = users[:maxUsers], true
	}
	a.Users = users
}

// host returns the name under which the host's state is kept.
func (a *Attacker) host(name string) string {
	if _, known := a.Hosts[name]; known || len(a.Hosts) < maxHosts {
		return name
	}
	return otherHosts
}

// setHost replaces a host's state without touching the map of the row it came from.
func (a *Attacker) setHost(name string, h HostState) {
	hosts := maps.Clone(a.Hosts)
	if hosts == nil {
		hosts = make(map[string]HostState, 1)
	}
	hosts[name] = h
	a.Hosts = hosts
}

// brief is the row without what only the rules need.
func (a Attacker) brief() Attacker {
	a.Hosts = nil
	return a
}

// suspect is false for somebody who only ever logged in properly.
func (a Attacker) suspect() bool {
	return a.Failures+a.BreakIns+a.InvalidUsers > 0
}

// top returns the n suspects with the most failures, worst first, in a memory
// bounded by n. Ties go by break-in warnings, invalid users, then by address.
func top(rows iter.Seq[Attacker], n int) []Attacker {
	best := make([]Attacker, 0, min(2*n, 1024))
	for row := range rows {
		if !row.suspect() {
			continue
		}
		best = append(best, row)
		if len(best) >= 2*n+1 {
			slices.SortFunc(best, worstFirst)
			best = best[:n]
		}
	}
	slices.SortFunc(best, worstFirst)
	return best[:min(n, len(best))]
}

func worstFirst(a, b Attacker) int {
	return cmp.Or(
		cmp.Compare(b.Failures, a.Failures),
		cmp.Compare(b.BreakIns, a.BreakIns),
		cmp.Compare(b.InvalidUsers, a.InvalidUsers),
		cmp.Compare(a.Address, b.Address))
}
