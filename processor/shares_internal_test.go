package processor

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tarnstream/tarn/internal/bubbletest"
	"github.com/tarnstream/tarn/internal/ldb"
	"github.com/tarnstream/tarn/state"
)

const mib = 1 << 20

// all is what the shares of a crowd come to when everything that is bounded is in use: the layers and a flush, or
// rebuilds in place of them.
func (s shares) all(c crowd) int64 {
	return s.fixed + int64(c.stores()*(memoryTables*s.buffer+s.filter)) + int64(s.cache) + s.rows + s.fetch + s.write + s.layers + s.layers*flushed/4
}

func TestShares(t *testing.T) {
	for name, c := range map[string]crowd{
		"one":      {tasks: 1, tables: 1, inputs: 1},
		"four":     {tasks: 4, tables: 1, inputs: 1},
		"many":     {tasks: 64, tables: 3, inputs: 1},
		"no table": {tasks: 8, inputs: 2},
		"reads":    {tasks: 16, tables: 1, inputs: 2, joined: 2, whole: 32},
		"view":     {whole: 64},
	} {
		t.Run(name, func(t *testing.T) {
			least := c.leastMemory()
			_, err := newBudget(least-1, c, slog.New(slog.DiscardHandler))
			require.ErrorContains(t, err, "processor.MemoryBytes takes at least")
			_, err = newBudget(least, c, slog.New(slog.DiscardHandler))
			require.NoError(t, err)
			before := shares{}
			for _, memory := range []int64{least, least + 1, least + 8*mib, 2 * least, 1 << 30, 1 << 40} {
				s := c.share(memory)
				require.LessOrEqual(t, s.all(c), inUse(memory))
				if memory < 1<<30 { // more than can be used is not given away
					require.Greater(t, s.all(c), inUse(memory)-mib)
				}
				require.Positive(t, s.rebuild)
				require.Positive(t, s.rebuilds)
				require.LessOrEqual(t, int64(s.rebuilds)*s.reserve, s.layers*3/4, "records go on beside rebuilds")
				require.LessOrEqual(t, int64(s.rebuilds)*(s.rebuild-s.reserve*flushed/4), s.layers*3/4+int64(s.rebuilds),
					"a turn takes what was reserved for it, and what it takes to flush that")
				require.GreaterOrEqual(t, s.layers, before.layers)
				require.GreaterOrEqual(t, s.fetch, before.fetch)
				require.GreaterOrEqual(t, s.cache, before.cache)
				require.GreaterOrEqual(t, s.buffer, before.buffer)
				require.GreaterOrEqual(t, s.filter, before.filter)
				before = s
			}
		})
	}
}

