package state

import (
	"fmt"
	"log/slog"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tarnstream/tarn/internal/ldb"
)

func keyedStore(t testing.TB, fs ldb.FS, filter int) *disk {
	t.Helper()
	s, err := Open("/store", Options{FS: fs, KeyFilterBytes: filter, WriteBufferBytes: 64 << 10, Logger: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	return s.(*disk)
}

func writeKeys(t testing.TB, d *disk, keys ...string) {
	t.Helper()
	var b Batch
	for _, key := range keys {
		b.Put([]byte(key), []byte("value of "+key), 1, 1)
	}
	require.NoError(t, d.Write(&b))
}

// miss has so many looks find nothing, or believe that they do.
func miss(t testing.TB, d *disk, looks int) {
	t.Helper()
	for i := range looks {
		_, ok, err := d.Get(fmt.Appendf(nil, "absent-%d", i))
		require.NoError(t, err)
		require.False(t, ok)
	}
}

func believes(d *disk) bool {
	f := d.current.keys.filter.Load()
	return f != nil && f.whole.Load()
}

func requireKeys(t testing.TB, d *disk, keys ...string) {
	t.Helper()
	for _, key := range keys {
		row, ok, err := d.Get([]byte(key))
		require.NoError(t, err)
		require.True(t, ok, key)
		require.Equal(t, "value of "+key, string(row.Value))
	}
}

func numbered(from, to int) (keys []string) {
	for i := from; i < to; i++ {
		keys = append(keys, fmt.Sprintf("key-%06d", i))
	}
	return keys
}

// A store is read as it ever was, whatever its filter has seen: written, deleted, rebuilt, swapped, closed and opened.
func TestKnownKeys_Random(t *testing.T) {
	for seed := range uint64(6) {
		r, fs := rand.New(rand.NewPCG(seed, 63)), ldb.NewMemFS()
		filter := leastFilter << r.IntN(5)
		d := keyedStore(t, fs, filter)
		model, next, rebuilding := map[string]string{}, map[string]string{}, false
		believed := 0
		for step := range 400 {
			switch what := r.IntN(100); {
			case what < 60:
				for range 100 {
					key := fmt.Sprintf("k%d", r.IntN(4000))
					row, ok, err := d.Get([]byte(key))
					require.NoError(t, err)
					want, there := model[key]
					require.Equal(t, there, ok, "seed %d, step %d: %s", seed, step, key)
					require.Equal(t, want, string(row.Value))
				}
			case what < 92:
				var b Batch
				to := model
				if rebuilding {
					to = next
				}
				for i := range r.IntN(300) {
					key := fmt.Sprintf("k%d", r.IntN(4000))
					if r.IntN(3) == 0 {
						b.Delete([]byte(key))
						delete(to, key)
						continue
					}
					to[key] = fmt.Sprint(step, i)
					b.Put([]byte(key), []byte(to[key]), int64(step), 1)
				}
				require.NoError(t, d.Write(&b))
			case what < 94 && !rebuilding:
				require.NoError(t, d.Rebuild("for the test", false))
				rebuilding, next = true, map[string]string{}
			case what < 97 && rebuilding:
				require.NoError(t, d.Swap())
				rebuilding, model = false, next
			case what < 98 && !rebuilding:
				require.NoError(t, d.Close())
				d = keyedStore(t, fs, filter)
			}
			if d.current != nil && believes(d) {
				believed++
			}
		}
		require.Positive(t, believed, "seed %d", seed)
		require.NoError(t, d.Close())
	}
}

// Looks that find nothing make a filter, which is believed once the walk that they pay for has come to the end, and has what was
// there before it, what was written meanwhile, and what is written after. Looks that find something make none.
func TestKnownKeys_LooksThatFindNothingPay(t *testing.T) {
	fs, before := ldb.NewMemFS(), numbered(0, 3*rowsAWalk)
	d := keyedStore(t, fs, 64<<10)
	writeKeys(t, d, before...)
	for range 3 {
		requireKeys(t, d, before...)
	}
	require.Nil(t, d.current.keys.filter.Load())

	miss(t, d, 2*missesAWalk)
	require.NotNil(t, d.current.keys.filter.Load())
	meanwhile := []string{"a", "key-000003x", "z"} // behind where the walk stands, and before it
	writeKeys(t, d, meanwhile...)
	require.False(t, believes(d))
	miss(t, d, 3*missesAWalk)
	require.True(t, believes(d))
	writeKeys(t, d, numbered(7000, 7500)...)
	requireKeys(t, d, before...)
	requireKeys(t, d, meanwhile...)
	requireKeys(t, d, numbered(7000, 7500)...)

	misses := d.current.keys.misses.Load()
	miss(t, d, 10*missesAWalk)
	require.Equal(t, misses, d.current.keys.misses.Load(), "nothing is left to be paid")
	require.NoError(t, d.Close())

	d = keyedStore(t, fs, 64<<10)
	require.Nil(t, d.current.keys.filter.Load(), "an opened store knows nothing")
	requireKeys(t, d, before...)
	miss(t, d, 10*missesAWalk)
	require.True(t, believes(d), "and learns again")
	require.NoError(t, d.Close())
	require.Nil(t, d.current.keys.filter.Load(), "its memory is given back")
	d = keyedStore(t, fs, leastFilter-1)
	miss(t, d, 10*missesAWalk)
	require.Nil(t, d.current.keys.filter.Load(), "nobody wants one")
	require.NoError(t, d.Close())
}

// No filter is made while a write is under way that does not know of it, and a row that anybody can see is in it already.
func TestKnownKeys_BeforeTheWrite(t *testing.T) {
	held, going := make(chan struct{}), make(chan struct{})
	var during atomic.Pointer[func()]
	next := func(fn func()) { during.Store(&fn) }
	fs := &ldb.FailFS{FS: ldb.NewMemFS(), Before: func(string, string) error {
		if fn := during.Swap(nil); fn != nil {
			(*fn)()
		}
		return nil
	}}
	d := keyedStore(t, fs, leastFilter)
	writeKeys(t, d, "a")
	next(func() { close(held); <-going })
	written := make(chan struct{})
	go func() { defer close(written); writeKeys(t, d, "b") }()
	<-held
	miss(t, d, 5*missesAWalk)
	require.Nil(t, d.current.keys.filter.Load())
	close(going)
	<-written
	miss(t, d, missesAWalk)
	require.True(t, believes(d))
	requireKeys(t, d, "a", "b")

	seen := false
	next(func() { seen = d.current.keys.filter.Load().mayHave([]byte("c")) })
	writeKeys(t, d, "c")
	require.True(t, seen)
	require.NoError(t, d.Close())
}

// What a walk could not read is not taken for absent.
func TestKnownKeys_WalkMeetsDamage(t *testing.T) {
	fs := ldb.NewMemFS()
	d := keyedStore(t, fs, leastFilter)
	keys := numbered(0, 500)
	writeKeys(t, d, keys...)
	require.NoError(t, d.Close())
	d = keyedStore(t, fs, leastFilter) // the journal becomes a table
	require.NoError(t, d.Close())
	dir := filepath.Join("/store", d.current.name)
	names, err := fs.List(dir)
	require.NoError(t, err)
	at := slices.IndexFunc(names, func(name string) bool { return strings.HasSuffix(name, ".ldb") })
	require.NoError(t, fs.Corrupt(filepath.Join(dir, names[at]), 50))

	d = keyedStore(t, fs, leastFilter)
	for i := range 5 * missesAWalk {
		_, ok, err := d.Get(fmt.Appendf(nil, "z%d", i)) // behind all rows
		require.NoError(t, err)
		require.False(t, ok)
	}
	require.True(t, d.current.keys.over.Load())
	require.Nil(t, d.current.keys.filter.Load())
	_, _, err = d.Get([]byte(keys[0]))
	var damage *DamageError
	require.ErrorAs(t, err, &damage)
	require.NoError(t, d.Close())
}

// A filter that is too small for the keys goes, and does not come again, be it by what was there or by what is written.
func TestKnownKeys_GoesWhenItIsFull(t *testing.T) {
	const enough = leastFilter * 8 / leastBits
	keys := numbered(0, enough*5/4)
	for name, script := range map[string]func(d *disk){
		"walked":  func(d *disk) { writeKeys(t, d, keys...); miss(t, d, 100*missesAWalk) },
		"written": func(d *disk) { writeKeys(t, d, "a"); miss(t, d, missesAWalk); writeKeys(t, d, keys...) },
	} {
		t.Run(name, func(t *testing.T) {
			d := keyedStore(t, ldb.NewMemFS(), leastFilter)
			script(d)
			require.Nil(t, d.current.keys.filter.Load())
			miss(t, d, 10*missesAWalk)
			require.Nil(t, d.current.keys.filter.Load())
			requireKeys(t, d, keys...)
			require.NoError(t, d.Close())
		})
	}
	d := keyedStore(t, ldb.NewMemFS(), leastFilter)
	writeKeys(t, d, "a")
	miss(t, d, missesAWalk)
	for range 20 {
		writeKeys(t, d, keys[:enough/4]...)
	}
	require.True(t, believes(d), "one key is one, however often it is written")
	require.NoError(t, d.Close())
}

// A look pays for few rows where they are large.
func TestKnownKeys_WalkIsBoundedByBytes(t *testing.T) {
	d := keyedStore(t, ldb.NewMemFS(), leastFilter)
	var b Batch
	for _, key := range numbered(0, 10) {
		b.Put([]byte(key), make([]byte, bytesAWalk/2), 1, 1)
	}
	require.NoError(t, d.Write(&b))
	miss(t, d, missesAWalk)
	require.EqualValues(t, 2, d.current.keys.filter.Load().keys.Load())
	require.NoError(t, d.Close())
}

// A key that was written is found from then on, by readers whose looks make the filter at the same time.
func TestKnownKeys_ReadersBesideTheWriter(t *testing.T) {
	d := keyedStore(t, ldb.NewMemFS(), 16<<10)
	writeKeys(t, d, numbered(0, 5*rowsAWalk)...)
	const last = 8000
	var written atomic.Int64
	written.Store(5 * rowsAWalk)
	var readers sync.WaitGroup
	for n := range 4 {
		readers.Go(func() {
			r := rand.New(rand.NewPCG(uint64(n), 7))
			for at := written.Load(); at < last; at = written.Load() {
				key := fmt.Appendf(nil, "key-%06d", r.Int64N(at))
				if _, ok, err := d.Get(key); err != nil || !ok {
					t.Errorf("%s of %d: %v, %v", key, at, ok, err)
					return
				}
				_, _, _ = d.Get(fmt.Appendf(nil, "absent-%d", r.Int()))
			}
		})
	}
	for at := int64(5 * rowsAWalk); at < last; at += 10 {
		writeKeys(t, d, numbered(int(at), int(at)+10)...)
		written.Store(at + 10)
	}
	readers.Wait()
	miss(t, d, 20*missesAWalk)
	require.True(t, believes(d))
	requireKeys(t, d, numbered(0, last)...)
	require.NoError(t, d.Close())
}

// What it lets pass of keys that are not there, by the bits that each has.
func TestKeyFilter_LetsFewPass(t *testing.T) {
	const keys = 50_000
	for bitsOfAKey, most := range map[int]float64{4: 0.25, 8: 0.05, 12: 0.015, 20: 0.003} {
		f := newKeyFilter(keys * bitsOfAKey / 8)
		for i := range keys {
			f.add(fmt.Appendf(nil, "key-%d", i))
		}
		passed := 0
		for i := range keys {
			require.True(t, f.mayHave(fmt.Appendf(nil, "key-%d", i)))
			if f.mayHave(fmt.Appendf(nil, "absent-%d", i)) {
				passed++
			}
		}
		require.Less(t, float64(passed)/keys, most, "%d bits", bitsOfAKey)
	}
}

// BenchmarkAbsent looks for keys that are not there in a store of 500,000 rows, with a filter and without.
func BenchmarkAbsent(b *testing.B) {
	for _, filter := range []int{-1, 1 << 20} {
		b.Run(fmt.Sprintf("filter=%d", max(filter, 0)), func(b *testing.B) {
			d := keyedStore(b, ldb.NewMemFS(), filter)
			for at := 0; at < 500_000; at += 10_000 {
				writeKeys(b, d, numbered(at, at+10_000)...)
			}
			miss(b, d, 100_000)
			b.ReportAllocs()
			key := []byte("key-000000-absent")
			for i := 0; b.Loop(); i++ {
				copy(key[4:], fmt.Sprintf("%06d", i*7919%500_000))
				if _, ok, err := d.Get(key); ok || err != nil {
					b.Fatal(ok, err)
				}
			}
			require.NoError(b, d.Close())
		})
	}
}
