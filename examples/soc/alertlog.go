package main

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/tarnstream/tarn/topology"
)

// The alert log is the table soc-alert-log, kept by a small group of its own out of soc-alerts: one row for each alert, under
// a key that tells alerts apart, so that one raised twice is one row. Alerts come keyed by address, and a row of another
// key may be another task's: they go through a loop under their own key first.

// key is the alert's in the log: rule, host, address and the time at which it was raised.
func (a Alert) key() string {
	return fmt.Sprintf("%s/%s/%s/%s", a.Rule, a.Host, a.Address, a.Time.UTC().Format(time.RFC3339Nano))
}

func (m *monitor) onAlert(ctx *topology.Context, a Alert) error {
	return m.toFile.Emit(ctx, a.key(), a)
}

func (m *monitor) fileAlert(ctx *topology.Context, a Alert) error {
	return m.alertLog.Set(ctx, a)
}

// maxAlerts bounds an answer.
const maxAlerts = 1000

// Since gives the alerts raised at that time or later, oldest first, at most maxAlerts: who wants more asks again from the
// last one's time.
func (t *table) Since(at time.Time) ([]Alert, error) {
	view := t.alerts.Load()
	if view == nil {
		return nil, errNotReady
	}
	var found []Alert
	for row, err := range view.Range() {
		if err != nil {
			return nil, ready(err)
		}
		if !row.Value.Time.Before(at) {
			found = append(found, row.Value)
		}
	}
	slices.SortFunc(found, earliestFirst)
	return found[:min(maxAlerts, len(found))], nil
}

func earliestFirst(a, b Alert) int {
	if order := a.Time.Compare(b.Time); order != 0 {
		return order
	}
	return cmp.Compare(a.key(), b.key())
}
