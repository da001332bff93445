package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/tarnstream/tarn/internal/inspect"
)

func stateInspect(_ context.Context, args []string, stdout, stderr io.Writer) error {
	f := newStateFlags("inspect", stdout, stderr).scripting()
	if err := f.parse(args); err != nil {
		return err
	}
	groups, err := inspect.Look(f.dir)
	if err != nil {
		return err
	}
	if f.json {
		return f.writeJSON(groups)
	}
	return showGroups(stdout, groups, time.Now())
}

// showGroups writes what is on disk for people.
func showGroups(w io.Writer, groups []inspect.Group, now time.Time) error {
	for i := range groups {
		showGroup(w, &groups[i], i == 0)
		if id := groups[i].Instance; id != "" {
			fmt.Fprintf(w, "instance %s\n", id)
		}
		t := newTable(w, "STORE", "GENERATION", "POSITION", "CURRENT", "DIGEST", "SIZE", "NOTE")
		for _, s := range groups[i].Stores {
			position, age, digest := "-", "-", "-"
			if cp := s.Checkpoint; cp != nil {
				position, age, digest = fmt.Sprint(cp.Position), "not known", cmp.Or(cp.Digest, "not known")
				if cp.KnownCurrent != nil {
					age = ago(now.Sub(*cp.KnownCurrent))
				}
			}
			t.row(place(s.Table, s.Partition), cmp.Or(s.Generation, "none"), position, age, digest, size(s.Bytes), note(&s))
		}
		if err := t.flush(noStores); err != nil {
			return err
		}
	}
	return nil
}

// showGroup writes a group's heading, with an empty line before it but for the first.
func showGroup(w io.Writer, g *inspect.Group, first bool) {
	if !first {
		fmt.Fprintln(w)
	}
	fmt.Fprintf(w, "%s %s in %s\n", g.Kind, g.Name, g.Dir)
	if h := g.Holder; h != nil {
		fmt.Fprintf(w, "%s\n", holder(h))
	}
}

func holder(h *inspect.Holder) string {
	if h.PID == 0 {
		return "held by a process"
	}
	return fmt.Sprintf("held by process %d on %s", h.PID, h.Host)
}

func note(s *inspect.Store) string {
	var parts []string
	if s.Fault != "" {
		parts = append(parts, s.Fault)
	}
	if n := len(s.Unfinished); n > 0 {
		parts = append(parts, "a rebuild that is not finished: "+strings.Join(s.Unfinished, " "))
	}
	if n := len(s.Quarantined); n > 0 {
		parts = append(parts, "in quarantine: "+strings.Join(s.Quarantined, " "))
	}
	return strings.Join(parts, "; ")
}

func statePlan(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	f := newStateFlags("plan", stdout, stderr).scripting().asking()
	if err := f.parse(args); err != nil {
		return err
	}
	k, err := f.connect(ctx)
	if err != nil {
		return err
	}
	defer k.Close()
	groups, err := inspect.Look(f.dir)
	if err != nil {
		return err
	}
	plans, err := planAll(ctx, k, groups)
	if err != nil {
		return err
	}
	if f.json {
		return f.writeJSON(plans)
	}
	return showPlans(stdout, plans)
}

// groupPlan is a group with the plans of its stores; its JSON is what the command writes.
type groupPlan struct {
	Kind   string            `json:"kind"`
	Name   string            `json:"name"`
	Dir    string            `json:"dir"`
	Holder *inspect.Holder   `json:"holder,omitempty"`
	Plans  []inspect.Planned `json:"plans"`

	group inspect.Group
}

func planAll(ctx context.Context, k *inspect.Kafka, groups []inspect.Group) ([]groupPlan, error) {
	all := []groupPlan{}
	for _, g := range groups {
		plans, err := k.Plan(ctx, g, time.Now())
		if err != nil {
			return nil, err
		}
		all = append(all, groupPlan{Kind: g.Kind, Name: g.Name, Dir: g.Dir, Holder: g.Holder, Plans: plans, group: g})
	}
	return all, nil
}

func showPlans(w io.Writer, all []groupPlan) error {
	for i := range all {
		showGroup(w, &all[i].group, i == 0)
		if all[i].Holder != nil {
			fmt.Fprintln(w, "this is what a start would do with what is on disk now; the process has newer state in memory")
		}
		t := newTable(w, "STORE", "PLAN", "RECORDS", "FROM", "TO", "CAUSE")
		for _, p := range all[i].Plans {
			t.row(place(p.Table, p.Partition), p.Decision, number(p.Records, p.To), number(p.From, p.From), number(p.To, p.To), cause(&p))
		}
		if err := t.flush(noStores); err != nil {
			return err
		}
	}
	return nil
}

func cause(p *inspect.Planned) string {
	parts := []string{p.Cause}
	if p.Sweep >= 0 {
		parts = append(parts, fmt.Sprintf("rows below the log start %d are removed", p.Sweep))
	}
	if p.ChecksEpoch {
		parts = append(parts, "the leader epoch is checked first")
	}
	if p.SetsAside {
		parts = append(parts, "what is on disk is set aside")
	}
	return strings.Join(parts, "; ")
}

// number is n where known is a number that is known.
func number(n, known int64) string {
	if known < 0 {
		return "-"
	}
	return fmt.Sprint(n)
}

func place(table string, partition int32) string { return fmt.Sprintf("%s/%d", table, partition) }

// size is a number of bytes for people.
func size(bytes int64) string {
	const unit = 1024
	if bytes < unit {
		return fmt.Sprintf("%d B", bytes)
	}
	v, names := float64(bytes)/unit, []string{"KiB", "MiB", "GiB", "TiB"}
	for v >= unit && len(names) > 1 {
		v, names = v/unit, names[1:]
	}
	return fmt.Sprintf("%.1f %s", v, names[0])
}

// ago is an age for people. A time after our clock is told as it is.
func ago(d time.Duration) string {
	switch {
	case d < 0:
		return fmt.Sprintf("in %v", (-d).Round(time.Second))
	case d < time.Minute:
		return fmt.Sprintf("%ds ago", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%dm ago", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh ago", int(d.Hours()))
	}
	return fmt.Sprintf("%dd ago", int(d.Hours()/24))
}

// table writes rows in columns. The last column may be empty.
type table struct {
	w       io.Writer
	columns *tabwriter.Writer
	text    strings.Builder // what columns has written
	rows    int
}

func newTable(w io.Writer, heads ...string) *table {
	t := &table{w: w, rows: -1}
	t.columns = tabwriter.NewWriter(&t.text, 0, 0, 2, ' ', 0)
	t.row(heads...)
	return t
}

// row adds a line. A cell of several lines, as an error may be, stays in it.
func (t *table) row(cells ...string) {
	fmt.Fprintln(t.columns, strings.ReplaceAll(strings.Join(cells, "\t"), "\n", "; "))
	t.rows++
}

// flush writes the table, or none in its place where it has no row.
func (t *table) flush(none string) error {
	if t.rows == 0 {
		_, err := fmt.Fprintln(t.w, none)
		return err
	}
	if err := t.columns.Flush(); err != nil {
		return err
	}
	for line := range strings.Lines(t.text.String()) {
		if _, err := fmt.Fprintln(t.w, strings.TrimRight(line, " \n")); err != nil {
			return err
		}
	}
	return nil
}

// noStores is told of a group that has no table, or has none yet.
const noStores = "no stores"