// The figures of docs/operating.md.
func TestShares_AsDocumented(t *testing.T) {
	for _, x := range []struct {
		c     crowd
		least int64 // MiB
	}{
		{crowd{tasks: 4, tables: 1, inputs: 1}, 26},
		{crowd{tasks: 64, tables: 3, inputs: 1}, 122},
		{crowd{whole: 64}, 53},
	} {
		require.Equal(t, x.least, (x.c.leastMemory()+mib-1)/mib, "%+v", x.c)
	}
	b, err := newBudget(0, crowd{tasks: 4, tables: 1, inputs: 1}, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	require.EqualValues(t, 256*mib, b.option)
	b, err = newBudget(0, crowd{tasks: 500, tables: 3, inputs: 1}, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	require.Equal(t, b.crowd.leastMemory(), b.option, "the default is enough for any group")
}

// Tasks are woken when there is room again, be it from a flush or from the end of a rebuild, and a reservation waits until
// tasks have made room.
func TestLedger(t *testing.T) {
	bubbletest.Run(t, func(t *testing.T) {
		freed, pressed := 0, 0
		l := &ledger{limit: 100, freed: func() { freed++ }, pressed: func() { pressed++ }, shifted: func() {}}
		a, b := &account{ledger: l}, &account{ledger: l}
		a.add(60, 0)
		b.add(39, 20)
		require.False(t, l.full())
		b.add(1, 1)
		require.True(t, l.full())
		require.EqualValues(t, 21, l.unflushed())
		a.moved(-1)
		require.False(t, l.full())
		require.Equal(t, 1, freed)

		var err error
		reserved := false
		go func() { err = l.reserve(t.Context(), 50); reserved = true }()
		synctest.Wait()
		require.True(t, l.full(), "tasks have to do with half of it")
		require.False(t, reserved)
		require.Equal(t, 1, pressed, "what waits for the disk is asked for")
		a.close()
		synctest.Wait()
		require.True(t, reserved)
		require.NoError(t, err)
		require.Equal(t, 2, freed)
		a.add(70, 70)
		held, kept := l.bytes()
		require.EqualValues(t, [2]int64{40, 50}, [2]int64{held, kept}, "what comes after the task's end does not count")
		b.add(10, 0)
		require.True(t, l.full())
		l.release(50)
		require.False(t, l.full())
		require.Equal(t, 3, freed)

		b.add(30, 0) // held are 80
		l.add(-80, 0)
		require.NoError(t, l.reserve(t.Context(), 60))
		l.add(50, 0)
		second := false
		go func() { second = l.reserve(t.Context(), 40) == nil }()
		synctest.Wait()
		require.False(t, second)
		l.release(60)
		synctest.Wait()
		require.True(t, second, "the end of one reservation is room for another")
		l.release(40)
		l.add(30, 0)

		gone := errors.New("gone")
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(time.Second, func() { cancel(gone) })
		require.ErrorIs(t, l.reserve(ctx, 60), gone)
		require.False(t, l.full(), "what was not given is given back")
		b.close()
		held, kept = l.bytes()
		require.Zero(t, held+kept+l.unflushed())
		(*account)(nil).moved(1)
	})
}

// What a budget says is in use follows what is open.
func TestBudget_CountsWhatIsOpen(t *testing.T) {
	b, err := newBudget(64*mib, crowd{whole: 2}, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	require.Zero(t, b.shared.Bytes())
	turn := b.restoring(state.RestoreOptions{}, func() {}).Admit
	bytes, done, err := turn(t.Context())
	require.NoError(t, err)
	require.EqualValues(t, b.rebuild, bytes)
	_, reserved := b.ledger.bytes()
	require.Equal(t, b.reserve, reserved)
	for range b.rebuilds - 1 {
		_, _, err := turn(t.Context())
		require.NoError(t, err)
	}
	require.EqualValues(t, b.rebuilds, b.granted.Load())
	full, cancel := context.WithCancel(t.Context())
	cancel()
	_, _, err = turn(full)
	require.ErrorIs(t, err, context.Canceled, "there are no more turns")
	done()
	require.EqualValues(t, b.rebuilds-1, b.granted.Load())
	a := &account{ledger: &b.ledger}
	a.add(b.layers, 0)
	_, _, err = turn(full)
	require.ErrorIs(t, err, context.Canceled, "there is no room")
	require.EqualValues(t, b.rebuilds-1, b.granted.Load(), "what was only asked for is not in use")
	a.close()
	_, _, err = turn(t.Context())
	require.NoError(t, err)
}

// lender is a budget whose stores have been read, and what its blocks have of the layers' part.
func lender(t *testing.T) (b *budget, lent func() int64, end func()) {
	b, err := newBudget(64*mib, crowd{tasks: 2, tables: 1, inputs: 1}, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	fs, c := ldb.NewMemFS(), ldb.Config{Shared: b.shared, WriteBufferBytes: 64 * mib, Create: true}
	require.NoError(t, fs.MkdirAll("/db"))
	db, err := ldb.Open(fs, "/db", c)
	require.NoError(t, err)
	row := make([]byte, 64<<10)
	for i := range 400 {
		rand.NewChaCha8([32]byte{byte(i)}).Read(row)
		var batch ldb.Batch
		batch.Put(fmt.Appendf(nil, "%d", i), row)
		require.NoError(t, db.Write(&batch, false))
	}
	require.NoError(t, db.Close())
	c.Create = false
	db, err = ldb.Open(fs, "/db", c) // all of it is one table now, and nothing is compacted
	require.NoError(t, err)
	return b, func() int64 {
		for i := range 400 {
			_, ok, err := db.Get(fmt.Appendf(nil, "%d", i))
			require.NoError(t, err)
			require.True(t, ok)
		}
		return int64(b.shared.Bytes() - b.cache)
	}, func() { require.NoError(t, db.Close()) }
}

// The blocks may have what changes and rebuilds do not need, until they do.
func TestBudget_LendsWhatIsIdle(t *testing.T) {
	const near = 2*idleStep + 128<<10 // it rises by two steps, less one; and a block
	b, lent, end := lender(t)
	defer end()
	require.InDelta(t, b.layers, lent(), near)
	a := &account{ledger: &b.ledger}
	a.add(b.layers/2, 0)
	require.LessOrEqual(t, int64(b.shared.Bytes()), int64(b.cache)+b.layers/2, "at once")
	require.InDelta(t, b.layers/2, lent(), near)
	_, done, err := b.restoring(state.RestoreOptions{}, func() {}).Admit(t.Context())
	require.NoError(t, err)
	require.LessOrEqual(t, int64(b.shared.Bytes()), int64(b.cache)+b.layers/2-b.reserve)
	a.add(b.layers/2, 0)
	require.LessOrEqual(t, lent(), int64(0), "nothing is idle")
	done()
	a.close()
	require.InDelta(t, b.layers, lent(), near)
}

// What is lent is taken back before a rebuild has it, also while it waits for tasks.
func TestBudget_TakesBackForARebuild(t *testing.T) {
	bubbletest.Run(t, func(t *testing.T) {
		b, lent, end := lender(t)
		defer end()
		a := &account{ledger: &b.ledger}
		a.add(b.layers-3*idleStep, 0)
		require.Positive(t, lent())
		began := false
		go func() { began = b.ledger.reserve(t.Context(), 4*idleStep) == nil }()
		synctest.Wait()
		require.False(t, began)
		require.LessOrEqual(t, b.shared.Bytes(), b.cache)
		a.close()
		synctest.Wait()
		require.True(t, began)
	})
}

// Changes that come and go by little make nobody move blocks.
func TestLedger_TellsOfIdleBySteps(t *testing.T) {
	told := 0
	l := &ledger{limit: 10 * idleStep, freed: func() {}, pressed: func() {}, shifted: func() { told++ }}
	l.count(0, 0, 0)
	require.Equal(t, 1, told)
	require.EqualValues(t, 9*idleStep, l.idle())
	l.add(1, 0)
	require.EqualValues(t, 8*idleStep, l.idle())
	for range 10 {
		l.add(-1, 0)
		l.add(1, 0)
	}
	require.Equal(t, 2, told)
	l.add(3*idleStep, 0)
	require.EqualValues(t, 5*idleStep, l.idle())
	l.add(-2*idleStep, 0)
	require.EqualValues(t, 7*idleStep, l.idle())
}
