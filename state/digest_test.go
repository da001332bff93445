package state

import (
	"bytes"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tarnstream/tarn/internal/digest"
	"github.com/tarnstream/tarn/internal/ldb"
)

// digested is a store beside a map of what is in it.
type digested struct {
	t      *testing.T
	r      *rand.Rand
	fs     *ldb.MemFS
	s      Store
	rows   map[string]Row
	offset int64
	known  int // how often the digest was
}

func (d *digested) sum() digest.Sum { return digestOf(d.rows) }

func digestOf(rows map[string]Row) digest.Sum {
	all := digest.Empty()
	for key, row := range rows {
		all = all.Plus(row.digest([]byte(key)))
	}
	return all
}

// fill puts changes of some rows into b, and gives by what they change the digest.
func (d *digested) fill(b *Batch) digest.Sum {
	before := d.sum()
	for range d.r.IntN(8) {
		key := fmt.Sprint(d.r.IntN(30))
		if d.offset++; d.r.IntN(4) == 0 {
			b.Delete([]byte(key))
			delete(d.rows, key)
			continue
		}
		row := Row{Value: fmt.Append(nil, d.r.IntN(3)), Offset: d.offset}
		b.Put([]byte(key), row.Value, row.Offset, row.Timestamp)
		d.rows[key] = row
	}
	b.SetCheckpoint(Checkpoint{Position: d.offset + 1})
	return d.sum().Minus(before)
}

func (d *digested) write(knowing bool) {
	var b Batch
	if change := d.fill(&b); knowing {
		b.SetChange(change)
	}
	require.NoError(d.t, d.s.Write(&b))
}

func (d *digested) sweep() {
	below := d.offset - d.r.Int64N(20)
	_, err := d.s.Sweep(below)
	require.NoError(d.t, err)
	maps.DeleteFunc(d.rows, func(_ string, row Row) bool { return row.Offset < below })
}

func (d *digested) rebuild() {
	require.NoError(d.t, d.s.Rebuild("a test", false))
	clear(d.rows)
	var b Batch
	if d.r.IntN(2) == 0 {
		b.fold()
	}
	for range d.r.IntN(20) {
		d.fill(&b)
		require.NoError(d.t, d.s.Write(&b))
		b.Reset()
		if d.r.IntN(10) == 0 {
			d.sweep()
		}
	}
	require.NoError(d.t, d.s.Swap())
	if cp, ok := d.s.Checkpoint(); ok {
		require.Equal(d.t, d.sum(), cp.Digest)
	}
}

func (d *digested) reopen(crash bool) {
	clone := d.fs.CrashClone()
	require.NoError(d.t, d.s.Close())
	if crash {
		d.fs = clone
	}
	var err error
	d.s, err = Open("/store", Options{FS: d.fs})
	require.NoError(d.t, err)
}

// walk walks over a snapshot, while others write.
func (d *digested) walk() {
	it, cp, ok := d.s.Snapshot()
	defer it.Close()
	want, lost := d.sum(), false
	at := d.r.IntN(5)
	for n := 0; it.Next(); n++ {
		if walked, _ := it.(*rows).Digests(); n == 0 {
			require.False(d.t, walked.Known())
		}
		if n == at {
			knowing := d.r.IntN(2) == 0
			lost = !knowing
			d.write(knowing)
		}
	}
	require.NoError(d.t, it.Err())
	if !ok {
		return
	}
	walked, stored := it.(*rows).Digests()
	require.Equal(d.t, want, walked)
	require.Equal(d.t, cp.Digest, stored)
	if now, _ := d.s.Checkpoint(); !lost {
		require.Equal(d.t, d.sum(), now.Digest, "found again, with what was written meanwhile")
	}
}

// Whatever a store goes through: a digest that is known is that of its rows.
func TestDigest_IsThatOfTheRowsOrUnknown(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	d := &digested{t: t, r: rand.New(rand.NewPCG(seed, 0)), fs: ldb.NewMemFS(), rows: map[string]Row{}}
	d.s = openDigested(t, d.fs)
	defer func() { require.NoError(t, d.s.Close()) }()
	const steps = 400
	for range steps {
		switch n := d.r.IntN(20); {
		case n < 10:
			d.write(true)
		case n < 12:
			d.write(false)
		case n < 14:
			d.sweep()
		case n < 15:
			d.rebuild()
		case n < 17:
			d.reopen(n == 16)
		default:
			d.walk()
		}
		if cp, _ := d.s.Checkpoint(); cp.Digest.Known() {
			d.known++
			require.Equal(t, d.sum(), cp.Digest)
		}
	}
	require.Greater(t, d.known, steps/4)
	require.Less(t, d.known, steps)
}

