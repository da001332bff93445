package kafka

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "rewrite the expected output of the scenarios")

// TestMemberScenarios feeds each file of testdata/member to a machine. A line at the left margin is an event; the
// indented lines below it are the commands that it must give. Where they differ -update rewrites them: review the diff.
//
//	start | found | joined ID GEN [leader PEER...] | synced [TASKS] [idle] [incomplete] | beaten | left | handled
//	after DURATION                 time passes; ticks come when the machine asked for them
//	frozen DURATION                time passes, and the process does not run
//	beating DURATION               the same, and each heartbeat is answered at once and not shown
//	stop | rejoin | state          the end; Rejoin; print what the machine believes
//	!CODE, !io or !count at the end of an event is its error. PEER is ID:OWNED:STORED[:other], tasks as digits.
func TestMemberScenarios(t *testing.T) {
	files, err := filepath.Glob("testdata/member/*.txt")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, f := range files {
		t.Run(strings.TrimSuffix(filepath.Base(f), ".txt"), func(t *testing.T) {
			want, err := os.ReadFile(f)
			require.NoError(t, err)
			got := newScenario(t).run(string(want))
			if *update {
				require.NoError(t, os.WriteFile(f, []byte(got), 0o644))
				return
			}
			require.Equal(t, got, string(want), "rerun with -update and review the diff")
		})
	}
}

type scenario struct {
	t     *testing.T
	m     *machine
	now   time.Time
	start time.Time
	out   strings.Builder
	quiet bool // show no heartbeats
}

func newScenario(t *testing.T) *scenario {
	s := &scenario{t: t, now: time.Unix(1e9, 0)}
	s.start = s.now
	return s
}

func (s *scenario) run(text string) string {
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		if strings.HasPrefix(line, " ") {
			continue
		}
		fmt.Fprintln(&s.out, line)
		if line != "" && !strings.HasPrefix(line, "#") {
			s.line(strings.Fields(line))
		}
	}
	return s.out.String()
}

func (s *scenario) line(w []string) {
	switch w[0] {
	case "member": // member INSTANCE|- leaves|stays
		cfg := MembershipConfig{Group: "g", Topics: []string{"in"}, LeaveOnStop: w[2] == "leaves"}
		if w[1] != "-" {
			cfg.InstanceID = w[1]
		}
		s.m = newMachine(cfg.withDefaults(), 4)
	case "after":
		d, err := time.ParseDuration(w[1])
		require.NoError(s.t, err)
		s.pass(s.now.Add(d), false)
	case "frozen":
		d, err := time.ParseDuration(w[1])
		require.NoError(s.t, err)
		s.now = s.now.Add(d)
	case "beating":
		d, err := time.ParseDuration(w[1])
		require.NoError(s.t, err)
		s.pass(s.now.Add(d), true)
	case "state":
		who := "nobody"
		if s.m.live {
			who = fmt.Sprintf("%s/%d", s.m.member.ID, s.m.member.Generation)
		}
		s.say(fmt.Sprintf("%s held=%v claims=%v", who, s.m.held, s.m.claims()))
	default:
		s.feed(s.parse(w))
	}
}

func (s *scenario) pass(until time.Time, beating bool) {
	s.quiet = beating
	defer func() { s.quiet = false }()
	for range 200 {
		for beating && s.m.flying == opBeat {
			s.feed(memberIn{op: evBeaten})
		}
		due := s.m.due()
		if due.IsZero() || due.After(until) {
			s.now = until
			return
		}
		require.False(s.t, due.Before(s.now), "the machine asks for a tick in the past: %v", due.Sub(s.start))
		s.now = due
		s.feed(memberIn{op: evTick})
	}
	s.t.Fatal("the machine asks for ticks without end")
}

func (s *scenario) feed(in memberIn) {
	for _, o := range s.m.step(s.now, in) {
		if !s.quiet || o.op != opBeat {
			s.say(o.String())
		}
	}
}

func (s *scenario) say(what string) {
	fmt.Fprintf(&s.out, "    %-7s %s\n", s.now.Sub(s.start).Round(time.Millisecond), what)
}

func (s *scenario) parse(w []string) memberIn {
	in := memberIn{op: memberOp(w[0])}
	if last := w[len(w)-1]; strings.HasPrefix(last, "!") {
		in.err, w = scenarioError(s.t, last[1:]), w[:len(w)-1]
	}
	switch in.op {
	case evJoined:
		if len(w) < 2 {
			break
		}
		in.id = w[1]
		if len(w) > 2 {
			gen, err := strconv.Atoi(w[2])
			require.NoError(s.t, err)
			in.gen = int32(gen)
		}
		if in.leader = len(w) > 3; in.leader {
			for _, p := range w[4:] {
				in.peers = append(in.peers, scenarioPeer(p))
			}
		}
	case evSynced:
		in.granted.idle, in.granted.incomplete = slices.Contains(w, "idle"), slices.Contains(w, "incomplete")
		if len(w) > 1 {
			in.granted.tasks = digits(strings.Trim(w[1], "[]"))
		}
	}
	return in
}

func scenarioError(t *testing.T, name string) error {
	switch name {
	case "io":
		return io.EOF
	case "count":
		return &PartitionCountError{Topic: "in", Was: 4, Is: 8}
	case "producer":
		return errors.New("producer fenced")
	}
	code, err := strconv.Atoi(name)
	require.NoError(t, err)
	return &Error{Code: int16(code), Request: "R"}
}

func scenarioPeer(s string) peer {
	f := append(strings.Split(s, ":"), "", "", "")
	return peer{ID: f[0], Owned: digits(f[1]), Stored: digits(f[2]), Fits: f[3] == ""}
}

func digits(s string) taskSet {
	var out []int32
	for _, r := range s {
		if r >= '0' && r <= '9' {
			out = append(out, r-'0')
		}
	}
	return newTaskSet(out)
}
