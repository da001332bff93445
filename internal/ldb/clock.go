package ldb

import (
	"sync"
	"sync/atomic"
	"unsafe"

	"github.com/syndtr/goleveldb/leveldb/cache"
)

// clock decides which blocks of tables stay in memory, or which files open, for all databases that share it.
//
// The naive way is LevelDB's list by last use. Each look at a row takes its lock, three times and more, which all readers share; and
// where there are more rows than room, each brings a block that nobody wants again, which comes first in the list. So blocks that are
// wanted now and then are driven out by those that are not. The rule is CLOCK's, with counts: what is used only counts up, without a
// lock. A hand goes over the blocks in the order in which they came: one that was used goes round again, with less; one that was not
// goes. What is used once goes after one round; the filters and indexes of tables, of which every look needs one, stay.
//
// Invariant: what is in the ring has a handle, and its node the entry. A node that was banned has an entry without a handle.
type clock struct {
	weigh func(bytes int) int // what a block of so many bytes takes

	mu       sync.Mutex // guards what follows, the entries' places, and who writes to a node's CacheData
	capacity int
	size     int
	entries  int
	hand     entry // its next is the next to be judged, its prev came last
}

// entry is a block's place in the ring.
type entry struct {
	used atomic.Int32 // 0 to mostUsed
	// node and handle, which keeps the block in memory, never change once the node has the entry: Evict reads them without the lock.
	node       *cache.Node
	handle     *cache.Handle
	next, prev *entry
}

func (e *entry) inRing() bool { return e != nil && e.handle != nil }

const (
	// mostUsed is how many rounds a block stays that is not used any more.
	mostUsed = 3
	// mostSteps is how far the hand goes before others have the lock, mostTaken how much it takes out before that is released.
	mostSteps = 256
	mostTaken = 256 << 10
)

// blockWeight is about what a block takes: Go's allocator gives it a sixth more than it needs; LevelDB has a node, a handle and a
// structure for it.
func blockWeight(bytes int) int { return bytes + bytes/6 + 256 }

func newClock(capacity int, weigh func(int) int) *clock {
	c := &clock{capacity: capacity, weigh: weigh}
	c.hand.next, c.hand.prev = &c.hand, &c.hand
	return c
}

// Capacity implements cache.Cacher.
func (c *clock) Capacity() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.capacity
}

// bytes is what the blocks take.
func (c *clock) bytes() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.size
}

// SetCapacity implements cache.Cacher. What has no room any more is out of the ring when it returns: the memory is free when
// whoever reads it, or has taken it out at the same time, lets go.
func (c *clock) SetCapacity(capacity int) {
	c.mu.Lock()
	c.capacity = capacity
	c.trim()
}

// Promote implements cache.Cacher: n was used, and may be new.
func (c *clock) Promote(n *cache.Node) {
	if e := entryOf(n); e != nil {
		if used := e.used.Load(); used < mostUsed {
			e.used.CompareAndSwap(used, used+1)
		}
		return
	}
	c.mu.Lock()
	weight := c.weight(n)
	if entryOf(n) != nil || weight > c.capacity {
		c.mu.Unlock()
		return
	}
	e := &entry{node: n, handle: n.GetHandle()}
	setEntry(n, e)
	c.insert(e)
	c.size, c.entries = c.size+weight, c.entries+1
	c.trim()
}

// Ban implements cache.Cacher: n will not be wanted again. An entry stays with it, so that it does not come back.
func (c *clock) Ban(n *cache.Node) { c.forget(n, &entry{}) }

// Evict implements cache.Cacher. A database that is closed calls it for each of its nodes, many times.
func (c *clock) Evict(n *cache.Node) {
	if entryOf(n).inRing() {
		c.forget(n, nil)
	}
}

// forget takes n's block out of the ring, and leaves another entry with n, unless that was banned.
func (c *clock) forget(n *cache.Node, left *entry) {
	c.mu.Lock()
	e := entryOf(n)
	held := e.inRing()
	if held {
		c.remove(e)
	}
	if held || e == nil {
		setEntry(n, left)
	}
	c.mu.Unlock()
	if held {
		e.handle.Release()
	}
}

// trim moves the hand until what is left has room, and unlocks mu. Readers may use blocks as fast as it moves: after as many rounds
// as a block stays it takes what it finds.
func (c *clock) trim() {
	spare := mostUsed * c.entries // how many it may go past
	for {
		out, more := c.slice(&spare)
		c.mu.Unlock()
		for _, h := range out {
			h.Release()
		}
		if !more {
			return
		}
		c.mu.Lock()
	}
}

// slice is a part of trim, with mu held: what it took out is to be released without.
func (c *clock) slice(spare *int) (out []*cache.Handle, more bool) {
	taken := 0
	for steps := 0; c.size > c.capacity && c.entries > 0; steps++ {
		if steps >= mostSteps || taken >= mostTaken {
			return out, true
		}
		e := c.hand.next
		if used := e.used.Load(); used > 0 && *spare > 0 {
			*spare--
			e.used.Store(used - 1)
			c.unlink(e)
			c.insert(e)
			continue
		}
		taken += c.weight(e.node)
		c.remove(e)
		setEntry(e.node, nil)
		out = append(out, e.handle)
	}
	return out, false
}

func (c *clock) remove(e *entry) {
	c.unlink(e)
	c.size, c.entries = c.size-c.weight(e.node), c.entries-1
}

// insert puts e where the hand comes last.
func (c *clock) insert(e *entry) {
	e.next, e.prev = &c.hand, c.hand.prev
	e.prev.next, e.next.prev = e, e
}

func (c *clock) unlink(e *entry) { e.prev.next, e.next.prev = e.next, e.prev }

// weight is what n takes.
func (c *clock) weight(n *cache.Node) int { return c.weigh(n.Size()) }

// entryOf is what the ring knows of n: nil for one that is not in it and may come.
func entryOf(n *cache.Node) *entry { return (*entry)(atomic.LoadPointer(&n.CacheData)) }

func setEntry(n *cache.Node, e *entry) { atomic.StorePointer(&n.CacheData, unsafe.Pointer(e)) }
