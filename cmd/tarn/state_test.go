package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tarnstream/tarn/codec"
	"github.com/tarnstream/tarn/devbroker"
	"github.com/tarnstream/tarn/internal/inspect"
	"github.com/tarnstream/tarn/processor"
	"github.com/tarnstream/tarn/topology"
)

var colours = topology.NewTable("colours", codec.String)

// shop is a state directory with the view of a table, and its broker.
type shop struct {
	t       *testing.T
	broker  *devbroker.Broker
	brokers string
	dir     string // the state directory
	view    string // the view's folder
}

// newShop has a table of two partitions: sky (then another value) and grass are in the first, the second is empty.
func newShop(t *testing.T) *shop {
	b, err := devbroker.Start()
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, b.Close()) })
	s := &shop{t: t, broker: b, brokers: strings.Join(b.Addrs(), ","), dir: t.TempDir()}
	s.view = filepath.Join(s.dir, "views", "colours")
	require.NoError(t, b.CreateTopic("colours", 2, map[string]string{"cleanup.policy": "compact"}))
	s.put("sky", "grey", "grass", "green", "sky", "blue")
	s.run()
	return s
}

// put writes rows to the first partition; "-" deletes.
func (s *shop) put(keyValues ...string) {
	s.t.Helper()
	for i := 0; i < len(keyValues); i += 2 {
		r := devbroker.Record{Key: []byte(keyValues[i]), Value: []byte(keyValues[i+1]), Timestamp: time.UnixMilli(1767225600000)}
		if keyValues[i+1] == "-" {
			r.Value = nil
		}
		require.NoError(s.t, s.broker.Produce("colours", 0, r))
	}
}

func (s *shop) options() []processor.Option {
	return []processor.Option{processor.Brokers(s.broker.Addrs()...), processor.StateDir(s.dir), processor.Logger(slog.New(slog.DiscardHandler))}
}

// start runs the view until stop is called.
func (s *shop) start() (stop func()) {
	s.t.Helper()
	v, err := processor.NewView(colours, s.options()...)
	require.NoError(s.t, err)
	ctx, cancel := context.WithCancel(s.t.Context())
	done := make(chan error, 1)
	go func() { done <- v.Run(ctx) }()
	select {
	case <-v.Ready():
	case err := <-done:
		require.NoError(s.t, err)
	}
	return func() { cancel(); require.NoError(s.t, <-done) }
}

func (s *shop) run() { s.start()() }

var (
	ages  = regexp.MustCompile(`\d+[smhd] ago`)
	uuids = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f-]{22}`)
	sizes = regexp.MustCompile(`\d+(\.\d)? Ki?B|\d+ B`)
	holds = regexp.MustCompile(`process \d+ on .*`)
)

// tell runs the command, requires its exit code and gives what it wrote, with what differs from run to run replaced.
func (s *shop) tell(code int, args ...string) string {
	s.t.Helper()
	got, stdout, stderr := runFor(s.t, args...)
	text := stdout + stderr
	require.Equal(s.t, code, got, text)
	text = strings.ReplaceAll(text, s.dir, "DIR")
	for re, by := range map[*regexp.Regexp]string{ages: "AGE", uuids: "UUID", sizes: "SIZE", holds: "process PID on HOST"} {
		text = re.ReplaceAllString(text, by)
	}
	return text
}

// snapshot is every file below the state directory with its time and content, as one text.
func (s *shop) snapshot() string {
	s.t.Helper()
	var b strings.Builder
	require.NoError(s.t, filepath.Walk(s.dir, func(path string, info os.FileInfo, err error) error {
		if err != nil {
			return err
		}
		var data []byte
		if !info.IsDir() {
			if data, err = os.ReadFile(path); err != nil {
				return err
			}
		}
		_, err = fmt.Fprintf(&b, "%s %v %v %x\n", path, info.Mode(), info.ModTime(), data)
		return err
	}))
	return b.String()
}

func TestStateInspect(t *testing.T) {
	s := newShop(t)
	before := s.snapshot()
	want := `view colours in DIR/views/colours
