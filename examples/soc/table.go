package main

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"slices"
	"sync/atomic"

	"github.com/tarnstream/tarn/observe"
	"github.com/tarnstream/tarn/processor"
	"github.com/tarnstream/tarn/state"
)

// table gives the views of the moment to the HTTP handlers and to the picture.
type table struct {
	view   atomic.Pointer[processor.View[Attacker]]
	alerts atomic.Pointer[processor.View[Alert]]
	parts  atomic.Pointer[[]observe.Source] // all groups and views, ready or not
}

// watched are the groups and views that run, or are being started.
func (t *table) watched() []observe.Source {
	if parts := t.parts.Load(); parts != nil {
		return *parts
	}
	return nil
}

// of makes the views of running groups those of the moment.
func (t *table) of(g *groups) {
	t.view.Store(g.view)
	t.alerts.Store(g.alerts)
}

// rows are all rows, in any order.
func (t *table) rows() ([]Attacker, error) {
	view := t.view.Load()
	if view == nil {
		return nil, errNotReady
	}
	var rows []Attacker
	for row, err := range view.Range() {
		if err != nil {
			return nil, ready(err)
		}
		rows = append(rows, row.Value)
	}
	return rows, nil
}

// Top implements attackers.
func (t *table) Top(n int) ([]Attacker, error) {
	rows, err := t.rows()
	if err != nil {
		return nil, err
	}
	return top(slices.Values(rows), n), nil
}

// Get implements attackers.
func (t *table) Get(address string) (Attacker, bool, error) {
	view := t.view.Load()
	if view == nil {
		return Attacker{}, false, errNotReady
	}
	row, ok, err := view.Get(address)
	return row, ok, ready(err)
}

func ready(err error) error {
	if errors.Is(err, processor.ErrNotReady) || errors.Is(err, state.ErrClosed) {
		return errNotReady
	}
	return err
}

// server is the part that answers HTTP.
func server(l net.Listener, t *table, log *slog.Logger) part {
	return part{"http", func(ctx context.Context) error { return serve(ctx, l, operable(newHandler(t, log), t)) }}
}
