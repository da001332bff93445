package audit_test

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tarnstream/tarn/internal/audit"
	"github.com/tarnstream/tarn/internal/digest"
	"github.com/tarnstream/tarn/observe"
	"github.com/tarnstream/tarn/state"
	"github.com/tarnstream/tarn/state/statetest"
)

// table is a table in memory, made by folding a log as a restore does.
type table map[string]state.Row

// foldOf folds the whole log.
func foldOf(t *testing.T, l *statetest.FakeLog) (table, state.Checkpoint) {
	t.Helper()
	b, err := l.Bounds(t.Context())
	require.NoError(t, err)
	rows := table{}
	for at := b.Start; at < b.Stable; {
		rs, err := l.Fetch(t.Context(), at)
		require.NoError(t, err)
		for _, r := range rs.Records {
			if r.Value == nil {
				delete(rows, string(r.Key))
			} else {
				rows[string(r.Key)] = state.Row{Value: r.Value, Offset: r.Offset, Timestamp: r.Timestamp}
			}
		}
		at = rs.Next
	}
	return rows, state.Checkpoint{TopicID: b.TopicID, Position: b.Stable, LastApplied: b.Stable - 1, LastAppliedEpoch: statetest.NoEpoch, LogStart: b.Start, DeleteRetention: b.DeleteRetention, KnownCurrent: time.Now()}
}

// walk is a table as an iterator.
type walk struct {
	rows table
	keys []string
	key  string
	err  error // at the end
}

func (t table) walk() *walk { return &walk{rows: t, keys: slices.Sorted(maps.Keys(t))} }

func (w *walk) Next() bool {
	if len(w.keys) == 0 {
		return false
	}
	w.key, w.keys = w.keys[0], w.keys[1:]
	return true
}
func (w *walk) Key() []byte    { return []byte(w.key) }
func (w *walk) Row() state.Row { return w.rows[w.key] }
func (w *walk) Err() error     { return w.err }
func (w *walk) Close() error   { return w.err }

// at gives the table to compare.
func (t table) at(cp state.Checkpoint) audit.Table {
	return audit.Table{Rows: t.walk(), Checkpoint: cp}
}

func compare(t *testing.T, rows audit.Table, l state.Log, o audit.Options) observe.Audit {
	t.Helper()
	return audit.Compare(t.Context(), rows, l, o)
}

func TestCompare_TellsTheFirstDifferences(t *testing.T) {
	l := statetest.NewFakeLog()
	l.Put("a", "1")
	l.Put("b", "2")
	l.Put("gone", "3")
	l.Put("c", "4")
	l.Put("a", "5")
	l.Tombstone("gone")
	l.Put("empty", "")
	rows, cp := foldOf(t, l)
	out := compare(t, rows.at(cp), l, audit.Options{})
	require.NoError(t, out.Err)
	require.True(t, out.Equal())
	require.EqualValues(t, []int64{7, 4, 7, 1}, []int64{out.Position, out.Rows, out.Records, int64(out.Passes)})

	rows["a"] = state.Row{Value: []byte("1"), Offset: 0} // an old value
	delete(rows, "b")                                    // a row that is lost
	rows["gone"] = state.Row{Value: []byte("3"), Offset: 2}
	rows["c"] = state.Row{Value: []byte("x"), Offset: 3} // another value at the right place
	out = compare(t, rows.at(cp), l, audit.Options{Differences: 3})
	require.NoError(t, out.Err)
	require.False(t, out.Equal())
	require.EqualValues(t, 4, out.Different)
	require.Equal(t, []observe.Difference{
		{Key: []byte("a"), Table: &state.Row{Value: []byte("1")}, Topic: &state.Row{Value: []byte("5"), Offset: 4, Timestamp: 4}},
		{Key: []byte("b"), Topic: &state.Row{Value: []byte("2"), Offset: 1, Timestamp: 1}},
		{Key: []byte("c"), Table: &state.Row{Value: []byte("x"), Offset: 3}, Topic: &state.Row{Value: []byte("4"), Offset: 3, Timestamp: 3}},
	}, out.Differences)
}

// digested is a store's walk that has found one digest where another, or none, was stored.
type digested struct {
	*walk
	now, stored digest.Sum
}

func (d digested) Digests() (walked, stored digest.Sum) { return d.now, d.stored }