instance UUID
STORE      GENERATION  POSITION  CURRENT  DIGEST  SIZE     NOTE
colours/0  g00000001   3         AGE   a5c7f6a5a13b8055  SIZE  
colours/1  g00000001   0         AGE   0000000000000000  SIZE  
`
	require.Equal(t, columns(want), columns(s.tell(exitOK, "state", "inspect", s.dir)))
	require.Equal(t, columns(want), columns(s.tell(exitOK, "state", "inspect", s.view)), "one folder alone")
	require.Equal(t, before, s.snapshot(), "nothing was touched")

	stop := s.start()
	text := s.tell(exitOK, "state", "inspect", s.dir)
	require.Contains(t, text, "held by process PID on HOST\n")
	stop()

	require.NoError(t, os.Remove(filepath.Join(s.view, "colours", "1", "g00000001", "CURRENT")))
	require.NoError(t, os.MkdirAll(filepath.Join(s.view, "colours", "0", "g00000002"), 0o755))
	require.NoError(t, os.MkdirAll(filepath.Join(s.view, "colours", "0", "quarantine", "g00000001-1767225600"), 0o755))
	text = s.tell(exitOK, "state", "inspect", s.dir)
	require.Contains(t, text, "a rebuild that is not finished: g00000002; in quarantine: g00000001-1767225600\n")
	require.Regexp(t, `colours/1 +g00000001 +- +- +- +SIZE +state: store DIR/views/colours/colours/1/g00000001 is damaged: `, text)
}

// A column is as wide as its widest cell, whichever rows have a last one.
func TestTable(t *testing.T) {
	var out strings.Builder
	table := newTable(&out, "STORE", "SIZE", "NOTE")
	table.row("a/0", "1.5 KiB", "")
	table.row("a/1", "964 B", "damaged\na checksum")
	table.row("a/2", "17.5 KiB", "")
	require.NoError(t, table.flush("nothing"))
	require.NoError(t, newTable(&out, "STORE").flush("nothing"))
	require.Equal(t, `STORE  SIZE      NOTE
a/0    1.5 KiB
a/1    964 B     damaged; a checksum
a/2    17.5 KiB
nothing
`, out.String())
}

// A group without tables has a folder, too.
func TestState_NoStores(t *testing.T) {
	s := newShop(t)
	dir := filepath.Join(s.dir, "groups", "parser")
	require.NoError(t, os.MkdirAll(dir, 0o755))
	for command, more := range map[string]string{"inspect": "", "plan": "", "verify": "", "reset": "there is nothing to remove\n"} {
		args := []string{"state", command, dir, "-brokers", s.brokers}
		if command == "inspect" {
			args = args[:3]
		}
		require.Equal(t, "group parser in DIR/groups/parser\n"+cmp.Or(more, "no stores\n"), s.tell(exitOK, args...))
	}
}

// columns takes the widths out of a table: they go by what was replaced.
func columns(text string) string {
	return regexp.MustCompile(`  +`).ReplaceAllString(regexp.MustCompile(` +\n`).ReplaceAllString(text, "\n"), "  ")
}

func TestStateInspect_JSON(t *testing.T) {
	s := newShop(t)
	_, stdout, stderr := runFor(t, "state", "inspect", "-json", s.dir)
	require.Empty(t, stderr)
	var groups []inspect.Group
	require.NoError(t, json.Unmarshal([]byte(stdout), &groups))
	require.Len(t, groups, 1)
	g := groups[0]
	require.Equal(t, []any{"view", "colours", s.view}, []any{g.Kind, g.Name, g.Dir})
	require.Nil(t, g.Holder)
	require.Len(t, g.Stores, 2)
	require.EqualValues(t, 3, g.Stores[0].Checkpoint.Position)
	require.EqualValues(t, 2, g.Stores[0].Checkpoint.LastApplied)
	require.Equal(t, fmt.Sprintf("%x", s.broker.TopicID("colours")), g.Stores[0].Checkpoint.TopicID)
	require.WithinDuration(t, time.Now(), *g.Stores[0].Checkpoint.KnownCurrent, time.Minute)
	require.Equal(t, "a5c7f6a5a13b8055", g.Stores[0].Checkpoint.Digest)
	require.Positive(t, g.Stores[0].Bytes)
}

func TestStatePlan(t *testing.T) {
	s := newShop(t)
	plan := func() string { return columns(s.tell(exitOK, "state", "plan", s.dir, "-brokers", s.brokers)) }
	before := s.snapshot()
	require.Equal(t, columns(`view colours in DIR/views/colours
STORE      PLAN   RECORDS  FROM  TO  CAUSE
colours/0  ready  0        3     3   checkpoint is at the log end; the leader epoch is checked first
colours/1  ready  0        0     0   checkpoint is at the log end
`), plan())

	s.put("sea", "blue", "sky", "-")
	require.Equal(t, columns(`view colours in DIR/views/colours
