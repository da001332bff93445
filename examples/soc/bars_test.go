package main

import (
	"bytes"
	"context"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tarnstream/tarn/observe"
)

// halfWay is a part with a partition that is restored, and one that is half-way.
func halfWay() observe.Stats {
	tables := func(r observe.RestoreStats) []observe.TableStats {
		r.Decision, r.End, r.Took = "rebuild", 1000, 4*time.Second
		return []observe.TableStats{{Topic: "attackers", Restore: r}}
	}
	return observe.Stats{Kind: observe.KindProcessor, State: observe.StateRunning, Tasks: map[int32]observe.TaskStats{
		0: {Tables: tables(observe.RestoreStats{Position: 1000, Records: 900, Done: true})},
		1: {Tables: tables(observe.RestoreStats{Position: 500, Records: 450, Rate: 125})}}}
}

func TestCaption(t *testing.T) {
	s := halfWay()
	require.Equal(t, "1 of 2 partitions, 1350 records, 125/s, 4s left", caption(s.Progress()))
	s.Tasks[2] = observe.TaskStats{Tables: []observe.TableStats{{Topic: "attackers"}}}
	require.Equal(t, "1 of 3 partitions, 1350 records, 125/s", caption(s.Progress()), "nobody knows of the one that waits")
	delete(s.Tasks, 2)
	s.Tasks[1].Tables[0].Restore.Done = true
	require.Equal(t, "1350 records of 2 partitions in 4s", caption(s.Progress()))
}

// A bar for each part with something to read, redrawn in place; what is done stays.
func TestDrawBars(t *testing.T) {
	var out bytes.Buffer
	s, n := halfWay(), 0
	ctx, cancel := context.WithCancel(t.Context())
	detect := func() observe.Progress {
		if n++; n == 4 {
			s.Tasks[1].Tables[0].Restore.Done, s.Tasks[1].Tables[0].Restore.Position = true, 1000
			cancel()
		}
		return s.Progress()
	}
	drawBars(ctx, &out, []restored{{name: "parse"}, {name: "detect", progress: detect}, {name: "view", progress: halfWay().Progress},
		{name: "file", progress: func() observe.Progress { return observe.Stats{State: observe.StateRunning}.Progress() }}})
	text := regexp.MustCompile(`\x1b\[[0-9]*[A-Z]`).ReplaceAllString(out.String(), "")
	require.NotContains(t, text, "parse")
	require.NotContains(t, text, "file", "it has nothing to read")
	require.Contains(t, text, " 75% [#####################.......]  detect: 1 of 2 partitions, 1350 records, 125/s, 4s left")
	require.Equal(t, 1, strings.Count(text, "detect: 1350 records of 2 partitions in 4s  done"))
	require.Contains(t, text, "view: 1 of 2")
}
