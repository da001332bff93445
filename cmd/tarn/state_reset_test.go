package main

import (
	"context"
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tarnstream/tarn/codec"
	"github.com/tarnstream/tarn/devbroker"
	"github.com/tarnstream/tarn/processor"
	"github.com/tarnstream/tarn/topology"
)

var (
	visits = topology.NewStream("visits", codec.String)
	counts = topology.NewTable("visit-counts", codec.Int64)
)

// stamps are what differs from run to run in an exported row.
var stamps = regexp.MustCompile(`,"offset":.*?"timestamp":"[^"]*"`)

func visitors(t *testing.T) *topology.Group {
	t.Helper()
	g, err := topology.Define("visitors", topology.Persist(counts), topology.Input(visits, func(ctx *topology.Context, _ string) error {
		n, _, err := counts.Get(ctx)
		if err != nil {
			return err
		}
		return counts.Set(ctx, n+1)
	}))
	require.NoError(t, err)
	return g
}

// visit sends visits of the keys.
func (s *shop) visit(keys ...string) {
	s.t.Helper()
	e, err := processor.NewEmitter(visits, s.options()...)
	require.NoError(s.t, err)
	for _, key := range keys {
		require.NoError(s.t, e.Emit(s.t.Context(), key, "x"))
	}
	require.NoError(s.t, e.Close(s.t.Context()))
}

// count runs the group until it has counted everything, calls done, stops it, and gives what is then on disk.
func (s *shop) count(done func()) string {
	s.t.Helper()
	g := visitors(s.t)
	p, err := processor.New(g, s.options()...)
	require.NoError(s.t, err)
	ctx, cancel := context.WithCancel(s.t.Context())
	ended := make(chan error, 1)
	go func() { ended <- p.Run(ctx) }()
	select {
	case <-p.Ready():
	case err := <-ended:
		require.NoError(s.t, err)
	}
	for lag := int64(1); lag > 0; {
		lag, err = processor.Lag(s.t.Context(), g, s.options()...)
		require.NoError(s.t, err)
	}
	done()
	cancel()
	require.NoError(s.t, <-ended)
	return stamps.ReplaceAllString(s.tell(exitOK, "state", "export", filepath.Join(s.dir, "groups", "visitors"), "-values", "int64"), "")
}

func TestStateReset(t *testing.T) {
	s := newShop(t)
	require.NoError(t, s.broker.CreateTopic("visits", 2, nil))
	s.visit("ann", "bob", "ann", "ann") // all in the first partition
	dir := filepath.Join(s.dir, "groups", "visitors")
	reset := func(code int, more ...string) string {
		return columns(s.tell(code, append([]string{"state", "reset", dir, "-brokers", s.brokers}, more...)...))
	}
	require.Equal(t, "{\"key\":\"ann\",\"value\":3}\n{\"key\":\"bob\",\"value\":1}\n", s.count(func() {
		require.Regexp(t, `^tarn: inspect: state: DIR/groups/visitors is in use by process PID on HOST\n$`, reset(exitError, "-yes"))
	}))
	require.Contains(t, s.tell(exitError, "state", "reset", s.dir, "-brokers", s.brokers), "name its folder: DIR/groups/visitors, DIR/views/colours")

	before := s.snapshot()
	list := `group visitors in DIR/groups/visitors
WHAT    NAME            NOTE
store   visit-counts/0  SIZE
store   visit-counts/1  SIZE
offset  visits/0        4
offset  visits/1        0
`
	kept := `the topics of the tables stay: visit-counts
where they are the group's own, a start restores them and refuses to count anew into tables that are not empty: see -delete-topics
`
	require.Equal(t, columns(list+"all of this would be removed\n"+kept+"nothing was changed; -yes does it\n"), reset(exitOK))
	require.Regexp(t, `\ntopic  visit-counts  \d records at most\nall of this would be removed\nnothing was changed; -yes does it\n$`,
		reset(exitOK, "-delete-topics", "visit-counts")) // changes of one commit are one record
	require.Contains(t, reset(exitError, "-delete-topics", "visits"), "visits is no table that DIR/groups/visitors has a store of")
	require.Equal(t, before, s.snapshot(), "nothing was touched")
	info, err := s.broker.Group("visitors")
	require.NoError(t, err)
	require.Len(t, info.Commits["visits"], 2)

	require.Contains(t, reset(exitOK, "-delete-topics", "visit-counts", "-yes"), "\nall of this was removed\n")
	require.NoDirExists(t, filepath.Join(dir, "visit-counts", "0"))
	info, err = s.broker.Group("visitors")
	require.NoError(t, err)
	require.Empty(t, info.Commits)
	_, _, err = s.broker.Config("visit-counts")
	require.Error(t, err, "the topic is gone")
	s.visit("ann")
	require.Equal(t, "{\"key\":\"ann\",\"value\":4}\n{\"key\":\"bob\",\"value\":1}\n", s.count(func() {}), "everything is counted anew, once")
}

