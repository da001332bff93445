package main

import (
	"errors"
	"iter"
	"maps"
	"slices"

	"github.com/tarnstream/tarn/examples/soc/sshlog"
)

// direct counts the input in memory, without Kafka: what the groups, whatever
// happened to them, must arrive at. It ends with the first read error.
func direct(lines iter.Seq2[sshlog.Line, error], year int) (Snapshot, error) {
	var all collector
	rows := make(map[string]Attacker)
	for line, err := range lines {
		if err != nil {
			return Snapshot{}, err
		}
		all.addLine()
		ev, err := sshlog.Parse(line.Text, year)
		if reject, ok := errors.AsType[*sshlog.RejectError](err); ok {
			all.addReject(newReject(line.Text, reject))
			continue
		}
		all.addEvent(ev)
		if !ev.Counted() {
			continue
		}
		row, alerts := apply(rows[ev.Address], ev)
		rows[ev.Address] = row
		for _, alert := range alerts {
			alert.Asset = inventory[alert.Host]
			all.addAlert(alert)
		}
	}
	return all.snapshot(slices.Collect(maps.Values(rows))), nil
}
