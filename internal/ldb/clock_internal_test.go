package ldb

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"
	"github.com/syndtr/goleveldb/leveldb/cache"
	"github.com/syndtr/goleveldb/leveldb/util"

	"github.com/tarnstream/tarn/internal/bubbletest"
)

func plain(n int) int { return n }

// use looks at a block of 10 bytes, and tells whether it had to be read.
func use(c *cache.Cache, key uint64) (read bool) {
	h := c.Get(1, key, func() (int, cache.Value) {
		read = true
		return 10, key
	})
	h.Release()
	return read
}

// Blocks that are wanted again and again stay, however many others are looked at once.
func TestClock_OnceUsedBlocksDriveOutNoOthers(t *testing.T) {
	c := newClock(100, plain)
	m := cache.NewCache(c)
	read := 0
	for i := range uint64(1000) {
		use(m, 1000+i)
		if i%2 == 0 && use(m, i/2%3) {
			read++
		}
		require.LessOrEqual(t, c.bytes(), 100)
	}
	require.Equal(t, 3, read)
}

func TestClock_BlocksThatAreWantedNoMoreGo(t *testing.T) {
	m := cache.NewCache(newClock(100, plain))
	for range 10 {
		for i := range uint64(10) {
			use(m, i)
		}
	}
	for i := range uint64(50) {
		use(m, 1000+i)
	}
	for i := range uint64(10) {
		require.True(t, use(m, i))
	}
}

func TestClock_Capacity(t *testing.T) {
	c := newClock(100, func(n int) int { return n + 5 })
	m := cache.NewCache(c)
	for i := range uint64(10) {
		use(m, i)
	}
	require.Equal(t, 90, c.bytes(), "with 5 for each of 6")
	c.SetCapacity(30)
	require.Equal(t, 30, c.bytes())
	c.SetCapacity(14)
	require.Zero(t, c.bytes())
	require.True(t, use(m, 1))
	require.True(t, use(m, 1), "none has room")
	c.SetCapacity(15)
	require.True(t, use(m, 1))
	require.False(t, use(m, 1))
	m.Close(false)
	require.Zero(t, c.bytes())
}

// A hand that has far to go takes no used block while there are others.
func TestClock_ShrinksByWhatIsNotUsed(t *testing.T) {
	c := newClock(1000, plain)
	m := cache.NewCache(c)
	group := func(from, n uint64, uses int) {
		for key := range n {
			for range uses + 1 {
				m.Get(1, from+key, func() (int, cache.Value) { return 1, key }).Release()
			}
		}
	}
	group(0, 500, 1)
	group(1000, 250, 3)
	group(2000, 250, 1)
	c.SetCapacity(250)
	for key := range uint64(250) {
		require.NotNil(t, m.Get(1, 1000+key, nil), key)
	}
}

// Blocks that are used as fast as the hand moves do not keep it from its work.
func TestClock_AllBlocksUsed(t *testing.T) {
	c := newClock(10_000, plain)
	m := cache.NewCache(c)
	for key := range uint64(1000) {
		use(m, key)
	}
	for e := c.hand.next; e != &c.hand; e = e.next {
		e.used.Store(math.MaxInt32)
	}
	c.SetCapacity(100)
	require.Equal(t, 100, c.bytes())
}

// What is banned is not kept, also where somebody still reads it, and its bytes are not counted twice.
func TestClock_Removed(t *testing.T) {
	c := newClock(100, plain)
	m := cache.NewCache(c)
	h := m.Get(1, 7, func() (int, cache.Value) { return 10, 7 })
	require.True(t, m.Delete(1, 7, nil))
	require.Zero(t, c.bytes())
	require.False(t, use(m, 7), "it is there as long as it is read")
	require.True(t, m.Delete(1, 7, nil))
	require.Zero(t, c.bytes())
	h.Release()
	require.True(t, use(m, 7))
	require.Equal(t, 10, c.bytes())
	require.True(t, m.Evict(1, 7))
	require.Zero(t, c.bytes())
	require.True(t, use(m, 7), "an evicted one comes back")
	require.Equal(t, 10, c.bytes())
}

// Readers of several databases, while the size changes and databases are closed: what is counted is what is there.
func TestClock_ManyReaders(t *testing.T) {
	c := newClock(1000, func(n int) int { return n + 3 })
	var all sync.WaitGroup
	for seed := range uint64(6) {
		all.Go(func() {
			m := cache.NewCache(c)
			var readers sync.WaitGroup
			for half := range uint64(2) {
				readers.Go(func() {
					r := rand.New(rand.NewPCG(seed, half))
					for range 5000 * (seed + 1) {
						switch key := r.Uint64N(200); r.IntN(50) {
						case 0:
							m.Delete(1, key, nil)
						case 1:
							m.Evict(1, key)
						case 2:
							c.SetCapacity(500 + r.IntN(1000))
						default:
							m.Get(1, key, func() (int, cache.Value) { return int(5 + key%20), key }).Release()
						}
					}
				})
			}
			readers.Wait()
			m.Close(false)
		})
	}
	all.Wait()
	require.Zero(t, c.bytes())
	require.Zero(t, c.entries)
	m := cache.NewCache(c)
	for key := range uint64(100) {
		use(m, key)
	}
	require.LessOrEqual(t, c.bytes(), c.Capacity())
	sum, n := 0, 0
	for e := c.hand.next; e != &c.hand; e = e.next {
		sum, n = sum+c.weight(e.node), n+1
	}
	require.Equal(t, sum, c.bytes())
	require.Equal(t, n, c.entries)
	require.Positive(t, n)
	c.SetCapacity(0)
	require.Zero(t, c.bytes())
	require.Zero(t, c.entries)
}

// The blocks of tables that were compacted away are gone: nobody asks for them again.
func TestShared_KeepsNoBlocksOfRemovedTables(t *testing.T) {
	bubbletest.Run(t, keepsNoBlocksOfRemovedTables)
}

func keepsNoBlocksOfRemovedTables(t *testing.T) {
	shared := NewShared(8<<20, 16, 1)
	fs := NewMemFS()
	require.NoError(t, fs.MkdirAll("/db"))
	db, err := Open(fs, "/db", Config{Shared: shared, WriteBufferBytes: 64 << 10, Create: true})
	require.NoError(t, err)
	const rows = 5000
	fill := func() {
		var b Batch
		for i := range rows {
			b.Put(fmt.Appendf(nil, "key-%d", i), bytes.Repeat([]byte{byte(i)}, 100))
		}
		require.NoError(t, db.Write(&b, false))
		require.NoError(t, db.db.CompactRange(util.Range{}))
	}
	for range 2 {
		fill()
		synctest.Wait() // tables are removed on a goroutine of LevelDB's
		require.Less(t, shared.Bytes(), 64<<10)
		for i := range rows {
			_, ok, err := db.Get(fmt.Appendf(nil, "key-%d", i))
			require.NoError(t, err)
			require.True(t, ok)
		}
		require.Greater(t, shared.Bytes(), rows*100)
	}
	require.NoError(t, db.Close())
	require.Zero(t, shared.Bytes())
}
