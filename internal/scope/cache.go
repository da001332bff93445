package scope

import "hash/maphash"

// cache finds the rows of an overlay by their keys.
//
// The naive one is a map of strings. With more rows than the processor's caches hold, a look into it waits for memory at the
// map's group, at the key that it compares, and at the row. The rule: a slot has the hash beside the row, so that a look meets one
// slot, nearly always the right one, and then the row, whose key lies beside its data.
type cache[T any] struct {
	slots []slot[T] // a power of two of them; a row is in the first free one from its hash on
	seed  maphash.Seed
	n     int
	hand  int // where evict goes on
}

// slot is free without a row.
type slot[T any] struct {
	hash uint64
	row  *row[T]
}

// leastSlots is what a cache begins with.
const leastSlots = 16

func newCache[T any]() cache[T] { return cache[T]{seed: maphash.MakeSeed()} }

func (c *cache[T]) find(key []byte) *row[T] {
	if c.n == 0 {
		return nil
	}
	hash, mask := maphash.Bytes(c.seed, key), len(c.slots)-1
	for i := int(hash) & mask; ; i = (i + 1) & mask {
		s := &c.slots[i]
		if s.row == nil || s.hash == hash && s.row.key == string(key) {
			return s.row
		}
	}
}

// Ahead is how many keys Expect takes at a time.
const Ahead = 32

// warm has the processor bring the rows of keys, at most Ahead of them, from memory. It waits for all of them together: what is
// loaded for one key does not depend on what is loaded for another.
func (c *cache[T]) warm(keys [][]byte) (sum byte) {
	if c.n == 0 {
		return 0
	}
	var at [Ahead]int
	mask := len(c.slots) - 1
	for i, key := range keys {
		at[i] = int(maphash.Bytes(c.seed, key)) & mask
	}
	var rows [Ahead]*row[T]
	for i := range keys {
		rows[i] = c.slots[at[i]].row
	}
	for _, r := range rows[:len(keys)] {
		if r != nil && len(r.key) > 0 {
			sum += r.key[0]
		}
	}
	return sum
}

// add takes a row that it has not.
func (c *cache[T]) add(r *row[T]) {
	if c.n >= len(c.slots)/4*3 {
		old := c.slots
		c.slots = make([]slot[T], max(2*len(old), leastSlots))
		for _, s := range old {
			if s.row != nil {
				c.put(s)
			}
		}
	}
	c.put(slot[T]{maphash.String(c.seed, r.key), r})
	c.n++
}

func (c *cache[T]) put(s slot[T]) {
	mask := len(c.slots) - 1
	i := int(s.hash) & mask
	for c.slots[i].row != nil {
		i = (i + 1) & mask
	}
	c.slots[i] = s
}

// evict goes around once, from where it was last, until drop says that it is enough; it drops the rows for which drop is true.
func (c *cache[T]) evict(drop func(*row[T]) (drop, enough bool)) {
	for left := len(c.slots); left > 0; left-- {
		for c.slots[c.hand].row != nil {
			dropped, enough := drop(c.slots[c.hand].row)
			if enough {
				return
			}
			if !dropped {
				break
			}
			c.remove(c.hand)
		}
		c.hand = (c.hand + 1) & (len(c.slots) - 1)
	}
}

// remove frees a slot, and moves those behind it that were put there for want of room.
func (c *cache[T]) remove(free int) {
	mask := len(c.slots) - 1
	for i := (free + 1) & mask; c.slots[i].row != nil; i = (i + 1) & mask {
		if home := int(c.slots[i].hash) & mask; (i-home)&mask >= (i-free)&mask {
			c.slots[free] = c.slots[i]
			free = i
		}
	}
	c.slots[free] = slot[T]{}
	c.n--
}
