package processor

import (
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tarnstream/tarn/internal/digest"
	"github.com/tarnstream/tarn/internal/ldb"
	"github.com/tarnstream/tarn/internal/scope"
	"github.com/tarnstream/tarn/state"
)

// flaky is a store whose next write fails, and leaves it as it was.
type flaky struct {
	state.Store
	fail bool
}

var errFlaky = errors.New("not now")

func (f *flaky) Write(b *state.Batch) error {
	if f.fail {
		f.fail = false
		return errFlaky
	}
	return f.Store.Write(b)
}

// owner is what a task, the committer and the flusher do with one table, step by step, without Kafka.
type owner struct {
	t     *testing.T
	r     *rand.Rand
	fs    *ldb.MemFS
	store *flaky
	cell  *cell
	frame *scope.Frame
	sent  []scope.Change // sealed, and not committed yet
	known bool           // the digest must be
	// unsure: rows are in memory that a flush could not write.
	unsure bool
}

func newOwner(t *testing.T) *owner {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	o := &owner{t: t, r: rand.New(rand.NewPCG(seed, 0)), fs: ldb.NewMemFS(), known: true}
	o.start()
	t.Cleanup(func() { require.NoError(t, o.store.Close()) })
	return o
}

// Get and Range implement scope.Backing, as a task's do.
func (o *owner) Get(_ int, key string) ([]byte, *scope.Mark, bool, error) {
	return o.cell.readMarked(key)
}
func (o *owner) Range(int) scope.Rows { return o.cell.rows() }

func (o *owner) start() {
	s, err := state.Open("/store", state.Options{FS: o.fs, Logger: slog.New(slog.DiscardHandler)})
	require.NoError(o.t, err)
	if _, ok := s.Checkpoint(); !ok { // as a restore of an empty log leaves it
		require.NoError(o.t, s.Rebuild("nothing there", false))
		var b state.Batch
		b.SetCheckpoint(state.Checkpoint{LogStart: 0})
		require.NoError(o.t, s.Write(&b))
		require.NoError(o.t, s.Swap())
	}
	o.store, o.sent, o.unsure = &flaky{Store: s}, nil, false
	o.cell = newCell("table", 0, o.store)
	o.cell.check, _ = s.Checkpoint()
	o.known = o.cell.check.Digest.Known()
	g := &scope.Group{Name: "g", Tables: []scope.Table{{Topic: scope.Topic{Name: "table"},
		NewOverlay: func(i int, b scope.Backing) scope.Layer { return scope.NewOverlay("table", i, ints{}, b) }}}}
	o.frame = scope.NewFrame(o.t.Context(), g, o)
	most := o.r.IntN(8) << 10 // some rows, or all
	o.frame.Layers()[0].SetCache(func() int { return most })
}

// record is a callback that reads and writes some rows, and fails now and then.
func (o *owner) record() {
	refuse := o.r.IntN(8) == 0
	_ = o.frame.Run(scope.Record{}, func(f *scope.Frame) error {
		table, err := scope.Of[int](f, nil, "table")
		require.NoError(o.t, err)
		for range 1 + o.r.IntN(3) {
			key := fmt.Append(nil, o.r.IntN(40))
			switch o.r.IntN(4) {
			case 0:
				_, _, err = table.Get(key)
			case 1:
				err = table.Delete(key, 0)
			default:
				err = table.Set(key, o.r.IntN(3), 0)
			}
			require.NoError(o.t, err)
		}
		if refuse {
			return errFlaky
		}
		return nil
	})
}

// seal offers the open layer for a commit; settle is the commit's end.
func (o *owner) seal() {
	if o.sent != nil {
		return
	}
	tables, _ := o.frame.Seal()
	o.sent = tables[0]
	o.cell.seal(o.sent)
}

func (o *owner) settle() {
	for i := range o.sent {
		o.sent[i].Offset = o.cell.check.Position + int64(i)
	}
	_, gap := o.cell.promote(o.sent, nil, time.Now())
	require.False(o.t, gap)
	o.sent = nil
}