// The topics stay unless they are named: a start then finds its rows there, and does not count twice.
func TestStateReset_TopicsStay(t *testing.T) {
	s := newShop(t)
	require.NoError(t, s.broker.CreateTopic("visits", 1, nil))
	s.visit("ann")
	s.count(func() {})
	dir := filepath.Join(s.dir, "groups", "visitors")
	for _, says := range []string{"all of this was removed", "there is nothing to remove"} { // it may be done again
		require.Contains(t, s.tell(exitOK, "state", "reset", dir, "-brokers", s.brokers, "-yes"), says)
	}
	p, err := processor.New(visitors(t), s.options()...)
	require.NoError(t, err)
	require.ErrorContains(t, p.Run(t.Context()), "the tables are not empty, but the group has no committed offset")
}

// The brokers let the group go and not its topic: what is left is done when it is run again.
func TestStateReset_FailsMidway(t *testing.T) {
	s := newShop(t)
	require.NoError(t, s.broker.CreateTopic("visits", 1, nil))
	s.visit("ann")
	s.count(func() {})
	const deleteTopics, topicAuthorizationFailed = 20, 29
	s.broker.Fail(devbroker.Fault{Request: devbroker.RequestOf(deleteTopics), Err: topicAuthorizationFailed})
	dir := filepath.Join(s.dir, "groups", "visitors")
	reset := func(code int) string {
		return s.tell(code, "state", "reset", dir, "-brokers", s.brokers, "-delete-topics", "visit-counts", "-yes")
	}
	require.Contains(t, reset(exitError), "tarn: inspect: the group's offsets are deleted, topics and stores may not be; do it again: topic \"visit-counts\": kafka: DeleteTopics")
	require.Contains(t, reset(exitOK), "all of this was removed\nthe group has no committed offsets on these brokers\n")
	_, _, err := s.broker.Config("visit-counts")
	require.Error(t, err, "the topic is gone")
	require.NoDirExists(t, filepath.Join(dir, "visit-counts", "0"))
}

// Topics that are not those that the stores were read from: the operator may have named the wrong brokers.
func TestStateReset_AnotherTopic(t *testing.T) {
	s := newShop(t)
	require.NoError(t, s.broker.CreateTopic("visits", 1, nil))
	s.visit("ann")
	s.count(func() {})
	reset := func() string {
		return columns(s.tell(exitOK, "state", "reset", filepath.Join(s.dir, "groups", "visitors"), "-brokers", s.brokers, "-delete-topics", "visit-counts"))
	}
	require.Regexp(t, `\ntopic  visit-counts  2 records at most\n`, reset())
	require.NoError(t, s.broker.DeleteTopic("visit-counts"))
	require.Contains(t, reset(), "\ntopic  visit-counts  does not exist\n")
	require.NoError(t, s.broker.CreateTopic("visit-counts", 1, nil))
	require.Contains(t, reset(), "\ntopic  visit-counts  0 records at most; not the topic that the stores are of: made again, or of another cluster\n")
}

// A group whose members are elsewhere, with another state directory, is in use as well.
func TestStateReset_MembersElsewhere(t *testing.T) {
	s := newShop(t)
	require.NoError(t, s.broker.CreateTopic("visits", 1, nil))
	s.visit("ann")
	s.count(func() {})
	here := s.dir
	s.dir = t.TempDir()
	s.count(func() {
		code, _, stderr := runFor(t, "state", "reset", filepath.Join(here, "groups", "visitors"), "-brokers", s.brokers, "-yes")
		require.Equal(t, exitError, code)
		require.Contains(t, stderr, "group visitors has members, stop them first: tarn-visitors on ")
	})
	require.DirExists(t, filepath.Join(here, "groups", "visitors", "visit-counts", "0"))
}

// A view needs no broker.
func TestStateReset_View(t *testing.T) {
	s := newShop(t)
	require.Equal(t, columns(`view colours in DIR/views/colours
WHAT   NAME       NOTE
store  colours/0  SIZE
store  colours/1  SIZE
all of this was removed
`), columns(s.tell(exitOK, "state", "reset", s.view, "-yes")))
	entries, err := os.ReadDir(filepath.Join(s.view, "colours"))
	require.NoError(t, err)
	require.Empty(t, entries)
	require.Contains(t, s.tell(exitError, "state", "reset", s.view, "-delete-topics", "colours"), "a view has no topics of its own")
	s.run()
	require.Contains(t, s.tell(exitOK, "state", "export", s.view), `{"key":"sky","value":"blue"`)
}
