package main

import (
	"errors"
	"fmt"
	"strconv"

	"github.com/tarnstream/tarn/codec"
	"github.com/tarnstream/tarn/examples/soc/sshlog"
	"github.com/tarnstream/tarn/topology"
)

// partitions of every topic.
const partitions = 4

// Headers of a line: its number in the input, and its year, which the feeder knows and the line does not tell.
const (
	lineHeader = "line"
	yearHeader = "year"
)

// monitor is the handles of one prefix and the groups over them.
type monitor struct {
	prefix string
	year   int

	lines     *topology.Stream[string]
	events    *topology.Stream[sshlog.Event]
	rejects   *topology.Stream[Reject]
	alerts    *topology.Stream[Alert]
	attackers *topology.Table[Attacker]
	toFile    *topology.Stream[Alert] // alerts under their keys in the log
	alertLog  *topology.Table[Alert]
	assets    *topology.ReadTable[Asset]
	inventory *topology.Stream[Asset] // the assets' topic, to fill it

	parse, detect, file *topology.Group
}

func newMonitor(prefix string, year int) (*monitor, error) {
	n := topology.Partitions(partitions)
	m := &monitor{prefix: prefix, year: year,
		lines:     topology.NewStream(prefix+"auth-log", codec.String, n),
		events:    topology.NewStream(prefix+"auth-events", codec.JSON[sshlog.Event](), n),
		rejects:   topology.NewStream(prefix+"soc-rejects", codec.JSON[Reject](), n),
		alerts:    topology.NewStream(prefix+"soc-alerts", codec.JSON[Alert](), n),
		attackers: topology.NewTable(prefix+"soc-attackers", codec.JSON[Attacker](), n),
		toFile:    topology.NewStream(prefix+"soc-alerts-to-file", codec.JSON[Alert]()),
		alertLog:  topology.NewTable(prefix+"soc-alert-log", codec.JSON[Alert](), n),
		assets:    topology.NewReadTable(prefix+"soc-assets", codec.JSON[Asset](), topology.Partitions(1)),
		inventory: topology.NewStream(prefix+"soc-assets", codec.JSON[Asset]()),
	}
	var parseErr, detectErr, fileErr error
	m.parse, parseErr = topology.Define(prefix+"soc-parse",
		topology.Input(m.lines, m.onLine), topology.Output(m.events), topology.Output(m.rejects))
	m.detect, detectErr = topology.Define(prefix+"soc-detect",
		topology.Input(m.events, m.onEvent), topology.Persist(m.attackers), topology.Lookup(m.assets), topology.Output(m.alerts))
	m.file, fileErr = topology.Define(prefix+"soc-file",
		topology.Input(m.alerts, m.onAlert), topology.Loop(m.toFile, m.fileAlert), topology.Persist(m.alertLog))
	return m, errors.Join(parseErr, detectErr, fileErr)
}

// handles are the topics, in the order in which records pass them.
func (m *monitor) handles() []topology.Handle {
	return []topology.Handle{m.lines, m.events, m.rejects, m.alerts, m.attackers, m.alertLog, m.assets}
}

// onLine turns a raw line into an event keyed by its source address, or puts it aside with the reason.
func (m *monitor) onLine(ctx *topology.Context, line string) error {
	ev, err := sshlog.Parse(line, int(headerNumber(ctx, yearHeader, int64(m.year))))
	if reject, ok := errors.AsType[*sshlog.RejectError](err); ok {
		return m.rejects.Emit(ctx, ctx.Key(), newReject(line, reject))
	}
	if err != nil {
		return err
	}
	return m.events.Emit(ctx, ev.Key(), ev)
}

// headerNumber gives the number in a header of the record, or another where there is none.
func headerNumber(ctx *topology.Context, name string, otherwise int64) int64 {
	for _, h := range ctx.Headers() {
		if n, err := strconv.ParseInt(string(h.Value), 10, 64); string(h.Key) == name && err == nil {
			return n
		}
	}
	return otherwise
}

// onEvent moves the row of the event's address on and raises the alerts, with what is known of the host.
func (m *monitor) onEvent(ctx *topology.Context, ev sshlog.Event) error {
	if !ev.Counted() {
		return nil
	}
	row, _, err := m.attackers.Get(ctx)
	if err != nil {
		return err
	}
	row, alerts := apply(row, ev)
	for _, a := range alerts {
		if a.Asset, _, err = m.assets.GetKey(ctx, a.Host); err != nil {
			return err
		}
		if err := m.alerts.Emit(ctx, a.Address, a); err != nil {
			return err
		}
	}
	return m.attackers.Set(ctx, row)
}

// report is a group of its own for every run of the program: it reads all topics from their start, for the figures of
// the summary and to find where feeding stopped.
func (m *monitor) report(run string, all *collector, fed *progress) (*topology.Group, error) {
	return topology.Define(fmt.Sprintf("%ssoc-report-%s", m.prefix, run),
		topology.Input(m.lines, func(ctx *topology.Context, _ string) error {
			all.addLine()
			fed.note(ctx.Key(), headerNumber(ctx, lineHeader, 0))
			return nil
		}),
		topology.Input(m.events, func(_ *topology.Context, ev sshlog.Event) error { all.addEvent(ev); return nil }),
		topology.Input(m.rejects, func(_ *topology.Context, r Reject) error { all.addReject(r); return nil }),
		topology.Input(m.alerts, func(_ *topology.Context, a Alert) error { all.addAlert(a); return nil }),
	)
}
