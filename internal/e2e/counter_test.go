//go:build kafka

package e2e_test

import (
	"maps"

	"github.com/stretchr/testify/require"

	"github.com/tarnstream/tarn/codec"
	"github.com/tarnstream/tarn/observe"
	"github.com/tarnstream/tarn/processor"
)

// counter is a running processor that counts the records of "input" by key, in "count".
type counter struct {
	*program
	dir   string
	get   func() (map[string]int64, error)
	stats func() observe.Stats
}

func startCounter(s *site, dir string, options ...processor.Option) *counter {
	s.Helper()
	return startCounting(s, dir, func(string) {}, options...)
}

// startCounting has each called with a record's key before it counts.
func startCounting(s *site, dir string, each func(key string), options ...processor.Option) *counter {
	s.Helper()
	group, table, err := s.counting(each)
	require.NoError(s, err)
	c := &counter{program: &program{site: s, seen: &seen{}, kind: "counter", done: make(chan error, 1)}, dir: dir}
	p, err := processor.New(group, s.options(dir, c.seen, options)...)
	require.NoError(s, err)
	c.ready, c.verify, c.stats = p.Ready(), p.Verify, p.Stats
	c.get = func() (map[string]int64, error) {
		rows := map[string]int64{}
		for key := range s.keys {
			n, ok, err := processor.Get(p, table, key)
			if err != nil {
				return nil, err
			}
			if ok {
				rows[key] = n
			}
		}
		return rows, nil
	}
	c.run(p.Run)
	return c
}

// await waits until the counts are those.
func (c *counter) await(want map[string]int64) {
	c.Helper()
	var got map[string]int64
	c.eventually("the counts", func() bool {
		var err error
		got, err = c.get()
		return err == nil && maps.Equal(want, got)
	})
}

// folded are the counts as another consumer reads them from the table's topic.
func (c *counter) folded() map[string]int64 {
	c.Helper()
	rows := map[string]int64{}
	for key, value := range c.fold("count") {
		n, err := codec.Int64.Decode([]byte(value))
		require.NoError(c, err)
		rows[key] = n
	}
	return rows
}
