package main

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/tarnstream/tarn/internal/inspect"
)

func stateReset(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	f := newStateFlags("reset", stdout, stderr).scripting().asking()
	topics := f.set.String("delete-topics", "", "the `names` of the group's own tables, with commas between them, whose topics are deleted too")
	yes := f.set.Bool("yes", false, "do it; without it nothing is changed")
	if err := f.parse(args); err != nil {
		return err
	}
	groups, err := inspect.Look(f.dir)
	if err != nil {
		return err
	}
	if len(groups) != 1 {
		return several(groups)
	}
	var k *inspect.Kafka
	if groups[0].Kind == "group" {
		if k, err = f.connect(ctx); err != nil {
			return err
		}
		defer k.Close()
	}
	r, err := inspect.PlanReset(ctx, k, groups[0], split(*topics))
	if err == nil && *yes {
		err = r.Do(ctx, k)
	}
	if err != nil {
		return err
	}
	if f.json {
		return f.writeJSON(r)
	}
	return showReset(stdout, &r)
}

// several asks for one of them: a reset is never of more than one.
func several(groups []inspect.Group) error {
	var dirs []string
	for _, g := range groups {
		dirs = append(dirs, g.Dir)
	}
	return fmt.Errorf("reset is for one group or view, name its folder: %s", strings.Join(dirs, ", "))
}

// split gives what stands between commas.
func split(list string) (parts []string) {
	for part := range strings.SplitSeq(list, ",") {
		if part = strings.TrimSpace(part); part != "" {
			parts = append(parts, part)
		}
	}
	return parts
}

func showReset(w io.Writer, r *inspect.Reset) error {
	fmt.Fprintf(w, "%s %s in %s\n", r.Kind, r.Name, r.Dir)
	t := newTable(w, "WHAT", "NAME", "NOTE")
	for _, s := range r.Stores {
		t.row("store", place(s.Table, s.Partition), size(s.Bytes))
	}
	for _, o := range r.Offsets {
		t.row("offset", place(o.Topic, o.Partition), fmt.Sprint(o.Offset))
	}
	for _, topic := range r.Topics {
		t.row("topic", topic.Name, topicNote(&topic))
	}
	if err := t.flush("there is nothing to remove"); err != nil || t.rows == 0 {
		return err
	}
	verb := "would be"
	if r.Done {
		verb = "was"
	}
	fmt.Fprintf(w, "all of this %s removed\n", verb)
	if r.Kind == "group" && len(r.Offsets) == 0 {
		fmt.Fprintln(w, "the group has no committed offsets on these brokers")
	}
	if r.Kind == "group" && len(r.Kept) > 0 {
		fmt.Fprintf(w, "the topics of the tables stay: %s\n", strings.Join(r.Kept, ", "))
		fmt.Fprintln(w, "where they are the group's own, a start restores them and refuses to count anew into tables that are not empty: see -delete-topics")
	}
	if !r.Done {
		fmt.Fprintln(w, "nothing was changed; -yes does it")
	}
	return nil
}

func topicNote(topic *inspect.ResetTopic) string {
	if topic.Missing {
		return "does not exist"
	}
	note := fmt.Sprintf("%d records at most", topic.Records)
	if topic.Other {
		note += "; not the topic that the stores are of: made again, or of another cluster"
	}
	return note
}
