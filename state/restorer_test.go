package state

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Whatever happens in whatever order, what guard requires holds: above all, no fetch between an out of range and the next
// bounds, nothing applied that was not received, and a rebuild before anything of another history.
func TestR02_R22_RandomEvents(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 1))
	seen := map[commandKind]int{}
	for range 1000 {
		randomRun(t, rng, seen)
	}
	t.Logf("commands %v", seen)
	for kind := cmdList; kind <= cmdFail; kind++ {
		require.NotZero(t, seen[kind], "command %d never came", kind)
	}
}

func randomRun(t *testing.T, rng *rand.Rand, seen map[commandKind]int) {
	g := guard{t: t, r: restorer{topic: "t", follow: rng.IntN(2) == 0, hang: time.Minute, relist: time.Second}}
	now := time.UnixMilli(1e12)
	cp := Checkpoint{Position: rng.Int64N(20), LastApplied: UnknownOffset, LastAppliedEpoch: UnknownEpoch, KnownCurrent: now, DeleteRetention: time.Hour}
	if cp.Position > 0 && rng.IntN(2) == 0 {
		cp.LastApplied, cp.LastAppliedEpoch, cp.TopicID = cp.Position-1, rng.Int32N(3), TopicID{1}
	}
	c := g.step(now, evStart{cp: cp, has: rng.IntN(4) > 0, left: rng.IntN(8) == 0})
	for range 200 {
		seen[c.kind]++
		if c.kind == cmdFail || c.kind == cmdReady && !g.r.follow {
			return
		}
		now = now.Add(randomTime(rng))
		c = g.step(now, randomEvent(rng, c))
	}
}

// randomTime is mostly short, now and then longer than any deadline, and now and then of a clock that is set back.
func randomTime(rng *rand.Rand) time.Duration {
	switch rng.IntN(20) {
	case 0:
		return time.Duration(rng.IntN(120)) * time.Minute
	case 1:
		return -time.Duration(rng.IntN(10)) * time.Minute
	}
	return time.Duration(rng.IntN(1000)) * time.Millisecond
}

func randomEvent(rng *rand.Rand, c command) event {
	switch c.kind {
	case cmdList:
		if rng.IntN(100) == 0 {
			return evFailed{errors.New("no")}
		}
		start := rng.Int64N(30) - 1
		end := start + rng.Int64N(30)
		return evBounds{Bounds{Start: start, End: end, Stable: end, Compacted: rng.IntN(5) > 0, LeaderEpoch: rng.Int32N(5) - 1,
			TopicID: TopicID{byte(1 + rng.IntN(10)/9)}, DeleteRetention: time.Hour}}
	case cmdFetch:
		if rng.IntN(6) == 0 {
			return evOutOfRange{}
		}
		return evRecords{randomRecords(rng, c.position)}
	case cmdWait:
		return evTick{}
	}
	return evDone{}
}

// randomRecords is an answer from position, with holes.
func randomRecords(rng *rand.Rand, position int64) Records {
	n := rng.Int64N(5)
	rs := Records{Position: position, Next: position + n, LogStart: rng.Int64N(position+2) - 1, Stable: position + n,
		End: position + n + rng.Int64N(4) - 1, FirstEpoch: UnknownEpoch, LastEpoch: UnknownEpoch}
	for i := range n {
		if rng.IntN(8) > 0 {
			rs.Records = append(rs.Records, Record{Key: fmt.Append(nil, i), Offset: position + i})
		}
	}
	if rs.Present = int64(len(rs.Records)); rs.Present > 0 {
		rs.FirstEpoch = rng.Int32N(4)
		rs.LastEpoch = rs.FirstEpoch + rng.Int32N(2)
	}
	return rs
}
