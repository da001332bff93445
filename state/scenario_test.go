package state

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"
	"github.com/stretchr/testify/require"
)

// TestRestorerScenarios plays each file of testdata/restorer: events in, commands out. Run with -rewrite to have the
// commands written anew, and review the diff. What must hold in every scenario is in guard.
//
//	start [none] [left] [position=N] [applied=N] [epoch=N] [log-start=N] [topic=N] [age=D] [retention=D] [follow]
//	bounds start=N end=N [stable=N] [topic=N] [leader=N] [retention=D] [not-compacted] [denied]
//	records to=N [from=N] [at=(N,..)|none] [markers=N] [epoch=N] [last-epoch=N] [log-start=N] [stable=N] [end=N]
//	nothing ...                an answer without progress; like records
//	stall D stable=N end=N     such answers every 500ms, and the same bounds to each list: shows what comes after D, or sooner
//	out-of-range | failed | missing
//	tick                       the wait is over
//	pass D                     time passes, backwards with a minus
//	checkpoint                 what applying all that came amounts to
//
// A command that the shell just carries out (begin, apply, sweep, swap, and ready of a follower) is followed up at once.
// A checkpoint is 1h old, of topic 1, compacted with a retention of 24h, and of a record right below the position whose batch
// has no epoch, where nothing else is said. at gives the offsets
// of the records where there is not one at each, markers the number of others.
func TestRestorerScenarios(t *testing.T) {
	datadriven.Walk(t, "testdata/restorer", func(t *testing.T, path string) {
		s := &scenario{now: time.UnixMilli(1_700_000_000_000)}
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			s.out.Reset()
			s.g.t = t
			s.run(t, d)
			return s.out.String()
		})
	})
}

type scenario struct {
	g          guard
	now, start time.Time
	doing      command
	out        strings.Builder
}

func (s *scenario) run(t *testing.T, d *datadriven.TestData) {
	switch d.Cmd {
	case "start":
		s.begin(d)
	case "bounds":
		s.feed(evBounds{s.bounds(d)})
	case "records", "nothing":
		s.feed(evRecords{s.records(d)})
	case "stall":
		s.stall(t, d)
	case "out-of-range":
		s.feed(evOutOfRange{})
	case "failed":
		s.feed(evFailed{errors.New("refused for good")})
	case "missing":
		s.feed(evFailed{&TopicMissingError{Topic: "table"}})
	case "tick":
		s.now = s.now.Add(s.doing.wait)
		s.feed(evTick{})
	case "pass":
		s.now = s.now.Add(first(t, d))
		s.say("at %v", s.now.Sub(s.start))
	case "checkpoint":
		s.checkpoint()
	default:
		t.Fatalf("no such directive: %s", d.Cmd)
	}
}

// first is the argument of a directive that is about a time.
func first(t *testing.T, d *datadriven.TestData) time.Duration {
	span, err := time.ParseDuration(d.CmdArgs[0].Key)
	require.NoError(t, err)
	return span
}

func (s *scenario) stall(t *testing.T, d *datadriven.TestData) {
	for until := s.now.Add(first(t, d)); s.doing.kind == cmdList || s.doing.kind == cmdFetch && s.now.Before(until); {
		s.out.Reset()
		if s.doing.kind == cmdList {
			s.feed(evBounds{s.g.bounds})
			continue
		}
		s.now = s.now.Add(500 * time.Millisecond)
		s.feed(evRecords{s.records(d)})
	}
	s.say("at %v", s.now.Sub(s.start))
}

func (s *scenario) begin(d *datadriven.TestData) {
	s.start = s.now
	position := s.number(d, "position", 0)
	cp := Checkpoint{TopicID: TopicID{byte(s.number(d, "topic", 1))}, Position: position, LastApplied: s.number(d, "applied", position-1),
		LastAppliedEpoch: int32(s.number(d, "epoch", int64(noEpoch))), LogStart: s.number(d, "log-start", 0),
		KnownCurrent: s.now.Add(-s.span(d, "age", time.Hour)), DeleteRetention: s.span(d, "retention", day)}
	if d.HasArg("no-age") {
		cp.KnownCurrent = time.Time{}
	}
	s.g = guard{t: s.g.t, r: restorer{topic: "table", follow: d.HasArg("follow"), hang: time.Minute, relist: 30 * time.Second}}
	has := !d.HasArg("none")
	if !has {
		cp = Checkpoint{}
	}
	s.feed(evStart{cp: cp, has: has, left: d.HasArg("left")})
}

