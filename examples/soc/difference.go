package main

import (
	"fmt"
	"maps"
	"slices"
)

// difference compares what the groups made of the input with the direct count.
// total is 0 when they agree in everything; each item says where they do not.
func difference(got, want Snapshot) (total int64, items []string) {
	note := func(what string, got, want int64) {
		if got != want {
			total += max(got-want, want-got)
			items = append(items, fmt.Sprintf("%s: %d, direct count %d", what, got, want))
		}
	}
	compareCounts(note, got.Counts, want.Counts)
	compareAttackers(note, got.Attackers, want.Attackers)
	compareAlerts(note, got.Alerts, want.Alerts)
	return total, items
}

func compareCounts(note func(string, int64, int64), got, want Counts) {
	note("lines", got.Lines, want.Lines)
	note(`lines "Failed password"`, got.FailedLines, want.FailedLines)
	note("repeated lines", got.RepeatedLines, want.RepeatedLines)
	note("failures", got.Failures, want.Failures)
	note("invalid users", got.InvalidUsers, want.InvalidUsers)
	note("accepted", got.Accepted, want.Accepted)
	note("break-in warnings", got.BreakIns, want.BreakIns)
	note("other lines", got.Other, want.Other)
	for _, reason := range union(got.Rejects, want.Rejects) {
		note("rejects, "+string(reason), got.Rejects[reason], want.Rejects[reason])
	}
}

func compareAttackers(note func(string, int64, int64), got, want []Attacker) {
	gotRows, wantRows := byAddress(got), byAddress(want)
	for _, address := range union(gotRows, wantRows) {
		g, w := gotRows[address], wantRows[address]
		note(address+" failures", g.Failures, w.Failures)
		note(address+" invalid users", g.InvalidUsers, w.InvalidUsers)
		note(address+" accepted", g.Accepted, w.Accepted)
		note(address+" break-in warnings", g.BreakIns, w.BreakIns)
		note(address+" users", int64(len(g.Users)), int64(len(w.Users)))
	}
}

func compareAlerts(note func(string, int64, int64), got, want []Alert) {
	gotIDs, wantIDs := byID(got), byID(want)
	for _, alert := range slices.Concat(got, want) {
		_, g := gotIDs[alert.id()]
		_, w := wantIDs[alert.id()]
		if g != w {
			note(fmt.Sprintf("alert %s", alert), btoi(g), btoi(w))
		}
	}
	for _, alert := range got {
		if w, both := wantIDs[alert.id()]; both && w.Asset != alert.Asset {
			note(fmt.Sprintf("alert %s: the asset of %s", alert, place(w)), 0, 1)
		}
	}
}

func byAddress(rows []Attacker) map[string]Attacker {
	m := make(map[string]Attacker, len(rows))
	for _, row := range rows {
		m[row.Address] = row
	}
	return m
}

func byID(alerts []Alert) map[alertID]Alert {
	m := make(map[alertID]Alert, len(alerts))
	for _, alert := range alerts {
		m[alert.id()] = alert
	}
	return m
}

// union returns the keys of both maps, each once, in order.
func union[K ~string, V any](a, b map[K]V) []K {
	both := slices.AppendSeq(slices.Collect(maps.Keys(a)), maps.Keys(b))
	slices.Sort(both)
	return slices.Compact(both)
}

func btoi(b bool) int64 {
	if b {
		return 1
	}
	return 0
}
