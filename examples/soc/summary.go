package main

import (
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"
	"time"
)

// shown bounds the lists of a summary, so that a log of a year stays readable.
const shown = 50

// summary is the report at the end, made to be read and to be searched: one
// line an attacker, its address and its number of failures in plain words. want
// is the direct count of the input, or nil where this instance did not feed it.
func summary(got Snapshot, want *Snapshot) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s read\n", many(got.Lines, "line"))
	fmt.Fprintf(&b, "%s \"Failed password\", %d of them repeated: %s\n",
		many(got.FailedLines, "line"), got.RepeatedLines, many(got.Failures, "failure"))
	fmt.Fprintf(&b, "%s\n", many(got.InvalidUsers, "invalid user"))
	fmt.Fprintf(&b, "%s%s\n", many(got.Accepted, "accepted login"), acceptedFrom(got.Attackers))
	fmt.Fprintf(&b, "%s\n", many(got.BreakIns, "break-in warning"))
	fmt.Fprintf(&b, "%s parsed, of no counted kind\n", many(got.Other, "line"))
	writeRejects(&b, got)
	writeAlerts(&b, got)
	writeAttackers(&b, got)
	if want != nil {
		writeDifference(&b, got, *want)
	}
	return b.String()
}

// many is a number with its noun: "1 address", "2 addresses".
func many[N int | int64](n N, noun string) string {
	switch {
	case n == 1:
		return fmt.Sprintf("%d %s", n, noun)
	case strings.HasSuffix(noun, "s"):
		return fmt.Sprintf("%d %ses", n, noun)
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// acceptedFrom names the first few addresses in order.
func acceptedFrom(rows []Attacker) string {
	const few = 5
	var from []string
	for _, row := range rows {
		if row.Accepted > 0 {
			from = append(from, row.Address)
		}
	}
	slices.Sort(from)
	switch {
	case len(from) == 0:
		return ""
	case len(from) > few:
		return fmt.Sprintf(" from %s and %d more addresses", strings.Join(from[:few], ", "), len(from)-few)
	}
	return " from " + strings.Join(from, ", ")
}

func writeRejects(b *strings.Builder, s Snapshot) {
	var all int64
	for _, n := range s.Rejects {
		all += n
	}
	fmt.Fprintf(b, "%s rejected\n", many(all, "line"))
	for _, reason := range slices.Sorted(maps.Keys(s.Rejects)) {
		fmt.Fprintf(b, "    %s rejected: %s\n", many(s.Rejects[reason], "line"), reason)
	}
}

func writeAlerts(b *strings.Builder, s Snapshot) {
	fmt.Fprintf(b, "\n%s\n", many(len(s.Alerts), "alert"))
	users := byAddress(s.Attackers)
	for _, rule := range rules {
		addresses := make(map[string]struct{})
		n := 0
		for _, alert := range s.Alerts {
			if alert.Rule == rule {
				addresses[alert.Address] = struct{}{}
				n++
			}
		}
		fmt.Fprintf(b, "%s with a %s alert, %s\n", many(len(addresses), "address"), rule, many(n, "alert"))
		if rule != Enumeration && rule != Compromise {
			continue
		}
		for address := range limited(slices.Sorted(maps.Keys(addresses))) {
			fmt.Fprintf(b, "    %s %s %s\n", address, rule, usersTried(users[address]))
		}
	}
	writeHosts(b, s.Alerts)
}

// writeHosts counts the alerts by host, with what is known of it.
func writeHosts(b *strings.Builder, alerts []Alert) {
	hosts := make(map[string]int)
	for _, alert := range alerts {
		hosts[place(alert)]++
	}
	var lines []string
	for _, host := range slices.Sorted(maps.Keys(hosts)) {
		lines = append(lines, fmt.Sprintf("%s on %s", many(hosts[host], "alert"), host))
	}
	for line := range limited(lines) {
		fmt.Fprintln(b, line)
	}
}

func writeAttackers(b *strings.Builder, s Snapshot) {
	rows := slices.DeleteFunc(slices.Clone(s.Attackers), func(a Attacker) bool { return !a.suspect() })
	raised := make(map[string][]string)
	for _, alert := range s.Alerts {
		if name := string(alert.Rule); !slices.Contains(raised[alert.Address], name) {
			raised[alert.Address] = append(raised[alert.Address], name)
		}
	}
	fmt.Fprintf(b, "\n%s\n", many(len(rows), "attacker"))
	for _, row := range top(slices.Values(rows), shown) {
		line := fmt.Sprintf("%s %s, %s, last seen %s %s %s", row.Address, many(row.Failures, "failure"), usersTried(row),
			row.LastSeen.Format(time.DateTime), row.LastOutcome, strings.Join(raised[row.Address], " "))
		fmt.Fprintln(b, strings.TrimRight(line, " "))
	}
	if more := len(rows) - shown; more > 0 {
		fmt.Fprintf(b, "and %d more attackers\n", more)
	}
}

func usersTried(row Attacker) string {
	if row.MoreUsers {
		return "more than " + many(len(row.Users), "user")
	}
	return many(len(row.Users), "user")
}

func writeDifference(b *strings.Builder, got, want Snapshot) {
	total, items := difference(got, want)
	fmt.Fprintf(b, "\ndifference to a direct count of the input: %d\n", total)
	for item := range limited(items) {
		fmt.Fprintf(b, "    %s\n", item)
	}
}

// limited yields the first items, and how many are left out.
func limited(items []string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for i, item := range items {
			if i == shown {
				yield(fmt.Sprintf("and %d more", len(items)-shown))
				return
			}
			if !yield(item) {
				return
			}
		}
	}
}
