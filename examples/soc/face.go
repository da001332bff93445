package main

import (
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/pterm/pterm"
	"golang.org/x/term"
)

// face shows snapshots while the groups run. Not for several goroutines.
type face interface {
	// Show shows the newest state of things.
	Show(Snapshot)
	// Close leaves what was shown last, and the cursor on a new line.
	Close() error
}

// newFace draws a live table when out is a terminal, and writes plain lines
// otherwise. Whatever else is written to the same terminal breaks the table:
// keep the log elsewhere until Close.
func newFace(out *os.File) face {
	if !isTerminal(out) {
		return &plainFace{out: out}
	}
	area := pterm.DefaultArea
	area.SetWriter(out)
	return &liveFace{area: &area}
}

func isTerminal(out *os.File) bool { return term.IsTerminal(int(out.Fd())) }

// liveFace draws the table over itself.
type liveFace struct {
	area *pterm.AreaPrinter
}

func (f *liveFace) Show(s Snapshot) { f.area.Update(render(s)) }

func (f *liveFace) Close() error { return f.area.Stop() }

// Rows of the live picture.
const (
	liveAttackers = 10
	liveAlerts    = 5
)

// render draws figures, the worst attackers and the newest alerts.
func render(s Snapshot) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n\n", figures(s))
	data := pterm.TableData{{"attacker", "failures", "users", "break-ins", "last seen", "last outcome"}}
	for _, row := range top(slices.Values(s.Attackers), liveAttackers) {
		users := strconv.Itoa(len(row.Users))
		if row.MoreUsers {
			users += "+"
		}
		data = append(data, []string{row.Address, strconv.FormatInt(row.Failures, 10), users,
			strconv.FormatInt(row.BreakIns, 10), row.LastSeen.Format(time.DateTime), string(row.LastOutcome)})
	}
	table, err := pterm.DefaultTable.WithHasHeader().WithData(data).Srender()
	if err != nil {
		table = err.Error()
	}
	fmt.Fprintf(&b, "%s\n\n", strings.TrimRight(table, "\n"))
	for _, alert := range s.Alerts[max(0, len(s.Alerts)-liveAlerts):] {
		fmt.Fprintf(&b, "%s\n", pterm.LightRed(alert.String()))
	}
	return b.String()
}

// figures is the state in one line.
func figures(s Snapshot) string {
	var rejects int64
	for _, n := range s.Rejects {
		rejects += n
	}
	return fmt.Sprintf("lines %d  failures %d  accepted %d  addresses %d  alerts %d  rejects %d",
		s.Lines, s.Failures, s.Accepted, len(s.Attackers), len(s.Alerts), rejects)
}

// plainFace writes what is new, a line each: the figures when they changed, and
// every alert.
type plainFace struct {
	out    io.Writer
	last   string
	alerts int
	err    error
}

func (f *plainFace) Show(s Snapshot) {
	for _, alert := range s.Alerts[min(f.alerts, len(s.Alerts)):] {
		f.line("alert: " + alert.String())
	}
	f.alerts = len(s.Alerts)
	if text := figures(s); text != f.last {
		f.last = text
		f.line(text)
	}
}

func (f *plainFace) line(text string) {
	if _, err := fmt.Fprintln(f.out, text); err != nil && f.err == nil {
		f.err = err
	}
}

// Close returns the first error of a write.
func (f *plainFace) Close() error { return f.err }
