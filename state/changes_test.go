package state_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tarnstream/tarn/state"
)

// picture is what a follower of changes makes of them.
type picture struct {
	t     *testing.T
	rows  map[string]state.Row
	kinds []string
	last  int64 // offset of the newest record told
}

func newPicture(t *testing.T) *picture {
	return &picture{t: t, rows: map[string]state.Row{}, last: state.UnknownOffset}
}

func (p *picture) told(kind string, was *state.Row, is state.Record) error {
	key := string(is.Key)
	before, had := p.rows[key]
	if had != (was != nil) || had && (string(before.Value) != string(was.Value) || before.Offset != was.Offset || before.Timestamp != was.Timestamp) {
		return fmt.Errorf("%s of %s: was %v, known %v", kind, key, was, before)
	}
	switch {
	case kind == "record" && is.Offset <= p.last:
		return fmt.Errorf("offset %d after %d", is.Offset, p.last)
	case kind == "record":
		p.last = is.Offset
	}
	p.kinds = append(p.kinds, kind)
	if is.Value == nil {
		delete(p.rows, key)
	} else {
		p.rows[key] = state.Row{Value: []byte(string(is.Value)), Offset: is.Offset, Timestamp: is.Timestamp}
	}
	return nil
}

// requireEqual compares with the store, offsets and times too.
func (p *picture) requireEqual(s state.Store) {
	p.t.Helper()
	rows := map[string]state.Row{}
	it := s.Range(nil, nil)
	defer it.Close()
	for it.Next() {
		row := it.Row()
		row.Value = []byte(string(row.Value))
		rows[string(it.Key())] = row
	}
	require.NoError(p.t, it.Err())
	require.Equal(p.t, rows, p.rows)
}

func (p *picture) count(kind string) (n int) {
	for _, k := range p.kinds {
		if k == kind {
			n++
		}
	}
	return n
}

// followed runs f beside a follower whose changes are told.
func followed(t *testing.T, name string, f func(b *bench, p *picture, settle func())) {
	inBubble(name, t, func(t *testing.T, b *bench) {
		p := newPicture(t)
		b.put(5, "k")
		b.restore()
		b.put(3, "k")
		b.o.Changed = p.told
		b.o.Observer = b.o.Observer.Tee(state.Observer{Planned: func(plan state.Plan) {
			if plan.Decision == state.Rebuild {
				p.last = state.UnknownOffset // another history
			}
		}})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- state.Follow(ctx, b.s, b.log, b.o) }()
		settle := func() {
			t.Helper()
			time.Sleep(40 * time.Second) // past a listing
			synctest.Wait()
			b.requireEqual()
			p.requireEqual(b.s)
		}
		settle()
		f(b, p, settle)
		cancel()
		require.NoError(t, <-done)
	})
}

