package scope

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

// What a cache finds is what was added and not dropped, whatever shares its slots.
func TestCache(t *testing.T) {
	for seed := range uint64(20) {
		rnd := rand.New(rand.NewPCG(seed, 0))
		c := newCache[int]()
		there := map[string]*row[int]{}
		for range 3000 {
			key := fmt.Append(nil, rnd.IntN(1<<rnd.IntN(12)))
			switch r := c.find(key); {
			case rnd.IntN(40) == 0:
				odd, most := rnd.IntN(2), rnd.IntN(50)
				c.evict(func(r *row[int]) (drop, enough bool) {
					if most == 0 {
						return false, true
					}
					if r.value%2 != odd {
						return false, false
					}
					require.Same(t, there[r.key], r)
					delete(there, r.key)
					most--
					return true, false
				})
			case there[string(key)] != nil:
				require.Same(t, there[string(key)], r)
			default:
				require.Nil(t, r)
				r = &row[int]{key: string(key), value: rnd.Int()}
				there[r.key] = r
				c.add(r)
			}
			require.Equal(t, len(there), c.n)
		}
		keys := [][]byte{{}, []byte("nobody's"), nil}
		for key, r := range there {
			require.Same(t, r, c.find([]byte(key)))
			keys = append(keys, []byte(key))
		}
		for ; len(keys) > 0; keys = keys[min(Ahead, len(keys)):] {
			c.warm(keys[:min(Ahead, len(keys))])
		}
	}
}

// Going around evicts every row once that may go, also those that move meanwhile.
func TestCache_EvictsAll(t *testing.T) {
	for n := range 200 {
		c := newCache[int]()
		for i := range n {
			c.add(&row[int]{key: fmt.Sprint(i)})
		}
		c.hand = max(len(c.slots)*2/3, 0)
		dropped := map[string]bool{}
		c.evict(func(r *row[int]) (drop, enough bool) { dropped[r.key] = true; return true, false })
		require.Len(t, dropped, n)
		require.Zero(t, c.n)
		require.Nil(t, c.find([]byte("0")))
	}
}