func TestCompare_Digests(t *testing.T) {
	l := statetest.NewFakeLog()
	l.Put("a", "1")
	rows, cp := foldOf(t, l)
	a, b := digest.FromBits(0xa), digest.FromBits(0xb)
	for name, c := range map[string]struct {
		now, stored digest.Sum
		altered     bool
		texts       [2]string
	}{
		"the same":     {a, a, false, [2]string{"000000000000000a", "000000000000000a"}},
		"another":      {a, b, true, [2]string{"000000000000000a", "000000000000000b"}},
		"none stored":  {a, digest.Sum{}, false, [2]string{"000000000000000a", ""}},
		"not found":    {digest.Sum{}, b, false, [2]string{"", "000000000000000b"}},
		"of no row":    {digest.Empty(), digest.Empty(), false, [2]string{"0000000000000000", "0000000000000000"}},
		"row and none": {a, digest.Empty(), true, [2]string{"000000000000000a", "0000000000000000"}},
	} {
		t.Run(name, func(t *testing.T) {
			table := rows.at(cp)
			table.Disk = digested{now: c.now, stored: c.stored}
			out := compare(t, table, l, audit.Options{})
			require.NoError(t, out.Err)
			require.Zero(t, out.Different)
			require.Equal(t, c.texts, [2]string{out.Digest, out.Stored})
			require.Equal(t, c.altered, out.Altered())
			require.Equal(t, !c.altered, out.Equal())
		})
	}
	table := rows.at(cp)
	table.Disk = digested{now: a, stored: b}
	l.DeleteTopic()
	out := compare(t, table, l, audit.Options{})
	require.Error(t, out.Err)
	require.Empty(t, out.Digest, "what was not walked over is not compared")
}

// What is compared is the table at its position. A record above it may have been the end of one below.
func TestCompare_TheLogGrowsAndIsCompacted(t *testing.T) {
	l := statetest.NewFakeLog()
	l.MaxRecords = 1 // no answer reaches above the position by itself
	l.Put("a", "1")
	l.Put("b", "2")
	l.Put("c", "3")
	rows, cp := foldOf(t, l)
	l.Put("a", "4")
	l.Tombstone("b")
	l.Put("new", "5")
	out := compare(t, rows.at(cp), l, audit.Options{})
	require.True(t, out.Equal())
	require.EqualValues(t, 2, out.Changed)
	l.Compact(false)
	out = compare(t, rows.at(cp), l, audit.Options{})
	require.True(t, out.Equal(), "%+v", out)
	require.EqualValues(t, []int64{3, 3, 2}, []int64{out.Position, out.Rows, out.Changed})

	// the tombstone goes too: that says nothing once the table may have been away for so long
	l.Compact(true)
	out = compare(t, rows.at(cp), l, audit.Options{})
	require.EqualValues(t, 1, out.Different, "a tombstone cannot have gone already")
	cp.KnownCurrent = time.Now().Add(-25 * time.Hour)
	out = compare(t, rows.at(cp), l, audit.Options{})
	require.EqualValues(t, []int64{0, 1}, []int64{out.Different, out.Unproven})
	require.False(t, out.Equal())
}

// The cleaner takes a record while the log is read, because of one that is written at that moment.
func TestCompare_CompactedWhileItIsRead(t *testing.T) {
	l := statetest.NewFakeLog()
	l.MaxRecords = 1
	l.Put("a", "1")
	l.Put("b", "2")
	l.Put("c", "3")
	rows, cp := foldOf(t, l)
	reads := 0
	l.OnFetch(func(_ int64, rs state.Records, err error) (state.Records, error) {
		if reads++; reads == 1 {
			l.Put("c", "4")
			l.Compact(false)
		}
		return rs, err
	})
	out := compare(t, rows.at(cp), l, audit.Options{})
	require.True(t, out.Equal(), "%+v", out)
	require.EqualValues(t, 1, out.Changed)
}

func TestCompare_LogStartRises(t *testing.T) {
	l := statetest.NewFakeLog()
	l.MaxRecords = 1
	l.Put("a", "1")
	l.Put("b", "2")
	l.Put("c", "3")
	rows, cp := foldOf(t, l)
	l.DeleteRecords(1)
	out := compare(t, rows.at(cp), l, audit.Options{})
	require.True(t, out.Equal())
	require.EqualValues(t, 1, out.Below)
	once := false
	l.OnFetch(func(_ int64, rs state.Records, err error) (state.Records, error) {
		if !once {
			once = true
			l.DeleteRecords(3)
		}
		return rs, err
	})
	out = compare(t, rows.at(cp), l, audit.Options{}) // it passes the reader
	require.NoError(t, out.Err)
	require.True(t, out.Equal(), "%+v", out)
}