func TestChanges(t *testing.T) {
	followed(t, "StartTellsEveryRow", func(_ *bench, p *picture, _ func()) {
		require.Equal(p.t, []string{"start", "start", "start", "start", "start"}, p.kinds)
	})
	followed(t, "RecordByRecord", func(b *bench, p *picture, settle func()) {
		b.put(2, "n")
		b.log.Put("n0", "again")
		b.log.Tombstone("n0")
		b.log.Tombstone("n0")
		b.log.Tombstone("nobody")
		b.log.Put("n1", "")
		settle()
		require.Equal(p.t, 5, p.count("record"), "a tombstone of nothing changes nothing")
	})
	followed(t, "R59_Sweep", func(b *bench, p *picture, settle func()) {
		b.log.DeleteRecords(6)
		settle()
		require.Equal(p.t, 3, p.count("sweep"))
	})
	// rewritten writes every row again and removes the old ones; at the next fetch the follower hears of it by answer alone.
	rewritten := func(b *bench, answer func(position int64) state.Records) {
		b.log.OnFetch(func(position int64, _ state.Records, _ error) (state.Records, error) {
			b.log.OnFetch(nil)
			for i := range 5 {
				b.log.Put(fmt.Sprint("k", i), "again")
			}
			b.log.DeleteRecords(position)
			return answer(position), nil
		})
		b.log.Put("k0", "wakes it")
	}
	followed(t, "R59_SweptInAnEmptyAnswer", func(b *bench, p *picture, settle func()) {
		rewritten(b, func(at int64) state.Records {
			return state.Records{Position: at, Next: at, LogStart: at, Stable: b.log.End(), End: b.log.End()}
		})
		settle()
		require.Zero(p.t, p.count("sweep"), "a row that was there all the time is never absent")
	})
	followed(t, "R59_SweptUnderANewLeader", func(b *bench, p *picture, settle func()) {
		rewritten(b, func(at int64) state.Records {
			return state.Records{Position: at, Next: at + 1, FirstEpoch: 50, LastEpoch: 50, LogStart: at, Stable: b.log.End(), End: b.log.End()}
		})
		settle()
		require.Zero(p.t, p.count("sweep"))
	})
	followed(t, "R70_RebuildTellsTheDifference", func(b *bench, p *picture, settle func()) {
		b.log.OnFetch(func(position int64, _ state.Records, _ error) (state.Records, error) {
			b.log.OnFetch(nil)
			b.log.Tombstone("k1")
			b.log.Put("new", "x")
			b.log.DeleteRecords(10)
			return state.Records{}, &state.OutOfRangeError{Topic: "table", Position: position}
		})
		b.log.Put("k0", "wakes it")
		settle()
		require.Contains(p.t, p.kinds, "rebuild")
	})
	followed(t, "R70_Recreated", func(b *bench, p *picture, settle func()) {
		b.log.Recreate()
		b.log.Put("k2", "again")
		settle()
		require.Equal(p.t, 5, p.count("rebuild"), "four went, one differs")
	})
	followed(t, "R49_R70_AnythingAtRandom", func(b *bench, _ *picture, settle func()) {
		seed := rand.Uint64()
		b.t.Logf("seed %d", seed)
		rng := rand.New(rand.NewPCG(seed, 0))
		for range 60 {
			disturb(rng, b)
			if rng.IntN(3) == 0 {
				settle()
			}
		}
		settle()
	})
}

// disturb does something to the log. It does not compact: what a truncated record superseded would be gone from the log
// and not from the store, as it would on a broker.
func disturb(rng *rand.Rand, b *bench) {
	key := fmt.Sprintf("k%d", rng.IntN(8))
	switch n := rng.IntN(29); {
	case n < 14:
		b.log.Put(key, fmt.Sprint(rng.IntN(3)))
	case n < 21:
		b.log.Tombstone(key)
	case n < 24:
		b.log.DeleteRecords(rng.Int64N(b.log.End() + 1))
	case n < 26:
		bounds, err := b.log.Bounds(b.t.Context())
		require.NoError(b.t, err)
		b.log.Truncate(bounds.Start + rng.Int64N(bounds.End-bounds.Start+1))
	case n < 28:
		b.log.Recreate()
	default:
		time.Sleep(time.Duration(rng.IntN(1000)) * time.Millisecond)
	}
}

// An error of the listener ends the following; what is on disk stays right, and the next start tells it anew.
func TestChanges_AnErrorEndsTheFollowing(t *testing.T) {
	inBubble("", t, func(t *testing.T, b *bench) {
		full := errors.New("full")
		for _, kind := range []string{"start", "record"} {
			b.o.Changed = func(k string, _ *state.Row, _ state.Record) error {
				if k == kind {
					return full
				}
				return nil
			}
			b.put(3, "k")
			done := make(chan error, 1)
			go func() { done <- state.Follow(t.Context(), b.s, b.log, b.o) }()
			synctest.Wait()
			b.put(1, "k")
			require.ErrorIs(t, <-done, full)
			b.reopen()
		}
	})
}