func openDigested(t *testing.T, fs ldb.FS) Store {
	s, err := Open("/store", Options{FS: fs})
	require.NoError(t, err)
	return s
}

// A row that somebody else has written, with checksums in order, is found by the digest.
func TestDigest_TellsOfRowsThatWereChangedOnDisk(t *testing.T) {
	for name, alter := range map[string]func(*ldb.Batch){
		"another value":  func(b *ldb.Batch) { b.Put([]byte("da"), appendRow(nil, Row{Value: []byte("x"), Offset: 1})) },
		"another offset": func(b *ldb.Batch) { b.Put([]byte("da"), appendRow(nil, Row{Value: []byte("1"), Offset: 9})) },
		"a row more":     func(b *ldb.Batch) { b.Put([]byte("dz"), appendRow(nil, Row{Value: []byte("1"), Offset: 1})) },
		"a row less":     func(b *ldb.Batch) { b.Delete([]byte("da")) },
		"nothing":        func(*ldb.Batch) {},
	} {
		t.Run(name, func(t *testing.T) {
			fs := ldb.NewMemFS()
			s := openDigested(t, fs)
			var b Batch
			b.Put([]byte("a"), []byte("1"), 1, 0)
			b.Put([]byte("b"), []byte("2"), 2, 0)
			b.SetChange(digest.Of([]byte("a"), 1, []byte("1")).Plus(digest.Of([]byte("b"), 2, []byte("2"))))
			b.SetCheckpoint(Checkpoint{Position: 3})
			require.NoError(t, s.Write(&b))
			require.NoError(t, s.Close())
			db := openBelow(t, fs, "/store")
			var other ldb.Batch
			alter(&other)
			require.NoError(t, db.Write(&other, true))
			require.NoError(t, db.Close())

			s = openDigested(t, fs)
			defer func() { require.NoError(t, s.Close()) }()
			it, _, _ := s.Snapshot()
			defer it.Close()
			for it.Next() {
			}
			walked, stored := it.(*rows).Digests()
			require.True(t, walked.Known() && stored.Known())
			require.Equal(t, name != "nothing", walked != stored)
		})
	}
}

// A follower that tells changes knows the old rows, and keeps the digest.
func TestDigest_OfToldChanges(t *testing.T) {
	s := openDigested(t, ldb.NewMemFS())
	defer func() { require.NoError(t, s.Close()) }()
	c := changes{s: s, tell: func(string, *Row, Record) error { return nil }}
	require.False(t, c.digest().Known(), "nobody has asked for old rows yet")
	var b Batch
	b.Put([]byte("before"), nil, 0, 0)
	b.SetCheckpoint(Checkpoint{Position: 0})
	require.NoError(t, s.Write(&b))
	require.NoError(t, c.start())
	cp, _ := s.Checkpoint()
	require.Equal(t, digest.Of([]byte("before"), 0, nil), cp.Digest, "every row has been seen")
	for round := range int64(3) {
		var b Batch
		for i, key := range []string{"a", "b", "a", "c"} {
			rec := Record{Key: []byte(key), Value: bytes.Repeat([]byte("v"), i), Offset: 4*round + int64(i)}
			if key == "b" && round == 1 {
				rec.Value = nil
				b.Delete(rec.Key)
			} else {
				b.Put(rec.Key, rec.Value, rec.Offset, 0)
			}
			require.NoError(t, c.add(&rec))
		}
		b.SetChange(c.digest())
		b.SetCheckpoint(Checkpoint{Position: 4 * (round + 1)})
		require.NoError(t, s.Write(&b))
		require.NoError(t, c.written())
		it, cp, _ := s.Snapshot()
		keys := []string{}
		for it.Next() {
			keys = append(keys, string(it.Key()))
		}
		walked, _ := it.(*rows).Digests()
		require.NoError(t, it.Close())
		require.Equal(t, walked, cp.Digest, slices.Sorted(slices.Values(keys)))
	}
	c.hide()
	require.False(t, c.digest().Known(), "what is written now is another generation")
}