func (o *owner) flush() {
	o.store.fail = o.r.IntN(20) == 0
	if err := flushOne(o.t, o.cell); err != nil {
		require.ErrorIs(o.t, err, errFlaky)
		o.unsure = o.cell.frozen.len() > 0
		return
	}
	o.known, o.unsure = o.known && !o.unsure, false
	o.check()
}

func (o *owner) sweep() {
	below := o.cell.check.Position - o.r.Int64N(60)
	if o.cell.check.Position >= below {
		o.known, o.unsure = o.known && !o.unsure, false // it flushes first
	}
	rows, err := o.cell.sweep(o.t.Context(), below)
	require.NoError(o.t, err)
	if rows > 0 {
		o.frame.Layers()[0].Drop()
	}
	o.check()
}

// restart loses what is not on disk, after a crash or at an orderly end. Some restarts rebuild the table, and some read a tail,
// of which nobody knows what it takes the place of.
func (o *owner) restart() {
	clone := o.fs.CrashClone()
	require.NoError(o.t, o.store.Close())
	if o.r.IntN(2) == 0 {
		o.fs = clone
	}
	o.start()
	rebuild, tail := o.r.IntN(3) == 0, o.r.IntN(4) == 0
	if !rebuild && !tail {
		return
	}
	cp := o.cell.check
	if rebuild {
		require.NoError(o.t, o.store.Rebuild("a test", false))
	}
	var b state.Batch
	for range 1 + o.r.IntN(30) {
		b.Put(fmt.Append(nil, o.r.IntN(40)), []byte{1}, cp.Position, 0)
		cp.Position++
	}
	b.SetCheckpoint(cp)
	require.NoError(o.t, o.store.Write(&b))
	require.NoError(o.t, o.store.Swap())
	o.cell.check, _ = o.store.Checkpoint()
	o.known = rebuild
	o.check()
}

// audit walks over a snapshot while records are handled and flushed.
func (o *owner) audit() {
	table, err := o.cell.snapshot(o.t.Context())
	require.NoError(o.t, err)
	unsure := o.unsure
	for n, at := 0, o.r.IntN(10); table.Rows.Next(); n++ {
		if n == at {
			o.record()
			o.seal()
			o.settle()
			o.flush()
		}
	}
	require.NoError(o.t, table.Rows.Close())
	o.known = o.known || !unsure && !o.unsure // else rows were put meanwhile over what nobody knew
	o.check()
}

// check compares the digest in the checkpoint with that of the rows on disk.
func (o *owner) check() {
	o.t.Helper()
	cp, _ := o.store.Checkpoint()
	if o.known || cp.Digest.Known() {
		require.Equal(o.t, digestOnDisk(o.t, o.store), cp.Digest)
	}
}

func digestOnDisk(t *testing.T, s state.Store) digest.Sum {
	t.Helper()
	sum := digest.Empty()
	it := s.Range(nil, nil)
	for it.Next() {
		sum = sum.Plus(digest.Of(it.Key(), it.Row().Offset, it.Row().Value))
	}
	require.NoError(t, it.Close())
	return sum
}

// Whatever an owner goes through, it knows the digest of what is on disk, unless a restore read a tail: then until an audit.
func TestCellDigest_IsThatOfTheRowsOnDisk(t *testing.T) {
	o := newOwner(t)
	knew := 0
	const steps = 20_000
	for range steps {
		switch n := o.r.IntN(200); {
		case n < 120:
			o.record()
		case n < 150:
			o.seal()
		case n < 175:
			o.settle()
		case n < 190:
			o.flush()
		case n < 194:
			o.sweep()
		case n < 195:
			o.frame.Layers()[0].Drop()
		case n < 197:
			o.audit()
		default:
			o.restart()
		}
		if o.known {
			knew++
		}
	}
	require.Greater(t, knew, steps/2)
	require.Less(t, knew, steps)
}
