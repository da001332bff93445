package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/tarnstream/tarn/internal/inspect"
	tables "github.com/tarnstream/tarn/state"
)

// showing adds how values are shown.
func (f *stateFlags) showing() *stateFlags {
	f.set.StringVar((*string)(&f.values), "values", string(inspect.Text), "what values are: `text` (base64 where they are no UTF-8), json or int64")
	return f
}

func stateVerify(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	f := newStateFlags("verify", stdout, stderr).scripting().asking().showing()
	if err := f.parse(args); err != nil {
		return err
	}
	k, err := f.connect(ctx)
	if err != nil {
		return err
	}
	defer k.Close()
	groups, err := inspect.Look(f.dir)
	if err == nil {
		err = inspect.Idle(groups)
	}
	if err != nil {
		return err
	}
	audits, err := verifyAll(ctx, k, groups, f.values)
	if err == nil {
		err = f.tellAudits(audits)
	}
	if err != nil {
		return err
	}
	if err := inspect.Idle(groups); err != nil { // what was compared may have changed under it
		return err
	}
	return verdict(audits)
}

// groupAudit is a group with the audits of its stores; its JSON is what the command writes.
type groupAudit struct {
	Kind   string            `json:"kind"`
	Name   string            `json:"name"`
	Dir    string            `json:"dir"`
	Stores []inspect.Audited `json:"stores"`

	group inspect.Group
}

func verifyAll(ctx context.Context, k *inspect.Kafka, groups []inspect.Group, values inspect.Values) ([]groupAudit, error) {
	all := []groupAudit{}
	for _, g := range groups {
		a := groupAudit{Kind: g.Kind, Name: g.Name, Dir: g.Dir, Stores: []inspect.Audited{}, group: g}
		if err := k.Verify(ctx, g, values, func(s inspect.Audited) { a.Stores = append(a.Stores, s) }); err != nil {
			return nil, err
		}
		all = append(all, a)
	}
	return all, nil
}

func (f *stateFlags) tellAudits(all []groupAudit) error {
	if f.json {
		return f.writeJSON(all)
	}
	for i := range all {
		showGroup(f.stdout, &all[i].group, i == 0)
		t := newTable(f.stdout, "STORE", "VERDICT", "POSITION", "ROWS", "RECORDS", "DIGEST", "NOTE")
		for _, s := range all[i].Stores {
			t.row(place(s.Table, s.Partition), s.Verdict, fmt.Sprint(s.Position), fmt.Sprint(s.Rows), fmt.Sprint(s.Records), digestOf(&s), auditNote(&s))
		}
		if err := t.flush(noStores); err != nil {
			return err
		}
		for _, s := range all[i].Stores {
			f.tellDifferences(&s)
		}
	}
	return nil
}

func (f *stateFlags) tellDifferences(s *inspect.Audited) {
	for _, d := range s.Raw {
		fmt.Fprintf(f.stdout, "%s %s: the table has %s, the topic has %s\n", place(s.Table, s.Partition), inspect.Text.Show(d.Key),
			f.showSide(d.Table), f.showSide(d.Topic))
	}
	if more := s.Different - int64(len(s.Raw)); more > 0 {
		fmt.Fprintf(f.stdout, "%s: and %d more\n", place(s.Table, s.Partition), more)
	}
}

func (f *stateFlags) showSide(row *tables.Row) string {
	switch {
	case row == nil:
		return "no row"
	case row.Value == nil:
		return fmt.Sprintf("another value (offset %d, compacted away meanwhile)", row.Offset)
	}
	return fmt.Sprintf("%s (offset %d)", f.values.Show(row.Value), row.Offset)
}

// digestOf tells how the digest of the rows and the stored one go together.
func digestOf(s *inspect.Audited) string {
	switch {
	case s.Digest == "":
		return "-"
	case s.Stored == "":
		return "not stored"
	case s.Altered:
		return "differs"
	}
	return "matches"
}

func auditNote(s *inspect.Audited) string {
	var parts []string
	note := func(n int64, what string) {
		if n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, what))
		}
	}
	if s.Cause != "" {
		parts = append(parts, s.Cause)
	}
	note(s.Different, "keys differ")
	if s.Altered {
		parts = append(parts, fmt.Sprintf("the rows are not those that were written: their digest is %s, not %s", s.Digest, s.Stored))
	}
	note(s.Unproven, "rows are not in the topic, but tombstones may have come and gone")
	note(s.Changed, "rows have newer records and were not compared")
	note(s.Below, "rows are below the log start, which a start removes")
	return strings.Join(parts, "; ")
}

// verdict is an error unless all is equal.
func verdict(all []groupAudit) error {
	stores, bad := 0, 0
	for _, g := range all {
		for _, s := range g.Stores {
			stores++
			if s.Verdict != inspect.Equal {
				bad++
			}
		}
	}
	if bad == 0 {
		return nil
	}
	return fmt.Errorf("%d of %d stores are not shown to equal their topics", bad, stores)
}

func stateExport(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	f := newStateFlags("export", stdout, stderr).showing()
	table := f.set.String("table", "", "the table's `name`; needed where there are several")
	partition := f.set.Int("partition", -1, "this `partition` alone")
	if err := f.parse(args); err != nil {
		return err
	}
	groups, err := inspect.Look(f.dir)
	if err == nil {
		err = inspect.Idle(groups)
	}
	if err != nil {
		return err
	}
	stores, err := chosen(groups, *table, *partition)
	if err != nil {
		return err
	}
	out := bufio.NewWriter(stdout)
	enc := json.NewEncoder(out)
	enc.SetEscapeHTML(false)
	for i := range stores {
		if err := inspect.Export(ctx, &stores[i], f.values, func(l inspect.Line) error { return enc.Encode(l) }); err != nil {
			return fmt.Errorf("%s: %w", place(stores[i].Table, stores[i].Partition), err)
		}
	}
	if err := out.Flush(); err != nil {
		return err
	}
	return inspect.Idle(groups)
}

// chosen gives the stores to export, which must be of one table in one folder.
func chosen(groups []inspect.Group, table string, partition int) ([]inspect.Store, error) {
	var stores []inspect.Store
	var folders, names []string
	for _, g := range groups {
		for _, s := range g.Stores {
			if table != "" && s.Table != table || partition >= 0 && int(s.Partition) != partition {
				continue
			}
			stores, folders, names = append(stores, s), append(folders, g.Dir), append(names, s.Table)
		}
	}
	folders, names = slices.Compact(folders), slices.Compact(names)
	switch {
	case len(stores) == 0:
		return nil, fmt.Errorf("there is no such table or partition on disk")
	case len(folders) > 1:
		return nil, fmt.Errorf("several groups or views have it, name one of their folders: %s", strings.Join(folders, ", "))
	case len(names) > 1:
		return nil, fmt.Errorf("there are several tables, name one by -table: %s", strings.Join(names, ", "))
	}
	return stores, nil
}
