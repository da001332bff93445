package processor

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tarnstream/tarn/internal/kafka"
	"github.com/tarnstream/tarn/internal/scope"
	"github.com/tarnstream/tarn/state"
)

// meddled is a store where something happens right before and right after an iterator is made.
type meddled struct {
	state.Store
	before, after func()
}

func (m *meddled) Range(from, to []byte) state.Iterator {
	m.before()
	it := m.Store.Range(from, to)
	m.after()
	return it
}

func (m *meddled) Snapshot() (state.Iterator, state.Checkpoint, bool) {
	m.before()
	defer m.after()
	return m.Store.Snapshot()
}

func change(key, value string) scope.Change {
	return scope.Change{Key: key, Value: []byte(value), Delete: value == ""}
}

// layeredCell has rows in every layer, newer ones over older ones.
func layeredCell(t *testing.T) (*cell, *meddled) {
	store, err := state.Open(t.TempDir(), state.Options{})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, store.Close()) })
	m := &meddled{Store: store, before: func() {}, after: func() {}}
	c := newCell("table", 0, m)
	commit := func(changes ...scope.Change) {
		for i := range changes {
			changes[i].Offset = c.check.Position + int64(i)
		}
		c.seal(changes)
		c.promote(changes, nil, time.Now())
	}
	commit(change("a", "store"), change("b", "store"), change("c", "store"), change("d", "store"), change("e", "store"))
	require.NoError(t, flushOne(t, c))
	commit(change("b", "frozen"), change("c", "frozen"), change("d", "frozen"), change("f", "frozen"))
	c.freeze()
	commit(change("c", "committed"), change("d", "committed"), change("f", ""), change("g", "committed"))
	c.seal([]scope.Change{change("d", "sealed"), change("e", ""), change("f", "sealed")})
	return c, m
}

func walked(t *testing.T, rows scope.Rows) (out []string) {
	defer rows.Close()
	for rows.Next() {
		out = append(out, fmt.Sprintf("%s=%s", rows.Key(), rows.Value()))
	}
	require.NoError(t, rows.Err())
	return out
}

// A commit and a flush may end at any moment of a walk: what they move from layer to layer is seen once, as it was.
func TestRange_WhileLayersMove(t *testing.T) {
	want := []string{"a=store", "b=frozen", "c=committed", "d=sealed", "f=sealed", "g=committed"}
	// move ends the flush under way, then commits the sealed layer, with a row that no walk of before may show, and
	// flushes that too
	move := func(t *testing.T, c *cell) {
		b := new(state.Batch)
		for _, ch := range c.frozen.rows {
			b.Put([]byte(ch.Key), ch.Value, ch.Offset, ch.Timestamp)
		}
		require.NoError(t, c.store.Write(b))
		c.frozen = nil
		c.promote([]scope.Change{change("d", "sealed"), change("e", ""), change("f", "sealed"), change("b", "later"), change("z", "later")}, nil, time.Now())
		require.NoError(t, flushOne(t, c))
	}
	t.Run("not at all", func(t *testing.T) {
		c, _ := layeredCell(t)
		require.Equal(t, want, walked(t, c.rows()))
	})
	t.Run("after the iterator is made", func(t *testing.T) {
		c, m := layeredCell(t)
		m.after = func() { move(t, c) }
		require.Equal(t, want, walked(t, c.rows()))
	})
	t.Run("in the middle", func(t *testing.T) {
		c, _ := layeredCell(t)
		rows := c.rows()
		require.True(t, rows.Next())
		move(t, c)
		require.Equal(t, want[1:], walked(t, rows))
	})
	t.Run("between layers and store", func(t *testing.T) {
		c, m := layeredCell(t)
		// only what the layers had can reach the store here: the task's callback runs, so nothing new is sealed
		m.before = func() {
			c.promote([]scope.Change{change("d", "sealed"), change("e", ""), change("f", "sealed")}, nil, time.Now())
			require.NoError(t, flushOne(t, c))
		}
		require.Equal(t, want, walked(t, c.rows()))
	})
}

func TestRange_OfAClosedStoreSaysSo(t *testing.T) {
	c, _ := layeredCell(t)
	rows := c.rows()
	require.True(t, rows.Next())
	require.NoError(t, c.store.Close())
	for rows.Next() {
	}
	require.ErrorIs(t, rows.Err(), state.ErrClosed)
	rows.Close()
	again := c.rows()
	require.False(t, again.Next())
	require.ErrorIs(t, again.Err(), state.ErrClosed)
}

// A sealed layer may never reach Kafka: who reads from outside must not see it, the task must.
func TestCell_SealedIsTheTasksOwn(t *testing.T) {
	c := newCell("table", 0, newMemory())
	c.promote([]scope.Change{placed("committed", 0)}, nil, time.Now())
	c.seal([]scope.Change{placed("sealed", 1), {Key: "committed", Delete: true}})
	for key, want := range map[string]struct{ inside, outside bool }{"sealed": {true, false}, "committed": {false, true}} {
		_, ok, err := c.read(key, true)
		require.NoError(t, err)
		require.Equal(t, want.inside, ok, "%s, by the task", key)
		_, ok, err = c.read(key, false)
		require.NoError(t, err)
		require.Equal(t, want.outside, ok, "%s, from outside", key)
	}
}

// A task that is stopped seals its last layer while an older one is in a commit. What Kafka has is seen from outside, and stays
// seen; the last layer is not.
func TestCell_TheLastLayerBehindOneInACommit(t *testing.T) {
	older, last := []scope.Change{placed("older", 0)}, []scope.Change{placed("last", 1)}
	batch := changelogBatch("table", 0, older)
	batch.Rows.Placed(0, 1, 0)
	batch.Last = kafka.RecordID{Producer: 1}
	for name, steps := range map[string]func(*cell){
		"sealed before Kafka has the older": func(c *cell) { c.seal(older); c.seal(last); c.written(older, &batch) },
		"sealed after it":                   func(c *cell) { c.seal(older); c.written(older, &batch); c.seal(last) },
	} {
		c := newCell("table", 0, newMemory())
		steps(c)
		for step, key := range []string{"produced", "promoted"} {
			if step == 1 {
				_, gap := c.promote(older, nil, time.Now())
				require.False(t, gap)
			}
			_, ok, err := c.read("older", false)
			require.NoError(t, err)
			require.True(t, ok, "%s, %s: Kafka has it", name, key)
			_, ok, err = c.read("last", false)
			require.NoError(t, err)
			require.False(t, ok, "%s, %s: Kafka does not have it", name, key)
			_, ok, err = c.read("last", true)
			require.NoError(t, err)
			require.True(t, ok, "%s, %s: by the task", name, key)
		}
	}
}