const day = 24 * time.Hour

func (s *scenario) bounds(d *datadriven.TestData) Bounds {
	end := s.number(d, "end", UnknownOffset)
	b := Bounds{Start: s.number(d, "start", UnknownOffset), End: end, Stable: s.number(d, "stable", end), TopicID: TopicID{byte(s.number(d, "topic", 1))},
		LeaderEpoch: int32(s.number(d, "leader", int64(UnknownEpoch))), Compacted: !d.HasArg("not-compacted"), DeleteRetention: s.span(d, "retention", day)}
	if d.HasArg("denied") {
		b.DeleteRetention = -1
	}
	return b
}

func (s *scenario) records(d *datadriven.TestData) Records {
	from := s.number(d, "from", s.doing.position)
	to := s.number(d, "to", from)
	epoch := int32(s.number(d, "epoch", int64(UnknownEpoch)))
	rs := Records{Position: from, Next: to, FirstEpoch: epoch, LastEpoch: int32(s.number(d, "last-epoch", int64(epoch))),
		LogStart: s.number(d, "log-start", UnknownOffset), Stable: s.number(d, "stable", to), End: s.number(d, "end", to)}
	var at []int64
	if !d.MaybeScanArgs(s.g.t, "at", &at) && !d.HasArg("none") {
		for o := from; o < to-s.number(d, "markers", 0); o++ {
			at = append(at, o)
		}
	}
	for _, o := range at {
		rs.Records = append(rs.Records, Record{Key: []byte("k"), Value: []byte("v"), Offset: o})
	}
	rs.Present = int64(len(at)) + s.number(d, "markers", 0)
	return rs
}

// feed gives the machine an event, and follows up what the shell just carries out.
func (s *scenario) feed(ev event) {
	for {
		s.doing = s.g.step(s.now, ev)
		s.tell(s.doing)
		switch s.doing.kind {
		case cmdList, cmdFetch, cmdWait, cmdFail:
			return
		case cmdReady:
			if !s.g.r.follow {
				return
			}
		}
		ev = evDone{}
	}
}

func (s *scenario) tell(c command) {
	if p := c.plan; p != nil {
		s.say("plan: %v [%d, %d): %s%s%s%s", p.Decision, p.Position, p.End, p.Cause, mark(p.Sweep >= 0, fmt.Sprintf("; sweep below %d", p.Sweep)),
			mark(p.Quarantine, "; quarantine"), mark(p.CheckEpoch, "; check epoch"))
	}
	if c.reset != nil {
		s.say("reset: %v", c.reset)
	}
	switch c.kind {
	case cmdList:
		s.say("list")
	case cmdFetch:
		s.say("%s %d", map[bool]string{true: "check", false: "fetch"}[s.g.r.checking >= 0], c.position)
	case cmdBegin:
		s.say("begin %d", c.cp.Position)
	case cmdApply:
		if c.apply.Next == c.apply.Position {
			s.say("stamp")
			return
		}
		s.say("apply [%d, %d) %d records%s", c.apply.Position, c.apply.Next, len(c.apply.Records), mark(c.flush, ", write"))
	case cmdSweep:
		s.say("sweep below %d", c.below)
	case cmdSwap:
		s.say("swap")
	case cmdReady:
		s.say("ready at %d%s", s.g.r.cp.Position, mark(s.g.r.unproven, ", tombstones unproven"))
	case cmdWait:
		s.say("wait %v", c.wait)
	case cmdFail:
		s.say("fail: %v", c.err)
	}
}

func (s *scenario) checkpoint() {
	cp := s.g.r.cp
	s.say("position %d, applied %d in epoch %d, log start %d, topic %d, current at %v, retention %v", cp.Position, cp.LastApplied,
		cp.LastAppliedEpoch, cp.LogStart, cp.TopicID[0], cp.KnownCurrent.Sub(s.start), cp.DeleteRetention)
}

func (s *scenario) say(format string, args ...any) { fmt.Fprintf(&s.out, format+"\n", args...) }

func mark(is bool, text string) string {
	if is {
		return text
	}
	return ""
}

// number and span give the value of an argument, def where there is none.
func (s *scenario) number(d *datadriven.TestData, name string, def int64) int64 {
	d.MaybeScanArgs(s.g.t, name, &def)
	return def
}

func (s *scenario) span(d *datadriven.TestData, name string, def time.Duration) time.Duration {
	d.MaybeScanArgs(s.g.t, name, &def)
	return def
}