STORE      PLAN    RECORDS  FROM  TO  CAUSE
colours/0  resume  2        3     5   the tail is younger than delete.retention.ms; the leader epoch is checked first
colours/1  ready   0        0     0   checkpoint is at the log end
`), plan())

	require.NoError(t, s.broker.SetConfig("colours", "cleanup.policy", "compact,delete"))
	require.NoError(t, s.broker.DeleteRecords("colours", 0, 4))
	require.Contains(t, plan(), "colours/0  rebuild  1  4  5  checkpoint 3 is below the log start 4\n")
	require.Equal(t, before, s.snapshot(), "nothing was touched")

	stop := s.start()
	require.Contains(t, plan(), "held by process PID on HOST\nthis is what a start would do with what is on disk now; the process has newer state in memory\n")
	stop()

	require.NoError(t, s.broker.DeleteTopic("colours"))
	require.Contains(t, plan(), "colours/0  unknown  -  -  -  state: topic colours does not exist\n")
	require.NoError(t, s.broker.CreateTopic("colours", 2, nil))
	require.Contains(t, plan(), "colours/1  rebuild  0  0  0  topic was deleted and created again; what is on disk is set aside\n")
	require.NoError(t, os.Remove(filepath.Join(s.view, "colours", "1", "g00000001", "CURRENT")))
	require.Regexp(t, `colours/1  rebuild  0  0  0  state: store DIR/views/colours/colours/1/g00000001 is damaged: .*; what is on disk is set aside\n`, plan())
}

func TestStatePlan_JSON(t *testing.T) {
	s := newShop(t)
	_, stdout, stderr := runFor(t, "state", "plan", s.dir, "-brokers", s.brokers, "-json")
	require.Empty(t, stderr)
	require.JSONEq(t, fmt.Sprintf(`[{"kind": "view", "name": "colours", "dir": %q, "plans": [
		{"table": "colours", "partition": 0, "decision": "ready", "cause": "checkpoint is at the log end", "from": 3, "to": 3, "records": 0, "sweep": -1, "checksEpoch": true},
		{"table": "colours", "partition": 1, "decision": "ready", "cause": "checkpoint is at the log end", "from": 0, "to": 0, "records": 0, "sweep": -1}]}]`, s.view), stdout)
}

func TestState_Misuse(t *testing.T) {
	for name, tc := range map[string]struct {
		args []string
		says string
	}{
		"no command":      {nil, "usage: tarn state <command> DIR"},
		"unknown command": {[]string{"look"}, `tarn state: unknown command "look"`},
		"no directory":    {[]string{"inspect"}, "tarn state inspect: no directory given"},
		"two directories": {[]string{"inspect", "a", "b"}, `unexpected argument "b"`},
		"no brokers":      {[]string{"plan", "a"}, "tarn state plan: no brokers given: use -brokers"},
		"unknown flag":    {[]string{"plan", "a", "-broker", "b"}, "-broker"},
		"empty brokers":   {[]string{"plan", "a", "-brokers", " ,"}, "tarn state plan: no brokers given: use -brokers"},
		"negative time":   {[]string{"plan", "a", "-timeout", "-1s"}, "-timeout -1s leaves no time"},
		"no time":         {[]string{"plan", "a", "-timeout", "0"}, "-timeout 0s leaves no time"},
	} {
		t.Run(name, func(t *testing.T) {
			code, stdout, stderr := runFor(t, append([]string{"state"}, tc.args...)...)
			require.Equal(t, exitUsage, code)
			require.Contains(t, stderr, tc.says)
			require.Empty(t, stdout)
		})
	}
	for _, args := range [][]string{{"state", "-h"}, {"state", "help"}, {"state", "plan", "-h"}} {
		code, stdout, stderr := runFor(t, args...)
		require.Equal(t, exitOK, code, args)
		require.NotEmpty(t, stdout, args)
		require.Empty(t, stderr, args)
	}
}

func TestState_NoSuchDirectory(t *testing.T) {
	code, _, stderr := runFor(t, "state", "inspect", filepath.Join(t.TempDir(), "none"))
	require.Equal(t, exitError, code)
	require.Contains(t, stderr, "no such file or directory")
	code, _, stderr = runFor(t, "state", "plan", t.TempDir(), "-brokers", "127.0.0.1:1", "-timeout", "50ms")
	require.Equal(t, exitError, code)
	require.Contains(t, stderr, "127.0.0.1:1")
}
