package state

import (
	"reflect"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// guard is a restorer whose every step is held to what must be so whatever happens in whatever order. It believes nothing
// of what the machine remembers.
type guard struct {
	t *testing.T
	r restorer

	lost    bool   // out of range, and no bounds told since
	suspect bool   // the last bounds are those of another log, or of one that begins behind what was applied
	bounds  Bounds // last told
	listed  bool   // since the last begin
	at      int64  // position of what was applied
	topic   TopicID
	started bool // something is, or was, in the store
	fresh   bool // a generation is under way that no swap has ended
	asked   int64
	last    command
}

// step is the machine's.
func (g *guard) step(now time.Time, ev event) command {
	g.hear(ev)
	c := g.r.step(now, ev)
	g.check(ev, c)
	g.last = c
	return c
}

// told tells of bounds that say something.
func told(b Bounds) bool { return b.Start >= 0 && b.End >= 0 }

func (g *guard) hear(ev event) {
	switch ev := ev.(type) {
	case evStart:
		g.at, g.topic, g.started = ev.cp.Position, ev.cp.TopicID, ev.has
	case evOutOfRange:
		g.lost = true
	case evBounds:
		if told(ev.Bounds) {
			unknown := TopicID{}
			other := g.topic != unknown && ev.TopicID != unknown && g.topic != ev.TopicID
			g.lost, g.bounds, g.listed = false, ev.Bounds, true
			g.suspect = !g.started || other || g.at < ev.Start
		}
	}
}

func (g *guard) check(ev event, c command) {
	t := g.t
	switch c.kind {
	case cmdFetch:
		require.False(t, g.lost, "a fetch at %d between out of range and the next bounds", c.position)
		require.False(t, g.suspect, "a fetch at %d though the log is another one", c.position)
		if g.r.checking < 0 {
			require.Equal(t, g.at, c.position, "nothing is passed over, and nothing read twice")
		}
		g.asked = c.position
	case cmdBegin:
		require.True(t, told(g.bounds), "a rebuild begins with what was told of the log")
		require.Equal(t, g.bounds.Start, c.cp.Position, "a rebuild begins at the log start")
		require.Equal(t, UnknownOffset, c.cp.LastApplied)
		g.at, g.topic, g.suspect, g.started, g.fresh = c.cp.Position, c.cp.TopicID, false, true, true
	case cmdApply:
		g.applies(ev, c)
	case cmdSweep:
		require.False(t, g.suspect)
	case cmdSwap:
		require.True(t, g.fresh, "a swap without a rebuild")
		require.False(t, g.suspect)
		g.fresh = false
	case cmdReady:
		require.False(t, g.fresh, "current in a generation that nobody reads")
		require.False(t, g.suspect)
		require.True(t, g.listed)
	}
}

// applies requires that what is applied is the whole answer to the last fetch, and that the checkpoint says just that.
func (g *guard) applies(ev event, c command) {
	t := g.t
	require.False(t, g.suspect, "applied over another history")
	require.False(t, g.lost, "applied between out of range and the next bounds")
	if len(c.apply.Records) == 0 && c.apply.Next == c.apply.Position {
		require.Equal(t, g.at, c.cp.Position, "a stamp moves nothing")
		return
	}
	rs, ok := ev.(evRecords)
	require.True(t, ok, "what is applied was received by this very event")
	require.True(t, reflect.DeepEqual(rs.Records, c.apply), "as it was received")
	require.Equal(t, g.at, rs.Position)
	require.Equal(t, g.asked, rs.Position)
	require.Equal(t, rs.Next, c.cp.Position, "the checkpoint is the position applied")
	if rs.LastEpoch >= 0 || len(rs.Records.Records) > 0 {
		require.Equal(t, rs.Next-1, c.cp.LastApplied, "markers and aborted records have to be there again, too")
	}
	g.at = rs.Next
}