// A log that the table would be rebuilt from is not compared.
func TestCompare_AnotherLog(t *testing.T) {
	l := statetest.NewFakeLog()
	l.Put("a", "1")
	l.Put("b", "2")
	rows, cp := foldOf(t, l)
	short := cp
	short.Position = 0
	l.DeleteRecords(1)
	require.ErrorContains(t, compare(t, rows.at(short), l, audit.Options{}).Err, "checkpoint 0 is below the log start 1")
	l.Truncate(1)
	var reset *state.LogResetError
	require.ErrorAs(t, compare(t, rows.at(cp), l, audit.Options{Place: observe.Place{Topic: "t", Partition: 3}}).Err, &reset)
	require.Equal(t, "t", reset.Topic)
	require.EqualValues(t, 3, reset.Partition)
	l.Recreate()
	require.ErrorContains(t, compare(t, rows.at(cp), l, audit.Options{}).Err, "created again")
	l.DeleteTopic()
	require.ErrorAs(t, compare(t, rows.at(cp), l, audit.Options{}).Err, new(*state.TopicMissingError))
}

func TestCompare_TroubleIsTold(t *testing.T) {
	l := statetest.NewFakeLog()
	l.Put("a", "1")
	rows, cp := foldOf(t, l)
	broken := errors.New("broken")
	w := rows.walk()
	w.err = broken
	out := audit.Compare(t.Context(), audit.Table{Rows: w, Checkpoint: cp}, l, audit.Options{})
	require.ErrorIs(t, out.Err, broken)
	require.False(t, out.Equal())
	l.OnFetch(func(_ int64, rs state.Records, _ error) (state.Records, error) { return rs, broken })
	require.ErrorIs(t, compare(t, rows.at(cp), l, audit.Options{}).Err, broken)
}

// Whatever the log has been through and however little memory there is, what was changed in the table is found and nothing else.
func TestCompare_Random(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	for range 300 {
		l := statetest.NewFakeLog()
		l.MaxRecords = 1 + r.IntN(20)
		keys := 1 + r.IntN(60)
		for range r.IntN(200) {
			step(r, l, keys)
		}
		rows, cp := foldOf(t, l)
		want := damage(r, rows, keys)
		o := audit.Options{Bytes: 1 + r.IntN(3000), Differences: 1 + r.IntN(100)}
		out := compare(t, rows.at(cp), l, o)
		require.NoError(t, out.Err)
		require.EqualValues(t, len(want), out.Different)
		require.EqualValues(t, len(rows), out.Rows)
		require.Zero(t, out.Changed+out.Unproven+out.Below)
		var got []string
		for _, d := range out.Differences {
			got = append(got, string(d.Key))
			row, ok := rows[string(d.Key)]
			require.Equal(t, ok, d.Table != nil)
			require.True(t, !ok || bytes.Equal(row.Value, d.Table.Value))
		}
		require.Equal(t, want[:min(len(want), o.Differences)], append([]string{}, got...))
	}
}

func step(r *rand.Rand, l *statetest.FakeLog, keys int) {
	key := fmt.Sprint("k", r.IntN(keys))
	switch r.IntN(20) {
	case 0, 1, 2:
		l.Tombstone(key)
	case 3:
		l.PutAborted(key, "aborted")
		l.Marker()
	case 4:
		l.Compact(r.IntN(2) == 0)
	default:
		l.Put(key, fmt.Sprint("v", r.IntN(5)))
	}
}

// damage changes some rows and gives their keys in order.
func damage(r *rand.Rand, rows table, keys int) []string {
	hit := map[string]bool{}
	for range r.IntN(4) {
		key := fmt.Sprint("k", r.IntN(keys))
		row, ok := rows[key]
		switch {
		case hit[key]:
			continue
		case !ok:
			rows[key] = state.Row{Value: []byte("invented"), Offset: 1 << 40}
		case r.IntN(2) == 0:
			delete(rows, key)
		default:
			row.Value = append(bytes.Clone(row.Value), 'x')
			rows[key] = row
		}
		hit[key] = true
	}
	return append([]string{}, slices.Sorted(maps.Keys(hit))...)
}

// The fold takes no more than it may, whatever the table's size.
func TestCompare_Passes(t *testing.T) {
	l := statetest.NewFakeLog()
	for i := range 2000 {
		l.Put(fmt.Sprintf("key-%06d", i*7919%2000), "value")
	}
	rows, cp := foldOf(t, l)
	out := compare(t, rows.at(cp), l, audit.Options{Bytes: 50_000})
	require.True(t, out.Equal())
	require.EqualValues(t, 2000, out.Rows)
	require.Greater(t, out.Passes, 3)
	require.LessOrEqual(t, out.Passes, 12)
	require.EqualValues(t, 2000*out.Passes, out.Records)
}
