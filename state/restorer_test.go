package state

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Whatever happens in whatever order, no fetch is asked for between an out of range and the next bounds, the position
// applied never runs ahead of what was received, and a rebuild begins before anything of another history is applied.
func TestR02_R22_RandomEvents(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 1))
	for range 300 {
		randomRun(t, rng)
	}
}

func randomRun(t *testing.T, rng *rand.Rand) {
	r := restorer{topic: "t", follow: rng.IntN(2) == 0, hang: time.Minute, relist: time.Second}
	now := time.UnixMilli(1e12)
	cp := Checkpoint{Position: rng.Int64N(20), LastApplied: UnknownOffset, LastAppliedEpoch: UnknownEpoch, KnownCurrent: now}
	received, lost := cp.Position, false
	c := r.step(now, evStart{cp: cp, has: rng.IntN(4) > 0, left: rng.IntN(8) == 0})
	for range 200 {
		now = now.Add(time.Duration(rng.IntN(1000)) * time.Millisecond)
		switch c.kind {
		case cmdFail:
			return
		case cmdBegin:
			received = c.cp.Position
		case cmdFetch:
			require.False(t, lost)
			require.Equal(t, received, c.position)
		case cmdApply:
			require.Equal(t, received, c.cp.Position)
		}
		ev := randomEvent(rng, c)
		switch ev := ev.(type) {
		case evBounds:
			lost = lost && (ev.Start < 0 || ev.End < 0)
		case evOutOfRange:
			lost = true
		case evRecords:
			if c = r.step(now, ev); c.kind == cmdApply {
				received = c.cp.Position
			}
			continue
		}
		c = r.step(now, ev)
	}
}

func randomEvent(rng *rand.Rand, c command) event {
	switch c.kind {
	case cmdList:
		start := rng.Int64N(30) - 1
		return evBounds{Bounds{Start: start, End: start + rng.Int64N(30), Compacted: true, LeaderEpoch: UnknownEpoch,
			TopicID: TopicID{byte(1 + rng.IntN(10)/9)}, DeleteRetention: time.Hour}}
	case cmdFetch:
		if rng.IntN(4) == 0 {
			return evOutOfRange{}
		}
		n := rng.Int64N(4)
		rs := Records{Position: c.position, Next: c.position + n, Present: n, LogStart: UnknownOffset, Stable: UnknownOffset,
			End: UnknownOffset, FirstEpoch: UnknownEpoch, LastEpoch: UnknownEpoch}
		for i := range n {
			rs.Records = append(rs.Records, Record{Key: fmt.Append(nil, i), Offset: c.position + i})
		}
		return evRecords{rs}
	case cmdWait:
		return evTick{}
	}
	return evDone{}
}
